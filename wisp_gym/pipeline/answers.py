"""What Python controllers answer, checked: one clear line for each thing that can be wrong with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym.errors import InputError, shown
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
    except Exception as error:  # an object of the user's own may raise anything
        raise InputError(f"{what}: {shown(value)}; allowed: a flat list of numbers") from error


def check_scores(value: Any, length: int, who: str = "Drafter") -> npt.NDArray[Any]:
    """Return a drafter's stop scores of one stream.  # (length,)

    :raises InputError: another shape, or something that is not a number
    """
    scores = as_array(value, f"{who}.score")
    if scores.shape != (length,) or scores.dtype.kind not in "iuf" or np.isnan(scores).any():
        given = f"{scores.dtype} of shape {scores.shape}"
        if scores.dtype.kind == "f" and np.isnan(scores).any():
            given += f" with {np.isnan(scores).sum()} of them nan"
        raise InputError(f"{who}.score: {given}; allowed: ({length},) numbers, none of them nan")
    return scores


def check_limit(value: Any, who: str = "Drafter") -> tuple[int, float]:
    """Return a drafter's limit: most tokens, threshold.

    :raises InputError: anything but a pair of an integer of 0-32 and a number
    """
    if not isinstance(value, tuple) or len(value) != 2:
        raise InputError(f"{who}.limit: {shown(value)}; allowed: a pair (most tokens, threshold)")
    cap, threshold = value
    if not is_whole(cap) or not 0 <= cap <= MAX_DRAFT:
        raise InputError(f"{who}.limit: most tokens {shown(cap)}; allowed: an integer of 0 to {MAX_DRAFT}")
    if not isinstance(threshold, float | int | np.floating | np.integer) or isinstance(threshold, bool):
        raise InputError(f"{who}.limit: threshold {shown(threshold)}; allowed: a number")
    try:
        value = float(threshold)
    except OverflowError:
        value = math.nan
    if math.isnan(value):
        raise InputError(f"{who}.limit: threshold {shown(threshold)}; allowed: a number")
    return int(cap), value


def check_wait(until_ns: Any, now_ns: int, who: str = "Scheduler") -> int:
    """Return until when a scheduler waits, ns.

    :raises InputError: anything but whole nanoseconds later than now
    """
    if not is_whole(until_ns) or not now_ns < until_ns <= NEVER:
        raise InputError(f"{who}.select: wait until {shown(until_ns)}; allowed: whole ns, later than now")
    return int(until_ns)


def check_picks(value: Any, waiting: int, who: str = "Scheduler") -> npt.NDArray[np.int64]:
    """Return a scheduler's choice of requests.

    :param waiting: requests in the queue
    :raises InputError: no, repeated or unknown indices
    """
    picks = as_array(value, f"{who}.select")
    if picks.ndim != 1 or len(picks) == 0 or picks.dtype.kind not in "iu":
        raise InputError(f"{who}.select: {shown(value)}; allowed: a list of indices, not empty, or Wait")
    if picks.min() < 0 or picks.max() >= waiting or len(np.unique(picks)) < len(picks):
        raise InputError(f"{who}.select: {shown(value)}; allowed: indices of 0 to {waiting - 1}, each once")
    return picks.astype(np.int64)


MOST_WAITS = 20_000
WAITS_WITHIN_NS = 2_000_000


class Waits:
    """Counts a scheduler's waits: one that asks for nanoseconds again and again would never end.

    More than MOST_WAITS of them within WAITS_WITHIN_NS of simulated time, 100 ns each, are refused.
    """

    def __init__(self) -> None:
        self.since_ns, self.count = 0, 0

    def add(self, now_ns: int, who: str) -> None:
        """Count one more wait.

        :param now_ns: simulated time; :param who: waits, for the message
        :raises InputError: they are too many
        """
        if now_ns - self.since_ns >= WAITS_WITHIN_NS:
            self.since_ns, self.count = now_ns, 0
        self.count += 1
        if self.count > MOST_WAITS:
            raise InputError(
                f"{who}.select: {MOST_WAITS} waits within {1e-6 * WAITS_WITHIN_NS:g} ms of simulated time; "
                "allowed: longer waits"
            )
