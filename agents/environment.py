"""The copies of the environment that an agent trains in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from agents.settings import AgentSettings
from agents.vector import VectorAdapter
from wisp_gym.envs import EdgeCloudVector


class TrainingEnvironments(Protocol):
    """What training asks of its environments beyond stable-baselines3's VecEnv."""

    @property
    def out(self) -> NDArray[Any]:
        """The last step's dt (s), discount, cost and forced, a record a copy.  # (copies,)"""

    @property
    def terms(self) -> NDArray[np.float64]:
        """The last step's terms of the reward, in the order of its TERMS.  # (copies, terms)"""

    def capture(self) -> dict[str, NDArray[Any]]:
        """Return the whole state as arrays of numbers."""

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from a captured state: the same actions give the same bytes."""


def make_environments(settings: AgentSettings, scenario: str, overrides: Sequence[str], seed: int) -> VecEnv:
    """Return `settings.environments` copies side by side, each with training worlds of its own.

    :param settings: the agent's settings
    :param scenario: name or path
    :param overrides: changes to the scenario as "key=value"
    :param seed: of the worlds; the copy's index is the other part of a world's name
    """
    vector = EdgeCloudVector(
        settings.environments,
        scenario,
        tuple(overrides),
        seed,
        split="train",
        reward=settings.reward,
        control=settings.control,
        hold_s=settings.hold_s,
        tau_s=settings.tau_s,
        autoreset_mode="SameStep",
        terms=False,
    )
    return VectorAdapter(vector)
