"""Admission control at a loss system, with its values from linear algebra: what a critic must find.

Customers of two classes arrive at random at a few servers. A decision exists where one arrives and a server
is free: admit it, for its class's reward, or turn it away. Where all are busy the next decision is far,
so the time between decisions depends on what was decided, and a fixed discount per decision is wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

SERVERS = 3
ARRIVALS_PER_S = 2.0
SERVED_PER_S = 0.1
RICH = 0.3
REWARDS = np.array([0.25, 1.0])
SHARES = np.array([1 - RICH, RICH])
TAU_S = 10.0
EPISODE_STEPS = 40

Floats = NDArray[np.float64]


class Admission(VecEnv):
    """Copies side by side; observed are the busy servers and the class of the customer, one place each."""

    def __init__(self, copies: int, seed: int) -> None:
        super().__init__(copies, Box(0, 1, (SERVERS + 2,), np.float32), Discrete(2))
        self._random = np.random.default_rng(seed)
        self._all = np.arange(copies)

    def reset(self) -> NDArray[np.float32]:
        self._busy, self._steps = np.zeros(self.num_envs, np.int64), np.zeros(self.num_envs, np.int64)
        self._kind = self._draw_kind()
        return self._observe()

    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        rewards = self._actions * REWARDS[self._kind]
        self._busy += self._actions
        dt_s = self._run_to_next_decision()
        self._kind = self._draw_kind()
        self._steps += 1
        self.out = np.rec.fromarrays([np.exp(-dt_s / TAU_S)], names="discount")
        dones = self._steps == EPISODE_STEPS
        final, infos = self._observe(), [{} for _ in self._all]
        for index in np.flatnonzero(dones):
            infos[index] = {"TimeLimit.truncated": True, "terminal_observation": final[index]}
        self._busy[dones] = self._steps[dones] = 0
        return self._observe(), rewards.astype(np.float32), dones, infos

    def action_masks(self) -> NDArray[np.bool_]:
        return np.ones((self.num_envs, 2), np.bool_)

    def _run_to_next_decision(self) -> Floats:
        dt_s, deciding = np.zeros(self.num_envs), np.zeros(self.num_envs, np.bool_)
        while not deciding.all():
            rate = ARRIVALS_PER_S + self._busy * SERVED_PER_S
            dt_s += np.where(deciding, 0.0, self._random.exponential(1 / rate))
            arrival = self._random.random(self.num_envs) < ARRIVALS_PER_S / rate
            self._busy -= ~deciding & ~arrival
            deciding |= arrival & (self._busy < SERVERS)
        return dt_s

    def _draw_kind(self) -> NDArray[np.int64]:
        return (self._random.random(self.num_envs) < RICH).astype(np.int64)

    def _observe(self) -> NDArray[np.float32]:
        return np.hstack([np.eye(SERVERS)[self._busy], np.eye(2)[self._kind]]).astype(np.float32)

    def close(self) -> None: ...

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None: ...

    def env_method(self, method_name: str, *arguments: Any, indices: Any = None, **named: Any) -> list[Any]:
        return list(getattr(self, method_name)())

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [True] * self.num_envs


def states() -> NDArray[np.float32]:
    """Every observation: 0 to SERVERS - 1 busy, in each the poor class, then the rich.  # (states, 5)"""
    rows = [np.hstack([np.eye(SERVERS)[busy], np.eye(2)[kind]]) for busy in range(SERVERS) for kind in (0, 1)]
    return np.array(rows, np.float32)


def transitions(per_s: float) -> Floats:
    """E[exp(-per_s * time to the next decision); it finds b busy] from n busy after a decision.

    :param per_s: rate of discounting; 0 gives the chances alone
    :returns: rows n = 0 to SERVERS, columns b = 0 to SERVERS - 1
    """
    result = np.zeros((SERVERS + 1, SERVERS))
    for n in range(SERVERS + 1):
        room = n < SERVERS
        out = n * SERVED_PER_S
        total = out + per_s + (ARRIVALS_PER_S if room else 0.0)
        if room:
            result[n, n] = ARRIVALS_PER_S / total
        if n:
            result[n] += out / total * result[n - 1]
    return result


def values(admit: Floats, discounted: Floats) -> Floats:
    """Values of all states under a policy.

    :param admit: chance to admit, by state  # (states,)
    :param discounted: as `transitions` gives them, the discount within  # (SERVERS + 1, SERVERS)
    """
    count = 2 * SERVERS
    chain, gain = np.zeros((count, count)), np.zeros(count)
    for state in range(count):
        busy, kind = divmod(state, 2)
        gain[state] = admit[state] * REWARDS[kind]
        to = (1 - admit[state]) * discounted[busy] + admit[state] * discounted[busy + 1]
        chain[state] = np.kron(to, SHARES)
    return np.linalg.solve(np.eye(count) - chain, gain)
