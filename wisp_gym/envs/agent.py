"""A trained policy at work in an evaluation: the same observation and action as in EdgeCloud-v0, from time
zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym.envs.action import Command, Control, check_action
from wisp_gym.envs.episode import hold_ns
from wisp_gym.envs.observation import Observer
from wisp_gym.pipeline.policy import DrafterRule, Policy
from wisp_gym.pipeline.simulation import Simulation

Act = Callable[[npt.NDArray[np.float32]], Any]


class AgentScheduler:
    """Decides every dispatch with a function from observation to action; usable as a policy's scheduler.

    :param act: takes the observation float32[D], returns an action of EdgeCloud-v0
    :param name: what tables call it
    :param control: which half it decides, :param hold_s: how long an action holds, as in the environment
    """

    def __init__(self, act: Act, name: str, control: Control = "joint", hold_s: float = 0.0) -> None:
        self.act, self.name, self.control, self.hold_ns = act, name, control, hold_ns(hold_s)
        self._parts: tuple[Command, Observer] | None = None
        self._decided_ns = 0

    def command(self, simulation: Simulation) -> None:
        """Write the action in force into the simulation; where it has held long enough, observe and act."""
        if self._parts is None or self._parts[0].simulation is not simulation:
            self._parts = (Command(simulation, self.control), Observer(simulation))
        elif simulation.now_ns - self._decided_ns < self.hold_ns:
            command, observer = self._parts
            command.apply(observer.last)
            return
        command, observer = self._parts
        self._decided_ns = simulation.now_ns
        observer.update()
        action = command.effective(check_action(self.act(observer.observe())))
        observer.remember(action)
        command.apply(action)

    def policy(self) -> Policy:
        """Return the policy; devices start from WISP's cap and stop level."""
        return Policy(self.name, DrafterRule.predictor(), self)
