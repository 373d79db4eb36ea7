"""Discounting by elapsed time for stable-baselines3's on-policy learners, which know one fixed gamma.

Steps of the environment last unequal times, so a step's discount is exp(-dt / tau), given by
the environments (semi-Markov decisions: Bradtke and Duff, 1994). A rollout buffer keeps it beside the
reward; a callback hands it over and bootstraps truncated episodes with it.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib.common.maskable.buffers import MaskableRolloutBuffer
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback

from agents.environment import TrainingEnvironments


class ElapsedTime(RolloutBuffer):
    """Makes a rollout buffer one whose discount belongs to the step.

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


class ElapsedTimeRolloutBuffer(ElapsedTime):
    """The buffer of PPO and A2C."""


class MaskableElapsedTimeRolloutBuffer(ElapsedTime, MaskableRolloutBuffer):
    """The buffer of MaskablePPO, which keeps the masks too."""


class ElapsedTimeDiscount(BaseCallback):
    """Hands each step's discount to a buffer of this module.

    The learner adds gamma * V(final observation) to the reward of a truncated step after its callbacks ran.
    Here the mark that it looks for is taken away, and the same is done with the step's own discount. PPO,
    A2C and MaskablePPO all collect in this order.
    """

    def _on_step(self) -> bool:
        discounts = cast(TrainingEnvironments, self.training_env).out["discount"]
        buffer: ElapsedTime = self.locals["rollout_buffer"]
        buffer.discounts[buffer.pos] = discounts
        dones = self.locals["dones"]
        if dones.any():
            infos: list[dict[str, Any]] = self.locals["infos"]
            ended = np.flatnonzero(dones)
            truncated = [index for index in ended if infos[index].pop("TimeLimit.truncated", False)]
            if truncated:
                final = np.stack([infos[index]["terminal_observation"] for index in truncated])
                self.locals["rewards"][truncated] += discounts[truncated] * self._values(final)
        return True

    def _values(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        """Return the critic's values of some observations.  # (observations,)"""
        policy: Any = self.model.policy
        with torch.no_grad():
            values: NDArray[np.float32] = policy.predict_values(policy.obs_to_tensor(observations)[0]).numpy()
        return values.ravel()
