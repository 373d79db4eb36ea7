"""How an episode begins: a new world, WISP until the fleet is in, then the agent's first dispatch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym.envs.bank import SETTINGS
from wisp_gym.envs.observation import Observer
from wisp_gym.errors import InputError, nearest, shown
from wisp_gym.pipeline.advance import DONE
from wisp_gym.pipeline.answers import is_whole
from wisp_gym.pipeline.policy import DrafterRule, Policy
from wisp_gym.pipeline.simulation import Simulation
from wisp_gym.scenario import Scenario
from wisp_gym.scenario.schema import MAX_DEVICES
from wisp_gym.world import draw_world, world_seed
from wisp_gym.world.arrivals import episode_begin_s
from wisp_gym.world.draw import SPLITS, Split
from wisp_gym.world.rng import CAUSE_ENVIRONMENT, key, uniform

WARMUP_S = (10.0, 30.0)
"""After one session cycle, in which the fleet comes in, WISP runs for a seeded time in this range before
the agent takes over."""

LONGEST_EPISODE_S = 1_000_000.0
LONGEST_HOLD_S = 60.0

TAU_S = 10.0
"""Time constant of the discount, unless an environment is given another."""


class _Asked:
    """Stands in for the agent: the environment answers the kernel's questions itself."""

    def command(self, simulation: Simulation) -> None:
        """Never called."""
        raise RuntimeError("EdgeCloud answers dispatches in step()")


@dataclass
class Begun:
    """An episode at its first decision.

    :param simulation: the pipeline, at a dispatch, or at its end where none is left
    :param observer: what has been watched of it during the warm-up
    :param idle: no dispatch is left; the episode is one step that does nothing
    :param number: of the episode
    """

    simulation: Simulation
    observer: Observer
    idle: bool
    number: int


class Episodes:
    """Begins the episodes of an environment.

    :param scenario: where the worlds are drawn from
    :param split: which family of worlds
    :param episode_s: simulated seconds of an episode; None takes the scenario's
    :param log_s: write the event log and keep its last seconds at least, as rendering needs; None: no log
    :raises InputError: an unknown split or an impossible length
    """

    def __init__(
        self, scenario: Scenario, split: Split, episode_s: float | None = None, log_s: float | None = None
    ) -> None:
        if not isinstance(split, str) or split not in SPLITS:
            raise InputError(f"split: unknown {shown(split)}; {nearest(str(split), SPLITS)}")
        self.scenario, self.split, self.log_s = scenario, split, log_s
        self.episode_s = _episode_seconds(scenario.episode_s if episode_s is None else episode_s)

    def begin(self, seed: int, environment: int, number: int, devices: int | None = None) -> Begun:
        """Draw the world of an episode, let WISP bring the fleet in, and stop at the first decision.

        :param seed: of the worlds; :param environment: which copy; :param number: which episode of it
        :param devices: fleet size instead of the scenario's
        """
        begun, warmup_s = self._lay_out(seed, environment, number, devices)
        self._warm_up(begun, warmup_s)
        return begun

    def laid_out(self, seed: int, environment: int, number: int, devices: int | None = None) -> Begun:
        """Return an episode at time zero, into which a kept state can be put back; parameters as `begin`."""
        return self._lay_out(seed, environment, number, devices)[0]

    def _lay_out(self, seed: int, environment: int, number: int, devices: int | None) -> tuple[Begun, float]:
        """Return an episode at time zero and the length of its warm-up, s."""
        drawn = world_seed(self.split, seed, environment, number)
        u = uniform(np.uint64(key(np.uint64(drawn), CAUSE_ENVIRONMENT, 0, 0)), 0)
        warmup_s = self.scenario.cycle_s() + WARMUP_S[0] + u * (WARMUP_S[1] - WARMUP_S[0])
        length_s = warmup_s + self.episode_s
        begin_s = episode_begin_s(self.scenario, self.split, drawn, length_s)
        world = draw_world(self.scenario, drawn, devices, length_s, begin_s, whole=True)
        policy = Policy("agent", DrafterRule.predictor(), _Asked())
        simulation = Simulation(world, policy, log=self.log_s is not None, log_s=self.log_s)
        return Begun(simulation, Observer(simulation), False, number), warmup_s

    def _warm_up(self, begun: Begun, warmup_s: float) -> None:
        """Run WISP, watched once a second, and stop at the first dispatch that is the agent's."""
        simulation, observer = begun.simulation, begun.observer
        control = simulation.state.control
        control["asked"] = 0
        for second in range(1, math.ceil(warmup_s) + 1):
            simulation.until(round(1e9 * min(second, warmup_s)))
            observer.update()
        control["asked"] = 1
        simulation.mark_window()
        begun.idle = simulation.step(simulation.world.horizon_ns) == DONE
        observer.update()
        if not begun.idle:
            simulation.mark_window()


