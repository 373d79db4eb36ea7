"""What the tests of EdgeCloud-v0 share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisp_gym.envs import EdgeCloud, wisp_action
from wisp_gym.envs.action import NAMES
from wisp_gym.envs.features import (
    entries,
)
from wisp_gym.pipeline import Simulation

Action = NDArray[np.int64]
SMALL = ("fleet.allow_infeasible=true", "fleet.devices=10")
CROWD = ("fleet.allow_infeasible=true", "fleet.devices=60")


def make(*overrides: str, **arguments: Any) -> EdgeCloud:
    settings: dict[str, Any] = {"seed": 1, "episode_s": 5.0} | arguments
    return EdgeCloud("quickstart", overrides or SMALL, **settings)


def simulation_of(env: EdgeCloud) -> Simulation:
    assert env.simulation is not None
    return env.simulation


def play(env: EdgeCloud, act: Callable[[], Any], **reset: Any) -> Iterator[tuple[Any, float, dict[str, Any]]]:
    """Yield observation, reward and info of each step of an episode."""
    env.reset(**reset)
    over = False
    while not over:
        observation, reward, terminated, over, info = env.step(act())
        assert not terminated
        yield observation, reward, info


def action_of(**parts: int) -> Action:
    action = wisp_action()
    for name, value in parts.items():
        action[NAMES.index(name)] = value
    return action


def named(observation: NDArray[np.float32]) -> dict[str, float]:
    return {entry.name: float(value) for entry, value in zip(entries(), observation, strict=True)}
