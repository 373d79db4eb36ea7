"""The whole state of a vector of environments as plain arrays, and back, exactly.

What a seed gives back (worlds, stop scores) is drawn again; what happened since is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wisp_gym.envs.rows import ROW_FIELDS
from wisp_gym.errors import InputError

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

    :param arrays: what `capture` returned
    :raises InputError: they are of another number of copies or another scenario
    """
    if len(arrays.get("numbers", ())) != vector.num_envs:
        raise InputError(f"kept environments: {len(arrays.get('numbers', ()))}; allowed: {vector.num_envs}")
    vector.seeds = [None if seed < 0 else int(seed) for seed in arrays["seeds"]]
    vector.numbers = [int(number) for number in arrays["numbers"]]
    vector.fleets = [int(count) or None for count in arrays["fleets"]]
    for i in range(vector.num_envs):
        seed = vector.seeds[i]
        assert seed is not None
        begun = vector.episodes.laid_out(seed, vector.environment + i, vector.numbers[i], vector.fleets[i])
        vector.stack.take(i, begun)
    bank = vector.stack.bank
    assert bank is not None
    events = bank.rows["events"].copy()
    bank.rows[:] = arrays["rows"].view(bank.rows.dtype)
    bank.rows["events"] = events
    for i in range(vector.num_envs):
        _restore_row(vector, i, arrays)
    vector.over[:] = arrays["over"] == 1
    vector.obs[:] = arrays["obs"]
    vector.begun[:] = True


def _restore_row(vector: EdgeCloudVector, i: int, arrays: dict[str, Array]) -> None:
    """Put one copy's state back."""
    bank = vector.stack.bank
    assert bank is not None
    for name in KEPT:
        _get(arrays, f"{i}.{name}", getattr(bank, name)[i], name in _HISTOGRAMS)
    simulation = vector.simulation(i)
    snapshot: dict[str, Any] = {}
    for name in _SNAPSHOT:
        snapshot[name] = np.zeros_like(getattr(simulation.state, name))
        _get(arrays, f"{i}.snapshot.{name}", snapshot[name], name in _HISTOGRAMS)
    snapshot |= dict(zip(_NUMBERS, arrays[f"{i}.snapshot"].tolist(), strict=True))
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


def _get(arrays: dict[str, Array], name: str, into: Array, sparse: bool) -> None:
    """Fill an array, from its beginning, with what was kept of it."""
    if sparse:
        into[...] = 0
        into.reshape(-1)[arrays[f"{name}.at"]] = arrays[f"{name}.values"]
        return
    kept = arrays[name].view(into.dtype).reshape(-1, *into.shape[1:])
    if len(kept) > len(into):
        raise InputError(f"kept environments: {name} has {len(kept)} entries; allowed: {len(into)}")
    into[: len(kept)] = kept
