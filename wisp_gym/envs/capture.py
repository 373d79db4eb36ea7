"""The whole state of a vector of environments as plain arrays, and back, exactly.

What a seed gives back (worlds, stop scores) is drawn again; what happened since is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wisp_gym.envs.episode import MOST_EPISODE, MOST_SEED
from wisp_gym.envs.kept import WHAT, bins, check_row, check_rows, check_snapshot, numbers, part, records
from wisp_gym.envs.rows import ROW_FIELDS, Stack
from wisp_gym.errors import InputError
from wisp_gym.pipeline.consistency import check_range, limits
from wisp_gym.pipeline.ranges import FLAG
from wisp_gym.scenario.schema import MAX_DEVICES
from wisp_gym.world.size import MEMORY_LIMIT

if TYPE_CHECKING:
    from wisp_gym.envs.vector import EdgeCloudVector

Array = npt.NDArray[Any]

_DRAWN_AGAIN = (
    "seed",
    "world_devices",
    "sessions",
    "groups",
    "accepts",
    "scores",
    "off_scores",
    "log",
    "rows",
)
KEPT = tuple(name for name in ROW_FIELDS if name not in _DRAWN_AGAIN)
"""Fields of a row that cannot be drawn again."""

_HISTOGRAMS = ("tbt", "waits")
"""Mostly zeros: kept as places and values."""

_SNAPSHOT = ("counters", "totals", *_HISTOGRAMS)
_NUMBERS = ("start_ns", "kv_used", "busy_left_ns")


def capture(vector: EdgeCloudVector) -> dict[str, Array]:
    """Return everything that `restore` needs, as arrays of numbers.

    Records are given as bytes (uint8), so that any file of arrays can hold them.

    :param vector: after its first reset
    """
    bank = vector.stack.bank
    assert bank is not None
    arrays: dict[str, Array] = {
        "seeds": np.array([-1 if seed is None else seed for seed in vector.seeds], np.int64),
        "numbers": np.array(vector.numbers, np.int64),
        "fleets": np.array([0 if count is None else count for count in vector.fleets], np.int64),
        "over": vector.over.astype(np.uint8),
        "obs": vector.obs.copy(),
        "rows": _as_bytes(bank.rows),
        "room": np.array(list(vector.stack.room.values()), np.int64),
    }
    for i in range(vector.num_envs):
        simulation = vector.simulation(i)
        begun = vector.stack.begun[i]
        assert begun is not None
        state = simulation.state._asdict()
        state |= {
            "memory": begun.observer.memory,
            "recent": begun.observer.recent,
            "taken": begun.observer.last,
        }
        state["before"] = bank.before[i]
        for name in KEPT:
            _put(arrays, f"{i}.{name}", state[name], name in _HISTOGRAMS)
        snapshot = simulation.snapshot
        assert snapshot is not None
        for name in _SNAPSHOT:
            _put(arrays, f"{i}.snapshot.{name}", snapshot[name], name in _HISTOGRAMS)
        arrays[f"{i}.snapshot"] = np.array([snapshot[name] for name in _NUMBERS], np.int64)
    return arrays


def restore(vector: EdgeCloudVector, arrays: dict[str, Array]) -> None:
    """Put a vector back to where `capture` was called on one with the same arguments.

    :param arrays: what `capture` returned; it is checked, as it may come from a file
    :raises InputError: they are of another number of copies or another scenario, or no state of any
    """
    if len(arrays.get("numbers", ())) != vector.num_envs:
        raise InputError(f"{WHAT}: {len(arrays.get('numbers', ()))}; allowed: {vector.num_envs}")
    _lay_out(vector, arrays)
    bank = vector.stack.bank
    assert bank is not None
    rows = records(arrays, "rows", bank.rows)
    check_rows(rows, bank.rows)
    bank.rows[:] = rows
    for i in range(vector.num_envs):
        _restore_row(vector, i, arrays)
    over = part(arrays, "over", np.uint8, vector.num_envs)
    check_range(f"{WHAT}: over", over, FLAG, {})
    vector.over[:] = over == 1
    obs = arrays.get("obs", np.zeros(0))
    if obs.dtype != vector.obs.dtype or obs.shape != vector.obs.shape or not np.isfinite(obs).all():
        raise InputError(f"{WHAT}: obs; allowed: finite {vector.obs.dtype} of shape {vector.obs.shape}")
    vector.obs[:] = obs
    vector.begun[:] = True


def _lay_out(vector: EdgeCloudVector, arrays: dict[str, Array]) -> None:
    """Draw the worlds again, in rows of the same room as before."""
    count = vector.num_envs
    seeds = numbers(arrays, "seeds", count, 0, MOST_SEED)
    episodes = numbers(arrays, "numbers", count, 0, MOST_EPISODE)
    most = 0 if vector.scenario.open_loop else MAX_DEVICES
    fleets = [devices or None for devices in numbers(arrays, "fleets", count, 0, most)]
    stack = Stack(count)
    # Rows have room for the largest world so far, which need not be among those that are laid out here.
    room = numbers(arrays, "room", len(stack.room), 0, MEMORY_LIMIT)
    stack.room |= dict(zip(stack.room, room, strict=True))
    for i in range(count):
        begun = vector.episodes.laid_out(seeds[i], vector.environment + i, episodes[i], fleets[i])
        stack.take(i, begun)
    vector.seeds, vector.numbers, vector.fleets, vector.stack = list(seeds), episodes, fleets, stack


def _restore_row(vector: EdgeCloudVector, i: int, arrays: dict[str, Array]) -> None:
    """Put one copy's state back, and check it."""
    bank, begun = vector.stack.bank, vector.stack.begun[i]
    assert bank is not None
    assert begun is not None
    simulation, control = begun.simulation, bank.control[i].copy()
    own = simulation.state._asdict()
    for name in KEPT:
        into = own.get(name, getattr(bank, name)[i])
        if name in _HISTOGRAMS:
            bins(arrays, f"{i}.{name}", into)
        else:
            into[...] = records(arrays, f"{i}.{name}", into)
    check_row(bank, i, begun, control)
    snapshot: dict[str, Any] = {}
    for name in _SNAPSHOT:
        snapshot[name] = np.zeros_like(own[name])
        if name in _HISTOGRAMS:
            bins(arrays, f"{i}.snapshot.{name}", snapshot[name])
        else:
            snapshot[name][...] = records(arrays, f"{i}.snapshot.{name}", snapshot[name])
    counts = part(arrays, f"{i}.snapshot", np.int64, len(_NUMBERS))
    snapshot |= dict(zip(_NUMBERS, counts.tolist(), strict=True))
    world = simulation.world
    bounds = limits(world.arrays, simulation.state, world.horizon_ns)
    check_snapshot(f"{WHAT}: {i}.snapshot", snapshot, bounds)
    simulation.snapshot = snapshot


def _as_bytes(array: Array) -> Array:
    """Return an array's bytes, in order."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).copy()


def _put(arrays: dict[str, Array], name: str, array: Array, sparse: bool) -> None:
    """Keep one array."""
    if sparse:
        flat = array.reshape(-1)
        places = np.flatnonzero(flat)
        arrays[f"{name}.at"], arrays[f"{name}.values"] = places, flat[places]
    else:
        arrays[name] = _as_bytes(array)
