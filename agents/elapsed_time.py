"""Discounting by elapsed time for stable-baselines3's on-policy learners, which know one fixed gamma.

Steps of the environment last unequal times, so a step's discount is exp(-dt / tau), given in
`info["discount"]` (semi-Markov decisions: Bradtke and Duff, 1994). A rollout buffer keeps it beside the
reward; a callback hands it over and bootstraps truncated episodes with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback


class ElapsedTimeRolloutBuffer(RolloutBuffer):
    """A rollout buffer whose discount belongs to the step.

    `gae_lambda` stays a factor per decision: it trades bias for variance along a chain of value estimates,
    whatever time they are apart.
    """

    discounts: NDArray[np.float32]  # (steps, environments)

    def reset(self) -> None:
        """Empty the buffer."""
        self.discounts = np.full((self.buffer_size, self.n_envs), np.nan, dtype=np.float32)
        super().reset()

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: NDArray[np.bool_]) -> None:
        """Fill `advantages` by generalised advantage estimation, and `returns`.

        :param last_values: values of the states after the last step  # (environments, 1)
        :param dones: whether the last step ended its episode  # (environments,)
        """
        after = last_values.clone().cpu().numpy().reshape(1, self.n_envs)
        next_values = np.concatenate([self.values[1:], after])
        ends = np.concatenate([self.episode_starts[1:], dones.reshape(1, self.n_envs).astype(np.float32)])
        discounts = self.discounts * (1.0 - ends)
        surprise = self.rewards + discounts * next_values - self.values
        advantage = np.zeros(self.n_envs, dtype=np.float32)
        for step in reversed(range(self.buffer_size)):
            advantage = surprise[step] + discounts[step] * self.gae_lambda * advantage
            self.advantages[step] = advantage
        self.returns = self.advantages + self.values


class ElapsedTimeDiscount(BaseCallback):
    """Hands each step's discount to an `ElapsedTimeRolloutBuffer`.

    The learner adds gamma * V(final observation) to the reward of a truncated step after its callbacks ran.
    Here the mark that it looks for is taken away, and the same is done with the step's own discount.
    """

    def _on_step(self) -> bool:
        infos: list[dict[str, Any]] = self.locals["infos"]
        discounts = np.array([info["discount"] for info in infos], dtype=np.float32)
        buffer: ElapsedTimeRolloutBuffer = self.locals["rollout_buffer"]
        buffer.discounts[buffer.pos] = discounts
        for index in np.flatnonzero(self.locals["dones"]):
            if infos[index].pop("TimeLimit.truncated", False):
                value = self._value(infos[index]["terminal_observation"])
                self.locals["rewards"][index] += discounts[index] * value
        return True

    def _value(self, observation: NDArray[np.float32]) -> float:
        policy: Any = self.model.policy
        with torch.no_grad():
            return float(policy.predict_values(policy.obs_to_tensor(observation)[0])[0])