def _episode_seconds(value: Any) -> float:
    """Return the episode's length, checked."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_EPISODE_S:
        raise InputError(
            f"episode_s: {shown(value)}; allowed: seconds, more than 0, at most {LONGEST_EPISODE_S:g}"
        )
    return float(value)


def step_settings(hold_s: Any, tau_s: Any, reward: int) -> npt.NDArray[Any]:
    """Return what an environment's arguments say of a step.  # (1,) SETTINGS

    :param hold_s: how long an action holds; :param tau_s: time constant of the discount, s
    :param reward: number of the compiled reward
    :raises InputError: a time out of range
    """
    if (
        isinstance(tau_s, bool)
        or not isinstance(tau_s, int | float)
        or not 0.001 <= tau_s <= LONGEST_EPISODE_S
    ):
        raise InputError(f"tau_s: {shown(tau_s)}; allowed: seconds, 0.001 to {LONGEST_EPISODE_S:g}")
    settings = np.zeros(1, SETTINGS)
    settings["hold_ns"], settings["tau_s"], settings["reward"] = hold_ns(hold_s), tau_s, reward
    return settings


def hold_ns(hold_s: Any) -> int:
    """Return how long an action holds, ns.

    :param hold_s: seconds
    :raises InputError: not 0 to 60
    """
    if isinstance(hold_s, bool) or not isinstance(hold_s, int | float) or not 0 <= hold_s <= LONGEST_HOLD_S:
        raise InputError(f"hold_s: {shown(hold_s)}; allowed: seconds, 0 (one dispatch) to {LONGEST_HOLD_S:g}")
    return round(1e9 * hold_s)


MOST_SEED = 2**63 - 1
MOST_EPISODE = 2**31 - 1


def check_seed(seed: Any, name: str = "seed") -> int | None:
    """Return a seed, or the index of an environment's copy.

    :param seed: None where none is given
    :raises InputError: no whole number of 0 to 2^63 - 1
    """
    if seed is None:
        return None
    if not is_whole(seed) or not 0 <= seed <= MOST_SEED:
        raise InputError(f"{name}: {shown(seed)}; allowed: an integer of 0 to 2^63 - 1")
    return int(seed)


def check_options(options: dict[str, Any] | None, scenario: Scenario) -> dict[str, Any]:
    """Return the options of a reset, checked.

    :param options: "devices" (fleet size), "world" (number of the episode)
    :param scenario: whose worlds are drawn
    :raises InputError: an unknown option or an impossible value
    """
    names = ("devices", "world")
    if options is not None and not isinstance(options, dict):
        raise InputError(f"reset options: {shown(options)}; allowed: a mapping with {', '.join(names)}")
    checked = dict(options or {})
    for name, value in checked.items():
        if name not in names:
            raise InputError(f"reset option: unknown {shown(name)}; {nearest(str(name), names)}")
        least, most = (1, MAX_DEVICES) if name == "devices" else (0, MOST_EPISODE)
        if not is_whole(value) or not least <= value <= most:
            raise InputError(f"reset option {name}: {shown(value)}; allowed: an integer of {least} to {most}")
        checked[name] = int(value)
    if "devices" in checked and scenario.open_loop:
        raise InputError("reset option devices: allowed: none, as each arrival has its own device")
    return checked
