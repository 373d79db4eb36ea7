"""The reward's named terms, and the rewards made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym.errors import InputError, nearest
from wisp_gym.pipeline.simulation import Simulation
from wisp_gym.world.types import GROUPS

Terms = Mapping[str, float]
Reward = Callable[[Terms], float]

_FLOOR = 0.01
"""Share of tokens on time below which the logarithmic utility falls no further."""


def goodput(terms: Terms) -> float:
    """Tokens that fell due in the step and were there by then, over the fleet's demand in a second."""
    return terms["on_time_tokens"] / terms["demand_tps"]


def attainment(terms: Terms) -> float:
    """Time of the step, s, times the share of devices that are not behind."""
    return terms["dt_s"] * (1.0 - terms["behind_share"])


def log_utility(terms: Terms) -> float:
    """Time of the step, s, times the mean over classes of the logarithm of the share of their due tokens
    on time."""
    total, classes = 0.0, 0
    for g in range(GROUPS):
        due = terms[f"due_tokens_class_{g + 1}"]
        if due > 0:
            total += math.log(max(terms[f"on_time_tokens_class_{g + 1}"] / due, _FLOOR))
            classes += 1
    return terms["dt_s"] * total / classes if classes else 0.0


REWARDS: dict[str, Reward] = {"goodput": goodput, "attainment": attainment, "log_utility": log_utility}


def resolve_reward(reward: str | Reward) -> Reward:
    """Return a reward by name, or the callable itself.

    :raises InputError: an unknown name
    """
    if callable(reward):
        return reward
    if reward not in REWARDS:
        raise InputError(f"reward: unknown {reward!r}; {nearest(str(reward), REWARDS)}, or a callable")
    return REWARDS[reward]


class TermCounter:
    """Says what happened between two decisions.

    :param simulation: settled whenever `read` is called
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        groups = simulation.world.arrays.groups
        self.demand_tps = float((groups["devices"] * groups["rate_tps"]).sum())
        self.before = self._counts()
        self.before_ns = simulation.now_ns

    def _counts(self) -> npt.NDArray[np.int64]:
        counters: Any = self.simulation.state.counters
        return np.array(
            [counters["due"], counters["due_on_time"], counters["delivered"], counters["committed"]]
        )

    def read(self, behind_share: float) -> dict[str, float]:
        """Return the terms since the last call.

        :param behind_share: share of devices that are behind now
        """
        counts = self._counts()
        step = counts - self.before
        terms = {
            "dt_s": 1e-9 * (self.simulation.now_ns - self.before_ns),
            "demand_tps": self.demand_tps,
            "behind_share": behind_share,
            "due_tokens": float(step[0].sum()),
            "on_time_tokens": float(step[1].sum()),
            "delivered_tokens": float(step[2].sum()),
            "committed_tokens": float(step[3].sum()),
        }
        for g in range(GROUPS):
            terms[f"due_tokens_class_{g + 1}"] = float(step[0, g])
            terms[f"on_time_tokens_class_{g + 1}"] = float(step[1, g])
        self.before, self.before_ns = counts, self.simulation.now_ns
        return terms
