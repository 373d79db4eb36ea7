"""What Python controllers answer, checked: one clear line for each thing that can be wrong with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym.errors import InputError
from wisp_gym.rules.control import MAX_DRAFT
from wisp_gym.rules.select import NEVER


def is_whole(value: Any) -> bool:
    """Return whether a value is an integer (and not a truth value)."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)


def as_array(value: Any, what: str) -> npt.NDArray[Any]:
    """Return an answer as an array.

    :param what: who gave it
    :raises InputError: lists of unequal length, and whatever else makes no array
    """
    try:
        return np.asarray(value)
    except (ValueError, TypeError):
        raise InputError(f"{what}: {value!r}; allowed: a flat list of numbers") from None


def check_scores(value: Any, length: int) -> npt.NDArray[Any]:
    """Return a drafter's stop scores of one stream.  # (length,)

    :raises InputError: another shape, or something that is not a number
    """
    scores = as_array(value, "Drafter.score")
    if scores.shape != (length,) or scores.dtype.kind not in "iuf" or np.isnan(scores).any():
        given = f"{scores.dtype} of shape {scores.shape}"
        raise InputError(f"Drafter.score: {given}; allowed: ({length},) numbers, none of them nan")
    return scores


def check_limit(value: Any) -> tuple[int, float]:
    """Return a drafter's limit: most tokens, threshold.

    :raises InputError: anything but a pair of an integer of 0-32 and a number
    """
    if not isinstance(value, tuple) or len(value) != 2:
        raise InputError(f"Drafter.limit: {value!r}; allowed: a pair (most tokens, threshold)")
    cap, threshold = value
    if not is_whole(cap) or not 0 <= cap <= MAX_DRAFT:
        raise InputError(f"Drafter.limit: most tokens {cap!r}; allowed: an integer of 0 to {MAX_DRAFT}")
    if not isinstance(threshold, float | int | np.floating) or math.isnan(threshold):
        raise InputError(f"Drafter.limit: threshold {threshold!r}; allowed: a number")
    return int(cap), float(threshold)


def check_wait(until_ns: Any, now_ns: int) -> int:
    """Return until when a scheduler waits, ns.

    :raises InputError: anything but whole nanoseconds later than now
    """
    if not is_whole(until_ns) or not now_ns < until_ns <= NEVER:
        raise InputError(f"Scheduler.select: wait until {until_ns!r}; allowed: whole ns, later than now")
    return int(until_ns)


def check_picks(value: Any, waiting: int) -> npt.NDArray[np.int64]:
    """Return a scheduler's choice of requests.

    :param waiting: requests in the queue
    :raises InputError: no, repeated or unknown indices
    """
    picks = as_array(value, "Scheduler.select")
    if picks.ndim != 1 or len(picks) == 0 or picks.dtype.kind not in "iu":
        raise InputError(f"Scheduler.select: {value!r}; allowed: a list of indices, not empty, or Wait")
    if picks.min() < 0 or picks.max() >= waiting or len(np.unique(picks)) < len(picks):
        raise InputError(f"Scheduler.select: {value!r}; allowed: indices of 0 to {waiting - 1}, each once")
    return picks.astype(np.int64)
