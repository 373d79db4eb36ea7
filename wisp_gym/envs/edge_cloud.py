"""`wisp_gym/EdgeCloud-v0`: the pipeline with its controller left to an agent, one dispatch a step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import gymnasium
import numpy as np
import numpy.typing as npt

from wisp_gym import scenario as scenarios
from wisp_gym.envs.action import SIZES, Command, Control, action_space, check_action
from wisp_gym.envs.features import entries
from wisp_gym.envs.observation import Observer
from wisp_gym.envs.reward import Reward, TermCounter, resolve_reward
from wisp_gym.errors import InputError, nearest
from wisp_gym.metrics import measure
from wisp_gym.pipeline.advance import DONE
from wisp_gym.pipeline.policy import DrafterRule, Policy
from wisp_gym.pipeline.simulation import Simulation
from wisp_gym.rendering import LOG_S, frame
from wisp_gym.scenario import Scenario
from wisp_gym.world import World, draw_world, world_seed
from wisp_gym.world.draw import SPLITS, Split
from wisp_gym.world.rng import CAUSE_ENVIRONMENT, key, uniform

Observation = npt.NDArray[np.float32]

WARMUP_S = (10.0, 30.0)
"""After one session cycle, in which the fleet comes in, WISP runs for a seeded time in this range before
the agent takes over."""

LONGEST_EPISODE_S = 1_000_000.0

TAU_S = 10.0
"""Time constant of the discount."""


class _Asked:
    """Stands in for the agent: the environment answers the kernel's questions itself."""

    def command(self, simulation: Simulation) -> None:
        """Never called."""
        raise RuntimeError("EdgeCloud answers dispatches in step()")


