"""The copies of the environment that an agent trains in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from agents.settings import AgentSettings
from agents.spaces import ENVIRONMENT_ID


class StepValues(Protocol):
    """What the last step said beside the reward, one entry a copy."""

    dt: NDArray[Any]
    discount: NDArray[Any]
    cost: NDArray[Any]
    forced: NDArray[Any]


class TrainingEnvironments(Protocol):
    """What training asks of its environments beyond stable-baselines3's VecEnv."""

    last_step: StepValues

    def capture(self) -> dict[str, NDArray[Any]]:
        """Return the whole state as plain arrays."""

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from a captured state: the same actions give the same bytes."""


def make_environments(settings: AgentSettings, scenario: str, overrides: Sequence[str], seed: int) -> VecEnv:
    """Return `settings.environments` copies side by side, each with training worlds of its own.

    :param settings: the agent's settings
    :param scenario: name or path
    :param overrides: changes to the scenario as "key=value"
    :param seed: of the worlds; the copy's index is the other part of a world's name
    """
    make = partial(_make_one, settings, scenario, tuple(overrides), seed)
    return Copies([partial(make, index) for index in range(settings.environments)])


class Values:
    def __init__(self, infos):
        for name in ("dt", "discount", "cost", "forced"):
            setattr(self, name, np.array([info[name] for info in infos], np.float32))


class Copies(DummyVecEnv):
    def step_wait(self):
        result = super().step_wait()
        self.last_step = Values(result[3])
        return result


def _make_one(
    settings: AgentSettings, scenario: str, overrides: tuple[str, ...], seed: int, index: int
) -> gymnasium.Env[Any, Any]:
    environment = gymnasium.make(
        ENVIRONMENT_ID,
        disable_env_checker=True,  # its checks cost time on every step; the tests run them
        scenario=scenario,
        overrides=overrides,
        seed=seed,
        split="train",
        environment=index,
        reward=settings.reward,
        control=settings.control,
    )
    return Monitor(environment)
