"""Rows of a bank: one pipeline seen as a bank of one row, and a bank of many that takes new worlds in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym.envs.bank import ROW, Bank
from wisp_gym.envs.episode import Begun
from wisp_gym.envs.observation import SUMS
from wisp_gym.envs.reward import counts_now
from wisp_gym.errors import InputError
from wisp_gym.pipeline.state import State
from wisp_gym.world.size import MEMORY_LIMIT
from wisp_gym.world.types import GROUPS, WorldArrays

Array = npt.NDArray[Any]

OF_SCENARIO = ("server", "pass_ns", "noise", "up_ns", "down_ns", "refresh", "expected", "estimator")
"""What is the same in every row."""

_WORKSPACE = ("sums", "least")
ROW_FIELDS = tuple(name for name in Bank._fields if name not in (*OF_SCENARIO, *_WORKSPACE))
"""What differs from row to row."""

_COPIED = tuple(name for name in ROW_FIELDS if name not in ("rows", "log"))

_LENGTH = (
    dict.fromkeys(
        ("world_devices", "devices", "requests", "waiting", "ready", "holders", "heap", "phase", "rank"),
        ("devices", 0),
    )
    | {"picks": ("devices", 1), "events": ("events", 0)}
    | dict.fromkeys(("sessions", "outcomes"), ("sessions", 0))
    | dict.fromkeys(("accepts", "scores", "off_scores"), ("positions", 0))
)
"""Fields whose length goes with a world's size: which of ROW's counts it is, and how many more."""

_HEADROOM = 1.25
"""How much more room than needed is made when a world does not fit."""


def workspace() -> dict[str, Array]:
    """Return the arrays in which the kernel adds up."""
    return {"sums": np.zeros((GROUPS, SUMS)), "least": np.zeros(GROUPS)}


def row_record(begun: Begun) -> Array:
    """Return what the bank's `rows` says of a pipeline at its first decision.  # (1,) ROW"""
    world, state = begun.simulation.world, begun.simulation.state
    groups = world.arrays.groups
    row = np.zeros(1, ROW)
    row["devices"], row["sessions"] = len(world.arrays.devices), len(world.arrays.sessions)
    row["positions"], row["events"] = len(world.arrays.accepts), len(state.events)
    row["horizon_ns"], row["idle"] = world.horizon_ns, begun.idle
    row["before_ns"] = begun.simulation.now_ns
    row["demand_tps"] = float((groups["devices"] * groups["rate_tps"]).sum())
    return row


def parts_of(begun: Begun) -> dict[str, Array]:
    """Return the arrays of a pipeline at its first decision, under the bank's names."""
    world, state, observer = begun.simulation.world.arrays, begun.simulation.state, begun.observer
    parts: dict[str, Array] = {
        name: getattr(world, name) for name in WorldArrays._fields if name != "devices"
    }
    parts |= {name: getattr(state, name) for name in State._fields}
    parts |= {"world_devices": world.devices, "memory": observer.memory, "recent": observer.recent}
    return parts | {"before": counts_now(state.counters), "taken": observer.last}


def single(begun: Begun) -> Bank:
    """Return one pipeline as a bank of one row: views, nothing is copied."""
    parts = parts_of(begun)
    rows = {name: parts[name][np.newaxis] for name in ROW_FIELDS if name != "rows"}
    shared = {name: parts[name] for name in OF_SCENARIO}
    return Bank(rows=row_record(begun), **rows, **shared, **workspace())


def regrown(bank: Bank, begun: Begun) -> Bank:
    """Return the bank of one row again after its pipeline made room for events or log."""
    state = begun.simulation.state
    bank.rows["events"] = len(state.events)
    return bank._replace(events=state.events[np.newaxis], log=state.log[np.newaxis])


class Stack:
    """A bank of many rows. A pipeline that is taken in lives in its row from then on.

    :param count: number of rows
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.begun: list[Begun | None] = [None] * count
        self.bank: Bank | None = None
        self.room = dict.fromkeys(("devices", "sessions", "positions", "events"), 0)

    def take(self, i: int, begun: Begun) -> None:
        """Put a pipeline at its first decision into row i, over the one before."""
        parts = parts_of(begun)
        needed = {
            "devices": len(parts["devices"]),
            "sessions": len(parts["sessions"]),
            "positions": len(parts["accepts"]),
            # So many that room never runs short in the kernel (`advance.room_left`).
            "events": max(len(parts["events"]), 4 * len(parts["devices"]) + len(parts["batch"]) + 64),
        }
        if self.bank is None or any(needed[kind] > self.room[kind] for kind in needed):
            self._make_room(parts, needed)
        assert self.bank is not None
        for name in _COPIED:
            part = parts[name]
            getattr(self.bank, name)[(i, *(slice(length) for length in part.shape))] = part
        self.bank.rows[i] = row_record(begun)[0]
        self.bank.rows[i]["events"] = self.room["events"]
        self.begun[i] = begun
        self.settle_in(i)

    def _make_room(self, parts: dict[str, Array], needed: dict[str, int]) -> None:
        """Lay all rows out anew with room for a larger pipeline."""
        for kind, least in needed.items():
            if least > self.room[kind]:
                self.room[kind] = int(_HEADROOM * least) + 1
        shapes = {name: self._shape(name, parts[name]) for name in _COPIED}
        size = sum(math.prod(shape) * parts[name].itemsize for name, shape in shapes.items())
        if size > MEMORY_LIMIT:
            raise InputError(
                f"{self.count} environments of {needed['devices']} devices and {needed['positions']} token "
                f"positions take {size / 2**30:.1f} GiB; allowed: {MEMORY_LIMIT / 2**30:g} GiB: fewer "
                "copies, a shorter episode_s or fewer devices"
            )
        fields: dict[str, Any] = {"rows": np.zeros(self.count, ROW)}
        fields["log"] = np.zeros((self.count, 0, parts["log"].shape[1]), np.int64)
        fields |= {name: np.zeros(shape, parts[name].dtype) for name, shape in shapes.items()}
        if self.bank is not None:
            for name in ("rows", *_COPIED):
                kept = getattr(self.bank, name)
                fields[name][tuple(slice(length) for length in kept.shape)] = kept
            fields["rows"]["events"] = self.room["events"]
        self.bank = Bank(**fields, **{name: parts[name] for name in OF_SCENARIO}, **workspace())
        for i, begun in enumerate(self.begun):
            if begun is not None:
                self.settle_in(i)

    def _shape(self, name: str, part: Array) -> tuple[int, ...]:
        """Return the shape of a field with room for every row."""
        if name not in _LENGTH:
            return (self.count, *part.shape)
        kind, more = _LENGTH[name]
        return (self.count, self.room[kind] + more, *part.shape[1:])

    def settle_in(self, i: int) -> None:
        """Let row i's simulation and observer work on the row's arrays."""
        begun, bank = self.begun[i], self.bank
        assert begun is not None
        assert bank is not None
        row = bank.rows[i]
        views = {}
        for name in State._fields:
            if name not in OF_SCENARIO:
                view = getattr(bank, name)[i]
                if name in _LENGTH:
                    kind, more = _LENGTH[name]
                    view = view[: row[kind] + more]
                views[name] = view
        begun.simulation.state = begun.simulation.state._replace(**views)
        begun.observer.memory, begun.observer.recent = bank.memory[i], bank.recent[i]
        begun.observer.last = bank.taken[i]