class EdgeCloud(gymnasium.Env[Observation, npt.NDArray[np.int64]]):
    """One cloud GPU verifies the drafts of many edge devices; the agent decides every dispatch.

    ## Description
    Edge devices draft tokens with a small model; one server verifies the drafts of many devices in
    batches; each user reads at the rate
    of an SLO class. A step is one dispatch: the GPU is free and a request waits. The agent says which
    requests to verify now
    (how many, in which order, under which token budget) or to wait, and what the replies tell the devices
    to draft next.

    ## Action Space
    `MultiDiscrete([9, 6, 5, 6, 9, 9, 9, 9])`

    | Num | Name | Values |
    |---|---|---|
    | 0 | requests | wait, 1, 4, 8, 16, 24, 32, 48, the engine's limit (which bounds all) |
    | 1 | budget | new tokens of the pass after its first member: none, 96, 128, 192, 256, 512 |
    | 2 | rule | fcfs, edf, density, urgent (WISP, late requests first), last (WISP, late requests last) |
    | 3 | stop | recall on accepted tokens of the stop rule: off, 0.95, 0.9, 0.8 (WISP), 0.65, 0.5 |
    | 4-7 | cap_1 to cap_4 | draft cap 0-8 of each SLO class, loosest first; of an absent class it is ignored |

    Stop level and caps travel on the replies of this step's batch and govern the next round of its
    sessions. `wait` asks again after 5 ms or at the next arrival; after 50 ms of waiting in a row it is
    masked (`action_masks()`) and, if chosen, serves one request (`info["forced"]`).

    ## Observation Space
    `Box(float32, (88,))`, the same for every scenario and number of devices; entries of an absent class are
    0. c is the class, 0 to 3; "recent" is an average with a time constant of 10 s; the server knows of a
    device what its last request said.

    | Num | Name | Unit | Min | Max |
    |---|---|---|---|---|
    | 17c + 0 | class.devices: devices of the class over all devices | share | 0 | 1 |
    | 17c + 1 | class.rate: the class's token rate over 10 tok/s, at most 2 | rate / 10 | 0 | 2 |
    | 17c + 2 | class.active: devices with a session the server knows of | share of the class | 0 | 1 |
    | 17c + 3 | class.queued: devices whose request waits | share of the class | 0 | 1 |
    | 17c + 4 | class.away: devices with a result sent and no new request yet | share of the class | 0 | 1 |
    | 17c + 5 | class.cold: waiting requests with nothing cached | share of its queue | 0 | 1 |
    | 17c + 6 | class.late: waiting requests that are late | share of its queue | 0 | 1 |
    | 17c + 7 | class.drafted: mean draft length waiting, over 8, at most 4 | tokens / 8 | 0 | 4 |
    | 17c + 8 | class.slack_mean: mean of deadline - estimated own pass - now over its queue | tanh(s) | -1 | 1 |
    | 17c + 9 | class.slack_least: least of the same | tanh(s) | -1 | 1 |
    | 17c + 10 | class.lead_mean: mean time until the next token of its active sessions is due | tanh(s) | -1 | 1 |
    | 17c + 11 | class.behind: active sessions whose next token is overdue | share of active | 0 | 1 |
    | 17c + 12 | class.cap: mean draft cap in force away, over 8, at most 4 | tokens / 8 | 0 | 4 |
    | 17c + 13 | class.acceptance: accepted over verified tokens, recent (10 s) | share | 0 | 1 |
    | 17c + 14 | class.on_time: committed tokens expected to arrive on time, recent (10 s) | share | 0 | 1 |
    | 17c + 15 | class.throughput: committed tokens over the class's demand, recent (10 s), at most 2 | ratio | 0 | 2 |
    | 17c + 16 | class.report_age: time since a request of the class last arrived | tanh(s) | 0 | 1 |
    | 68 | server.waiting: waiting requests w as w / (w + engine's limit) | squashed count | 0 | 1 |
    | 69 | server.new_tokens: new tokens waiting t as t / (t + 256) | squashed count | 0 | 1 |
    | 70 | server.away: devices with a result sent and no new request yet, as n / (n + engine's limit) | squashed count | 0 | 1 |
    | 71 | server.kv_used: KV memory in use | share | 0 | 1 |
    | 72 | server.waited: how long the scheduler has waited by choice, over 50 ms, at most 2 | 50 ms | 0 | 2 |
    | 73 | server.last_size: requests of the last pass over the engine's limit | share | 0 | 1 |
    | 74 | server.last_pass: time of the last pass, over 0.1 s, at most 4 | 0.1 s | 0 | 4 |
    | 75 | server.busy: share of time the GPU was busy, recent (10 s) | share | 0 | 1 |
    | 76 | server.limit: the engine's limit b as b / (b + 16) | squashed count | 0 | 1 |
    | 77 | server.pass_floor: time of the smallest pass, over 0.1 s, at most 4 | 0.1 s | 0 | 4 |
    | 78 | server.load: the fleet's demand over 1,000 tok/s, at most 4 | 1,000 tok/s | 0 | 4 |
    | 79 | server.fleet: devices n as n / (n + 64) | squashed count | 0 | 1 |
    | 80-87 | last.requests to last.cap_4: the last action over its greatest value | share | 0 | 1 |

    ## Rewards
    `reward="goodput"`: tokens that fell due in the step and had been delivered by then, over the fleet's
    demand in a second; an episode's sum is its goodput times its length over the demand. `"attainment"`: dt
    times the share of devices not behind.
    `"log_utility"`: dt times the mean over classes of log(share of due tokens on time). Or a callable over
    the named terms, which are in
    `info["terms"]`.

    ## Starting State
    A new world each episode, drawn from (split, seed, environment, episode). The fleet comes in under WISP
    over one session cycle of the slowest
    class and a further, seeded 10-30 s; then the agent takes over.

    ## Episode End
    `truncated` after `episode_s` simulated seconds, the last step ending exactly there; `terminated` is
    always False.

    ## Information
    `dt` (s), `discount` = exp(-dt / 10 s), `forced`, `cost` (share of devices behind), `terms`; at the end
    `episode_metrics` (docs/metrics.md).

    ## Rendering
    `render_mode="rgb_array"`: lanes of up to 16 devices, the same number of each SLO class, and of the GPU over
    the last 4 s of simulated time. A device's lane shows its draft (what was of use, what was wasted), the way
    of its request (uplink, queue, its own share of the pass, the rest of the pass, downlink) and, as a thin
    line, the prefill of its prompt; a pass shows how many requests it serves and which part of its new tokens
    is prefill. Below: requests in the queue, and by class the share of sessions that are not behind.

    ## Arguments
    :param scenario: a name, a path or a `Scenario`; :param overrides: as in `("fleet.devices=160",)`
    :param seed: of the worlds until `reset(seed=)` gives another; None draws one
    :param split: "train", "validation" or "test" worlds; :param environment: which copy in a vector
    :param reward: a name or a callable over the terms
    :param control: "joint", or "draft" / "batch": WISP decides the other half
    :param episode_s: instead of the scenario's, s
    :param render_mode: None, or "rgb_array": `render()` gives a picture of the last 4 s (see Rendering)
    `reset(options={"devices": 120, "world": 7})` sets the fleet's size and the episode index of the world.

    ## Version History
    * v0: first version
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (Gymnasium's)

    def __init__(
        self,
        scenario: str | Path | Scenario = "quickstart",
        overrides: Sequence[str] = (),
        seed: int | None = None,
        split: Split = "train",
        environment: int = 0,
        reward: str | Reward = "goodput",
        control: Control = "joint",
        episode_s: float | None = None,
        render_mode: str | None = None,
    ) -> None:
        if control not in get_args(Control):
            raise InputError(f"control: unknown {control!r}; {nearest(str(control), get_args(Control))}")
        if split not in SPLITS:
            raise InputError(f"split: unknown {split!r}; {nearest(str(split), SPLITS)}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError(f"render_mode: {render_mode!r}; allowed: None, 'rgb_array'")
        self.scenario = scenarios.load(scenario, overrides)
        self.episode_s = _episode_seconds(self.scenario.episode_s if episode_s is None else episode_s)
        self.seed, self.split, self.environment, self.control = seed, split, environment, control
        self.reward = resolve_reward(reward)
        self.render_mode = render_mode
        self.episode = -1
        self.action_space = action_space()
        listed = entries()
        low = np.array([entry.low for entry in listed], np.float32)
        high = np.array([entry.high for entry in listed], np.float32)
        self.observation_space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self.simulation: Simulation | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode in a new world.

        :param seed: of the worlds from now on; the first episode is number 0
        :param options: "devices" (fleet size), "world" (episode index)
        :raises InputError: an unknown option or an impossible value
        """
        super().reset(seed=seed)
        checked = _check_options(options)
        self._choose_episode(seed, checked)
        world = self._draw(checked.get("devices"))
        policy = Policy("agent", DrafterRule.predictor(), _Asked())
        pictured = {} if self.render_mode is None else {"log": True, "log_s": LOG_S}
        self.simulation = Simulation(world, policy, **pictured)
        self.command = Command(self.simulation, self.control)
        self.observer = Observer(self.simulation)
        self._warm_up(self.simulation)
        self.terms = TermCounter(self.simulation)
        return self.observer.observe(), {"world_seed": np.uint64(world.seed), "episode": self.episode}

    def step(self, action: npt.NDArray[np.int64]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Carry one dispatch out and run to the next.

        :param action: 8 integers, see Action Space
        :raises InputError: an action of a wrong shape or range
        """
        simulation = self._running()
        taken = self.command.effective(check_action(action))
        before_ns = simulation.now_ns
        forced = False if self.idle else self.command.apply(taken)
        over = simulation.step(simulation.world.horizon_ns) == DONE
        self.observer.update()
        self.observer.remember(taken)
        terms = self.terms.read(self.observer.cost())
        info = _step_info(1e-9 * (simulation.now_ns - before_ns), forced, terms)
        if over:
            self.over = True
            info["episode_metrics"] = measure(simulation)
        return self.observer.observe(), float(self.reward(terms)), False, over, info

    def render(self) -> npt.NDArray[np.uint8] | None:  # type: ignore[override]
        """Return a picture of the last 4 s, RGB, where `render_mode` is "rgb_array"; None otherwise.  #
        (height, 1200, 3)"""
        if self.render_mode is None:
            gymnasium.logger.warn("EdgeCloud: render() draws where render_mode='rgb_array' was given")
            return None
        if self.simulation is None:
            raise gymnasium.error.ResetNeeded("EdgeCloud: call reset() before render()")
        return frame(self.simulation, title=self.scenario.name)

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Return which values of each action component are allowed, end to end (62,): all, but no more
        waiting after 50 ms of it."""
        self._running()
        mask = np.ones(sum(SIZES), np.bool_)
        mask[0] = self.command.may_wait()
        return mask

    def _running(self) -> Simulation:
        if self.simulation is None or self.over:
            raise gymnasium.error.ResetNeeded("EdgeCloud: call reset() before step()")
        return self.simulation

    def _choose_episode(self, seed: int | None, options: Mapping[str, Any]) -> None:
        """Settle seed and episode index of the next world."""
        if seed is not None:
            self.seed, self.episode = seed, -1
        if self.seed is None:
            self.seed = int(self.np_random.integers(2**31))
        self.episode = int(options.get("world", self.episode + 1))

    def _draw(self, devices: int | None) -> World:
        """Draw the world of this episode, as long as warm-up and episode."""
        assert self.seed is not None
        drawn = world_seed(self.split, self.seed, self.environment, self.episode)
        u = uniform(np.uint64(key(np.uint64(drawn), CAUSE_ENVIRONMENT, 0, 0)), 0)
        self.warmup_s = self.scenario.cycle_s() + WARMUP_S[0] + u * (WARMUP_S[1] - WARMUP_S[0])
        return draw_world(self.scenario, drawn, devices, self.warmup_s + self.episode_s)

    def _warm_up(self, simulation: Simulation) -> None:
        """Let WISP bring the fleet in, watched, then stop at the first dispatch that is the agent's.

        Where none comes before the end, the episode is one step that does nothing.
        """
        control = simulation.state.control
        control["asked"] = 0
        for second in range(1, math.ceil(self.warmup_s) + 1):
            simulation.until(round(1e9 * min(second, self.warmup_s)))
            self.observer.update()
        control["asked"] = 1
        simulation.mark_window()
        self.idle = simulation.step(simulation.world.horizon_ns) == DONE
        self.over = False
        self.observer.update()
        if not self.idle:
            simulation.mark_window()


def _episode_seconds(value: float) -> float:
    """The episode's length, checked."""
    if not isinstance(value, int | float) or not 0 < value <= LONGEST_EPISODE_S:
        raise InputError(
            f"episode_s: {value!r}; allowed: seconds, more than 0, at most {LONGEST_EPISODE_S:g}"
        )
    return float(value)


def _check_options(options: dict[str, Any] | None) -> dict[str, Any]:
    """The reset options, checked."""
    if options is not None and not isinstance(options, dict):
        raise InputError(f"reset options: {options!r}; allowed: a mapping with devices, world")
    checked = dict(options or {})
    for name, value in checked.items():
        if name not in ("devices", "world"):
            raise InputError(f"reset option: unknown {name!r}; {nearest(str(name), ('devices', 'world'))}")
        least = 1 if name == "devices" else 0
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"reset option {name}: {value!r}; allowed: an integer of {least} or more")
    return checked


def _step_info(dt_s: float, forced: bool, terms: dict[str, float]) -> dict[str, Any]:
    """What a step says beside the reward."""
    return {
        "dt": dt_s,
        "discount": math.exp(-dt_s / TAU_S),
        "forced": forced,
        "cost": terms["behind_share"],
        "terms": terms,
    }
