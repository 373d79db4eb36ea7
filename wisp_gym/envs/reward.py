"""The reward's named terms, and the rewards made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel
from wisp_gym.errors import InputError, nearest, shown
from wisp_gym.world.types import GROUPS

Terms = Mapping[str, float]
Reward = Callable[[Terms], float]
FloatArray = npt.NDArray[np.float64]

TERMS = (
    "dt_s",  # simulated time of the step
    "demand_tps",  # what the fleet's classes ask for, tokens/s
    "behind_share",  # devices behind their timeline now, share
    "due_tokens",  # fell due in the step
    "on_time_tokens",  # of them delivered by then
    "delivered_tokens",
    "committed_tokens",
    *(f"due_tokens_class_{g + 1}" for g in range(GROUPS)),
    *(f"on_time_tokens_class_{g + 1}" for g in range(GROUPS)),
)
"""Names of the terms, in the order of the array that the compiled step writes."""

DT, DEMAND, BEHIND, DUE, ON_TIME, DELIVERED, COMMITTED = range(7)
DUE_CLASS, ON_TIME_CLASS = 7, 7 + GROUPS

_FLOOR = 0.01
"""Share of tokens on time below which the logarithmic utility falls no further."""

CUSTOM, GOODPUT, ATTAINMENT, LOG_UTILITY = range(4)
REWARDS: dict[str, int] = {"goodput": GOODPUT, "attainment": ATTAINMENT, "log_utility": LOG_UTILITY}
"""The compiled rewards by name; a callable of the user's is CUSTOM."""


@kernel
def goodput(terms: FloatArray) -> float:
    """Tokens that fell due in the step and were there by then, over the fleet's demand in a second."""
    return float(terms[ON_TIME] / terms[DEMAND])


@kernel
def attainment(terms: FloatArray) -> float:
    """Time of the step, s, times the share of devices that are not behind."""
    return float(terms[DT] * (1.0 - terms[BEHIND]))


@kernel
def log_utility(terms: FloatArray) -> float:
    """Time of the step, s, times the mean over classes of the logarithm of the share of their due tokens
    on time."""
    total, classes = 0.0, 0
    for g in range(GROUPS):
        due = terms[DUE_CLASS + g]
        if due > 0.0:
            total += math.log(max(terms[ON_TIME_CLASS + g] / due, _FLOOR))
            classes += 1
    return terms[DT] * total / classes if classes > 0 else 0.0


@kernel
def named_reward(terms: FloatArray, which: int) -> float:
    """Return a reward by its number in REWARDS; 0 for CUSTOM, which Python adds.

    :param terms: of one step, in the order of TERMS  # (15,)
    """
    if which == GOODPUT:
        return goodput(terms)
    if which == ATTAINMENT:
        return attainment(terms)
    if which == LOG_UTILITY:
        return log_utility(terms)
    return 0.0


@kernel
def read_terms(counters: Any, before: Any, demand_tps: float, dt_s: float, behind: float, terms: Any) -> None:
    """Write the terms of a step and remember what was counted up to now.

    :param counters: settled up to now  # (4,) COUNTER
    :param before: due, on time, delivered, committed of the decision before, by class  # (4, 4)
    """
    terms[:] = 0.0
    terms[DT], terms[DEMAND], terms[BEHIND] = dt_s, demand_tps, behind
    for g in range(GROUPS):
        due = counters[g]["due"] - before[g, 0]
        on_time = counters[g]["due_on_time"] - before[g, 1]
        terms[DUE] += due
        terms[ON_TIME] += on_time
        terms[DELIVERED] += counters[g]["delivered"] - before[g, 2]
        terms[COMMITTED] += counters[g]["committed"] - before[g, 3]
        terms[DUE_CLASS + g] = due
        terms[ON_TIME_CLASS + g] = on_time
        remember_counts(counters, before, g)


@kernel
def remember_counts(counters: Any, before: Any, g: int) -> None:
    """Keep one class's counts for the next step."""
    before[g, 0], before[g, 1] = counters[g]["due"], counters[g]["due_on_time"]
    before[g, 2], before[g, 3] = counters[g]["delivered"], counters[g]["committed"]


def counts_now(counters: Any) -> npt.NDArray[np.int64]:
    """Return what the terms are differences of: due, on time, delivered, committed by class.  # (4, 4)"""
    fields = ("due", "due_on_time", "delivered", "committed")
    return np.stack([counters[field] for field in fields], axis=1)


def resolve_reward(reward: str | Reward) -> tuple[int, Reward | None]:
    """Return the number of a compiled reward and None, or CUSTOM and the callable.

    :raises InputError: an unknown name
    """
    if callable(reward):
        return CUSTOM, reward
    if not isinstance(reward, str) or reward not in REWARDS:
        raise InputError(f"reward: unknown {shown(reward)}; {nearest(str(reward), REWARDS)}, or a callable")
    return REWARDS[reward], None


def named_terms(terms: FloatArray) -> dict[str, float]:
    """Return the terms of one step by name.

    :param terms: in the order of TERMS  # (15,)
    """
    return dict(zip(TERMS, terms.tolist(), strict=True))
