"""Reading kept arrays, which may be a stranger's or damaged: each one's kind, shape and numbers are checked
before any compiled code works on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wisp_gym.envs.action import NAMES, SIZES
from wisp_gym.envs.bank import Bank
from wisp_gym.errors import InputError
from wisp_gym.pipeline.consistency import (
    Limits,
    check_array,
    check_control,
    check_range,
    check_state,
    equal,
    limits,
)
from wisp_gym.pipeline.ranges import COUNT, FAR_NS, FLAG, KV, PAST, Fields
from wisp_gym.pipeline.state import State

if TYPE_CHECKING:
    from wisp_gym.envs.episode import Begun

Array = npt.NDArray[Any]
Arrays = dict[str, Array]

ROW_RANGES: Fields = {"todo": (0, 2), "idle": FLAG, "forced": FLAG, "before_ns": PAST}
"""What of a bank's row (ROW in bank.py) goes on from step to step; the rest is the world's."""

SNAPSHOT_RANGES: Fields = {"start_ns": PAST, "kv_used": KV, "busy_left_ns": (0, FAR_NS)}

WHAT = "kept environments"


def part(arrays: Arrays, name: str, kind: Any, length: int | None = None) -> Array:
    """Return a kept list of numbers.

    :param kind: of the numbers
    :param length: how many; any number by default
    :raises InputError: it is not there, or another
    """
    array = arrays.get(name)
    if array is None:
        raise InputError(f"{WHAT}: {name} is not there; allowed: all that belong to them")
    wanted = (array.size,) if length is None else (length,)
    if array.dtype != np.dtype(kind) or array.shape != wanted:
        given = f"{array.dtype} of shape {array.shape}"
        raise InputError(f"{WHAT}: {name} is {given}; allowed: {np.dtype(kind)} of shape {wanted}")
    return array


def numbers(arrays: Arrays, name: str, length: int, low: int, high: int) -> list[int]:
    """Return kept whole numbers.

    :raises InputError: they are others, or one is out of range
    """
    array = part(arrays, name, np.int64, length)
    check_range(f"{WHAT}: {name}", array, (low, high), {})
    return [int(value) for value in array]


def records(arrays: Arrays, name: str, into: Array) -> Array:
    """Return kept bytes as an array of the kind and shape of `into`.

    :raises InputError: they are too few or too many
    """
    kept = part(arrays, name, np.uint8, into.nbytes)
    return kept.view(into.dtype).reshape(into.shape)


def bins(arrays: Arrays, name: str, into: Array) -> None:
    """Fill an array that is mostly zeros from places and values.

    :raises InputError: a place is beyond it or there twice, or a value is no count
    """
    at = part(arrays, f"{name}.at", np.int64)
    values = part(arrays, f"{name}.values", into.dtype, len(at))
    check_range(f"{WHAT}: {name}.at", at, (0, into.size - 1), {})
    check_range(f"{WHAT}: {name}.values", values, COUNT, {})
    if (np.diff(at) <= 0).any():
        raise InputError(f"{WHAT}: {name}.at is not in order; allowed: each place once, in order")
    into[...] = 0
    into.reshape(-1)[at] = values


def check_rows(kept: Array, laid_out: Array) -> None:
    """Refuse rows of a bank that are not those of the worlds that were laid out.

    :raises InputError: a field differs that the world decides
    """
    for field in kept.dtype.names or ():
        if field not in ROW_RANGES:
            equal(f"{WHAT}: rows.{field}", kept[field], laid_out[field])


def check_row(bank: Bank, i: int, begun: Begun, control: Array) -> None:
    """Refuse one copy's state, as it has been filled in, if the kernel must not work on it.

    :param begun: the copy's episode; its state is the row's
    :param control: the rules as the scenario lays them out
    :raises InputError: a number is out of its range, or some do not fit each other
    """
    state, world = begun.simulation.state, begun.simulation.world
    what = f"{WHAT}: {i}"
    bounds = limits(world.arrays, state, world.horizon_ns)
    check_array(f"{what}.clock", "clock", state.clock, bounds)
    check_control(f"{what}.control", state.control, control)
    for name in State._fields:
        check_array(f"{what}.{name}", name, getattr(state, name), bounds)
    for name in ("memory", "recent", "before"):
        check_array(f"{what}.{name}", name, getattr(bank, name)[i], bounds)
    for field, allowed in ROW_RANGES.items():
        check_range(f"{what}.rows.{field}", bank.rows[i : i + 1][field], allowed, bounds)
    for name, value, size in zip(NAMES, bank.taken[i], SIZES, strict=True):
        check_range(f"{what}.taken.{name}", np.atleast_1d(value), (0, size - 1), {})
    check_state(what, world.arrays, state)


def check_snapshot(what: str, snapshot: dict[str, Any], bounds: Limits) -> None:
    """Refuse what was counted before the window if a number of it is out of range.

    :raises InputError: one is
    """
    for name in ("counters", "totals"):
        check_array(f"{what}.{name}", name, snapshot[name], bounds)
    for name, allowed in SNAPSHOT_RANGES.items():
        check_range(f"{what}.{name}", np.array([snapshot[name]]), allowed, bounds)
