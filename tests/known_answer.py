"""An environment like EdgeCloud-v0 whose best action is known, for the tests of the agents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, MultiDiscrete
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from agents.settings import AgentSettings
from wisp_gym.envs.reward import TERMS

COUNTS = (9, 6, 5, 6, 9, 9, 9, 9)
SIZE = 12
BEST = np.array([4, 0, 3, 2, 5, 5, 5, 5])
EPISODE_STEPS = 50


class KnownAnswer(gymnasium.Env[NDArray[np.float32], NDArray[np.int64]]):
    """EdgeCloud-v0's action space and info; a component pays by its closeness to a fixed best choice."""

    def __init__(self, seed: int = 0) -> None:
        self.action_space = MultiDiscrete(COUNTS)
        self.observation_space = Box(-1.0, 1.0, (SIZE,), np.float32)
        self._random = np.random.default_rng(seed)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self._step = 0
        return self._observe(), {}

    def step(self, action: NDArray[np.int64]) -> Any:
        self._step += 1
        closeness = 1.0 - np.abs(action - BEST) / np.array(COUNTS)
        dt_s = float(self._random.uniform(1.0, 5.0))
        ended = self._step == EPISODE_STEPS
        info: dict[str, Any] = {
            "dt": dt_s,
            "discount": float(np.exp(-dt_s / 10)),
            "forced": False,
            "cost": 0.1,
        }
        info["terms"] = {"goodput": float(closeness.mean())}
        if ended:
            info["episode_metrics"] = {
                "goodput_tps": 3.0,
                "attainment": 0.5,
                "attainment_class_2": float("nan"),
            }
        return self._observe(), float(closeness.mean()), False, ended, info

    def action_masks(self) -> NDArray[np.bool_]:
        mask = np.ones(sum(COUNTS), np.bool_)
        mask[0] = self._step % 3 > 0
        return mask

    def _observe(self) -> NDArray[np.float32]:
        return self._random.uniform(-1, 1, SIZE).astype(np.float32)


class KnownAnswers(DummyVecEnv):
    """Copies of `KnownAnswer`, with what training asks of its environments."""

    def step_wait(self) -> Any:
        result = super().step_wait()
        infos = result[3]
        fields = ("dt", "discount", "cost", "forced")
        values = [tuple(info[name] for name in fields) for info in infos]
        self.out = np.array(values, [(name, np.float64) for name in fields])
        self.terms = np.ones((len(infos), len(TERMS)))
        return result

    def capture(self) -> dict[str, NDArray[Any]]:
        inner = [environment.unwrapped for environment in self.envs]
        words = [json.dumps(one._random.bit_generator.state).encode().ljust(500) for one in inner]  # type: ignore[attr-defined]
        return {
            "random": np.array([np.frombuffer(word, np.uint8) for word in words]),
            "steps": np.array([one._step for one in inner]),  # type: ignore[attr-defined]
            "gains": np.array([np.array(env.rewards).sum() for env in self.envs]),  # type: ignore[attr-defined]
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.reset()
        for index, environment in enumerate(self.envs):
            inner: Any = environment.unwrapped
            inner._random.bit_generator.state = json.loads(arrays["random"][index].tobytes())
            inner._step = int(arrays["steps"][index])
            monitor: Any = environment
            monitor.rewards = [0.0] * max(0, inner._step - 1) + [float(arrays["gains"][index])] * (
                inner._step > 0
            )


def copies(settings: AgentSettings, scenario: str, overrides: Any, seed: int) -> KnownAnswers:
    seeds = range(seed, seed + settings.environments)
    return KnownAnswers([lambda s=s: Monitor(KnownAnswer(s)) for s in seeds])  # type: ignore[misc]
