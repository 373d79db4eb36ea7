"""A second simulator, written from the definitions and not from the kernel: plain objects, an event heap, slow and obvious."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wisp_gym.pipeline.policy import Policy
from wisp_gym.world import World


@dataclass(frozen=True)
class Reference:
    """What the reference made of a world.

    Attributes:
        log: int64 rows in the format of `wisp_gym.pipeline.log`.
        outcomes: The sessions' outcomes, as the kernel's record array.
        metrics: Every metric that `wisp_gym.metrics.measure` returns, from the reference's own objects.
    """

    log: npt.NDArray[np.int64]
    outcomes: npt.NDArray[np.void]
    metrics: dict[str, float]


def simulate(world: World, policy: Policy, policy_seed: int = 0) -> Reference:
    """The world under the policy, by the reference simulator."""
    raise NotImplementedError


def difference(world: World, policy: Policy, policy_seed: int = 0) -> str | None:
    """Runs kernel and reference: the first differing log row, outcome, counter or metric as one line, or None."""
    raise NotImplementedError
