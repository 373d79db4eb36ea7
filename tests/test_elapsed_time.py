"""Discounting by elapsed time: advantages by hand, truncation, and a task whose values are known exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from admission import SERVERS, SHARES, TAU_S, Admission, states, transitions, values
from known_answer import KnownAnswer, KnownAnswers, copies
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor

from agents import learners
from agents.elapsed_time import ElapsedTimeDiscount
from agents.settings import KINDS, AnySettings, load_settings


def small(kind: str, *changes: str) -> AnySettings:
    batches = () if kind == "a2c" else ("batch_size=2",)
    return load_settings(kind, ["hidden=[8]", *batches, *changes])


@pytest.mark.parametrize("kind", KINDS)
def test_advantages_by_hand(kind: str) -> None:
    settings = small(kind, "environments=2", "rollout_steps=8", "gae_lambda=0.5")
    buffer: Any = learners.build(settings, copies(settings, "", (), 0), seed=0).rollout_buffer
    buffer.rewards[:] = np.transpose([[1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 1.0]])
    buffer.values[:] = np.transpose([[10.0, 20.0, 30.0, 40.0], [1.0, 2.0, 3.0, 4.0]])
    buffer.discounts[:] = np.transpose([[0.9, 0.8, 0.5, 0.7], [0.1, 0.2, 0.3, 0.4]])
    buffer.episode_starts[:, 0] = [1.0, 0.0, 1.0, 0.0]  # so the second step ended an episode
    buffer.compute_returns_and_advantage(torch.tensor([[50.0], [5.0]]), np.array([False, True]))
    last = 4.0 + 0.7 * 50.0 - 40.0
    third = 3.0 + 0.5 * 40.0 - 30.0 + 0.5 * 0.5 * last
    second = 2.0 - 20.0
    first = 1.0 + 0.9 * 20.0 - 10.0 + 0.9 * 0.5 * second
    assert buffer.advantages[:, 0] == pytest.approx([first, second, third, last])
    assert buffer.returns[:, 0] == pytest.approx([first + 10, second + 20, third + 30, last + 40])
    last = 1.0 - 4.0  # the other copy's last step ended its episode
    third = 0.0 + 0.3 * 4.0 - 3.0 + 0.3 * 0.5 * last
    second = 1.0 + 0.2 * 3.0 - 2.0 + 0.2 * 0.5 * third
    first = 0.0 + 0.1 * 2.0 - 1.0 + 0.1 * 0.5 * second
    assert buffer.advantages[:, 1] == pytest.approx([first, second, third, last])


class TwoSteps(KnownAnswer):
    """Truncated after every other step; reward 1, discounts 0.5 and then 0.25."""

    def step(self, action: NDArray[np.int64]) -> Any:
        observation, _, _, _, info = super().step(action)
        return observation, 1.0, False, self._step == 2, info | {"discount": 0.5**self._step}


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_step_is_bootstrapped_with_its_own_discount(kind: str) -> None:
    """The critic says 3 everywhere: a truncated step is worth 1 + 0.25 * 3, and the learner adds no more."""
    settings = small(kind, "environments=2", "rollout_steps=12", "learning_rate=1e-9")
    environments = KnownAnswers([lambda: Monitor(TwoSteps())] * 2)
    learner = learners.build(settings, environments, seed=0)
    critic: Any = learner.policy.value_net
    torch.nn.init.zeros_(critic.weight)
    torch.nn.init.constant_(critic.bias, 3.0)
    learner.learn(12, callback=ElapsedTimeDiscount())
    buffer: Any = learner.rollout_buffer
    assert buffer.rewards == pytest.approx(np.tile([[1.0], [1.75]], (3, 2)))
    assert buffer.discounts == pytest.approx(np.tile([[0.5], [0.25]], (3, 2)))


class Watch(BaseCallback):
    """Notes the critic's value of every state and the chance to admit, before every rollout."""

    def __init__(self) -> None:
        super().__init__()
        self.critic: list[NDArray[np.float64]] = []
        self.admit: list[NDArray[np.float64]] = []

    def _on_rollout_start(self) -> None:
        policy: Any = self.model.policy
        observed = torch.from_numpy(states())
        with torch.no_grad():
            self.critic.append(policy.predict_values(observed).numpy().ravel().astype(np.float64))
            chances = policy.get_distribution(observed).distribution.probs
        self.admit.append(chances[:, 1].numpy().astype(np.float64))

    def _on_step(self) -> bool:
        return True


def fixed_gamma(admit: NDArray[np.float64]) -> float:
    """Value of the empty state with the mean discount per decision in place of each one's own."""
    chain = np.array(
        [
            np.kron((1 - a) * transitions(0.0)[s // 2] + a * transitions(0.0)[s // 2 + 1], SHARES)
            for s, a in enumerate(admit)
        ]
    )
    often = np.linalg.matrix_power(chain, 1000)[0]
    own = transitions(1 / TAU_S).sum(1)
    mean = sum(often[s] * ((1 - a) * own[s // 2] + a * own[s // 2 + 1]) for s, a in enumerate(admit))
    return float(values(admit, mean * transitions(0.0))[:2] @ SHARES)


def test_the_critic_finds_the_exact_values() -> None:
    """Within 2 %, where a fixed discount is more than 15 % off."""
    assert transitions(0.0).sum(1) == pytest.approx(np.ones(SERVERS + 1))
    settings = load_settings(
        "ppo",
        [
            *("environments=128", "rollout_steps=4096", "batch_size=1024", "hidden=[16]"),
            *("learning_rate=0.004", "gae_lambda=0.8", "epochs=6"),
        ],
    )
    learner = learners.build(settings, Admission(128, seed=0), seed=0)
    watch = Watch()
    learner.learn(4096 * 50, callback=[watch, ElapsedTimeDiscount()])
    kept = slice(25, None)  # single estimates scatter by 2 %
    exact = np.mean([values(admit, transitions(1 / TAU_S)) for admit in watch.admit[kept]], axis=0)
    critic = np.mean(watch.critic[kept], axis=0)
    empty = float(exact[:2] @ SHARES)
    assert critic[:2] @ SHARES == pytest.approx(empty, rel=0.02)
    assert fixed_gamma(np.mean(watch.admit[kept], axis=0)) < 0.85 * empty
    assert watch.admit[-1].round().tolist() == [0, 1] * SERVERS  # the poor are turned away, as is best
