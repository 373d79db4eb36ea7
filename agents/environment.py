"""The copies of the environment that an agent trains in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import gymnasium
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from agents.settings import AgentSettings
from agents.spaces import ENVIRONMENT_ID


def make_environments(settings: AgentSettings, scenario: str, overrides: Sequence[str], seed: int) -> VecEnv:
    """Return `settings.environments` copies side by side, each with training worlds of its own.

    :param settings: the agent's settings
    :param scenario: name or path
    :param overrides: changes to the scenario as "key=value"
    :param seed: of the worlds; the copy's index is the other part of a world's name
    """
    make = partial(_make_one, settings, scenario, tuple(overrides), seed)
    return DummyVecEnv([partial(make, index) for index in range(settings.environments)])


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
