"""EdgeCloudVector as a stable-baselines3 `VecEnv`, which has an interface of its own.

An episode's end is handled in the step itself: the observation returned is the next episode's first, the last
one is in `info["terminal_observation"]`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from wisp_gym.envs import EdgeCloudVector
from wisp_gym.envs.capture import capture, restore
from wisp_gym.envs.kept import numbers, part
from wisp_gym.envs.vector import check_actions

_NOTHING: dict[str, Any] = {}


class VectorAdapter(VecEnv):
    """A vector of environments for stable-baselines3's learners.

    :param vector: made with `autoreset_mode="SameStep"`

    `out` holds the last step's dt (s), discount, cost and forced of all copies as a record array, so that
    callbacks need not read the infos one by one; `terms` the reward's terms  # (copies, 15)
    """

    def __init__(self, vector: EdgeCloudVector) -> None:
        self.vector = vector
        self.render_mode = None
        super().__init__(vector.num_envs, vector.single_observation_space, vector.single_action_space)
        self._sizes = np.array(vector.single_action_space.nvec)  # type: ignore[attr-defined]
        self._all = np.ones(self.num_envs, np.bool_)
        self.returns, self.lengths = np.zeros(self.num_envs), np.zeros(self.num_envs, np.int64)
        self._began_s = time.time()

    @property
    def out(self) -> NDArray[Any]:
        """What the last step gave, OUT records of wisp_gym/envs/bank.py.  # (copies,)"""
        return self.vector.out

    @property
    def terms(self) -> NDArray[np.float64]:
        """The reward's terms of the last step, in the order of wisp_gym.envs.reward.TERMS.  # (copies, 15)"""
        return self.vector.terms

    def reset(self) -> NDArray[np.float32]:
        """Begin an episode in every copy; return the observations.  # (copies, SIZE)"""
        observations, _ = self.vector.reset()
        self.reset_infos = [{} for _ in range(self.num_envs)]
        self.returns[:], self.lengths[:] = 0.0, 0
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions of the next step.  # (copies, 8)"""
        self._actions = check_actions(actions, self.num_envs, self._sizes)

    def step_wait(
        self,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Carry the actions out; return observations, rewards, ends and infos."""
        vector = self.vector
        vector.advance(self._actions)
        out = vector.out
        rewards = vector.rewards(self._all)
        self.returns += rewards
        self.lengths += 1
        dones = out["over"] == 1
        observations = vector.obs.copy()
        columns = (out["dt"].tolist(), out["discount"].tolist(), out["cost"].tolist(), out["forced"].tolist())
        infos: list[dict[str, Any]] = [
            {
                "dt": dt,
                "discount": discount,
                "cost": cost,
                "forced": forced == 1,
                "TimeLimit.truncated": False,
            }
            for dt, discount, cost, forced in zip(*columns, strict=True)
        ]
        for i in np.flatnonzero(dones):
            self._end(int(i), observations, infos[i])
        return observations, rewards.astype(np.float32), dones, infos

    def _end(self, i: int, observations: NDArray[np.float32], info: dict[str, Any]) -> None:
        """Note how copy i's episode ended and begin the next."""
        info["TimeLimit.truncated"] = True
        info["terminal_observation"] = observations[i].copy()
        info["episode_metrics"] = self.vector.metrics(i)
        elapsed_s = round(time.time() - self._began_s, 6)
        info["episode"] = {"r": float(self.returns[i]), "l": int(self.lengths[i]), "t": elapsed_s}
        self.returns[i], self.lengths[i] = 0.0, 0
        self.vector.begin(i, None, _NOTHING)
        observations[i] = self.vector.obs[i]

    def capture(self) -> dict[str, NDArray[Any]]:
        """Return the whole state as arrays of numbers; `restore` puts it back exactly."""
        own = {"adapter.returns": self.returns.copy(), "adapter.lengths": self.lengths.copy()}
        return capture(self.vector) | own

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Put back what `capture` returned for an adapter of the same arguments.

        :raises InputError: it was another number of copies, or no state of them
        """
        restore(self.vector, arrays)
        lengths = numbers(arrays, "adapter.lengths", self.num_envs, 0, 2**60)
        returns = part(arrays, "adapter.returns", np.float64, self.num_envs)
        self.returns[:], self.lengths[:] = returns, lengths

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of the vector, once for each copy asked for."""
        return [getattr(self.vector, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refused: the copies have no attributes of their own."""
        raise AttributeError(f"{attr_name}: the copies of EdgeCloudVector cannot be changed one by one")

    def env_method(self, method_name: str, *arguments: Any, indices: Any = None, **named: Any) -> list[Any]:
        """Call a method of the vector, as `action_masks`, and return each copy's part."""
        results: Sequence[Any] = getattr(self.vector, method_name)(*arguments, **named)
        return [results[i] for i in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: Any = None
    ) -> list[bool]:
        """Return whether copies are wrapped: Monitor's part is done here, nothing else is there."""
        from stable_baselines3.common.monitor import Monitor

        return [wrapper_class is Monitor for _ in self._get_indices(indices)]
