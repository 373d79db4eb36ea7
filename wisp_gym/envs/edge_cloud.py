"""`wisp_gym/EdgeCloud-v0`: the pipeline with its controller left to an agent, one dispatch a step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import gymnasium
import numpy as np
import numpy.typing as npt

from wisp_gym import scenario as scenarios
from wisp_gym.envs.action import (
    SIZES,
    Control,
    action_space,
    check_action,
    kept_components,
    may_wait,
    stop_thresholds,
)
from wisp_gym.envs.bank import ACT, OUT, Bank
from wisp_gym.envs.clone import clone_environment
from wisp_gym.envs.episode import TAU_S, Begun, Episodes, check_options, check_seed, step_settings
from wisp_gym.envs.features import SIZE, entries
from wisp_gym.envs.reward import TERMS, Reward, named_terms, resolve_reward
from wisp_gym.envs.rows import regrown, single
from wisp_gym.envs.step import step_rows
from wisp_gym.errors import InputError, nearest, shown
from wisp_gym.metrics import measure
from wisp_gym.pipeline.simulation import Simulation
from wisp_gym.rendering import LOG_S, frame
from wisp_gym.scenario import Scenario
from wisp_gym.world.draw import Split

Observation = npt.NDArray[np.float32]


def observation_space() -> gymnasium.Space[Observation]:
    """Return the observation space, the same for every scenario."""
    listed = entries()
    low = np.array([entry.low for entry in listed], np.float32)
    high = np.array([entry.high for entry in listed], np.float32)
    return gymnasium.spaces.Box(low, high, dtype=np.float32)


def check_control(control: str) -> None:
    """Check which half an agent is to have.

    :raises InputError: an unknown one
    """
    if not isinstance(control, str) or control not in get_args(Control):
        raise InputError(f"control: unknown {shown(control)}; {nearest(str(control), get_args(Control))}")


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
    device what its last request said. With an arrival profile "devices" stands for the nominal sessions at
    its peak, and shares are of these, 1 at most.

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
    class and a further, seeded 10-30 s; then the agent takes over. With an arrival profile a training world
    starts at a seeded place of it, any other at 0.

    ## Episode End
    `truncated` after `episode_s` simulated seconds, the last step ending exactly there; `terminated` is
    always False.

    ## Information
    `dt` (s), `discount` = exp(-dt / tau_s), `forced`, `cost` (share of devices behind), `terms`; at the end
    `episode_metrics` (docs/metrics.md).

    ## Copies
    `env.unwrapped.clone()` is an exact, independent copy in the middle of an episode: the same actions give the
    same in both, through `reset` too. `copy.deepcopy(env)` copies the wrappers with it. So a decision can be
    tried in several ways on one world, the past and all that is still to be drawn being the same:

    ```python
    import gymnasium
    import wisp_gym
    from wisp_gym.envs import wisp_action

    env = gymnasium.make("wisp_gym/EdgeCloud-v0", overrides=["fleet.devices=110"], seed=1, split="test")
    env.reset()
    for _ in range(100):
        env.step(wisp_action())


    def goodput_tps(action, seconds=5.0):
        # on-time tokens/s of a branch that acts so now, and as WISP afterwards
        branch, on_time, passed = env.unwrapped.clone(), 0.0, 0.0
        while passed < seconds:
            info = branch.step(action)[-1]
            on_time, passed = on_time + info["terms"]["on_time_tokens"], passed + info["dt"]
            action = wisp_action()
        return on_time / passed


    served = goodput_tps(wisp_action())
    waited = goodput_tps([0, *wisp_action()[1:]])
    print(goodput_tps(wisp_action()) - served, waited - served)
    ```

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
    :param hold_s: how long an action holds, s: it answers every dispatch until that much time has passed, which
    makes fewer and longer steps; 0 decides each dispatch. A wait that holds is forced to serve after 50 ms; what
    is said of a moment (`cost`, the share behind) is said of the step's end
    :param tau_s: time constant of the discount, s
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
        hold_s: float = 0.0,
        tau_s: float = TAU_S,
        render_mode: str | None = None,
    ) -> None:
        check_control(control)
        if render_mode is not None and (
            not isinstance(render_mode, str) or render_mode not in self.metadata["render_modes"]
        ):
            raise InputError(f"render_mode: {shown(render_mode)}; allowed: None, 'rgb_array'")
        self.scenario = scenarios.load(scenario, overrides)
        self.episodes = Episodes(self.scenario, split, episode_s, None if render_mode is None else LOG_S)
        self.seed, self.environment = check_seed(seed), check_seed(environment, "environment") or 0
        self.split, self.control = split, control
        which, self.own_reward = resolve_reward(reward)
        self._settings = step_settings(hold_s, tau_s, which)
        self.render_mode = render_mode
        self.episode = -1
        self.action_space = action_space()
        self.observation_space = observation_space()
        self.begun: Begun | None = None
        self.over = True
        self._kept, self._thresholds = kept_components(control), stop_thresholds(self.scenario)
        self._obs = np.zeros((1, SIZE), np.float32)
        self._terms = np.zeros((1, len(TERMS)))
        self._out = np.zeros(1, OUT)

    @property
    def simulation(self) -> Simulation | None:
        """The pipeline of the episode, None before the first reset."""
        return None if self.begun is None else self.begun.simulation

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode in a new world.

        :param seed: of the worlds from now on; the first episode is number 0
        :param options: "devices" (fleet size), "world" (episode index)
        :raises InputError: an unknown option or an impossible value
        """
        seed, checked = check_seed(seed), check_options(options, self.scenario)
        known, episode = (self.seed, self.episode) if seed is None else (seed, -1)
        if known is None:
            known = int(self.np_random.integers(2**31))
        episode = int(checked.get("world", episode + 1))
        begun = self.episodes.begin(known, self.environment, episode, checked.get("devices"))
        super().reset(seed=seed)
        self.seed, self.episode, self.begun = known, episode, begun
        self._bank: Bank = single(self.begun)
        self.over = False
        world = begun.simulation.world
        return begun.observer.observe(), {"world_seed": np.uint64(world.seed), "episode": self.episode}

    def step(self, action: npt.NDArray[np.int64]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Carry one dispatch out and run to the next.

        :param action: 8 integers, see Action Space
        :raises InputError: an action of a wrong shape or range
        """
        begun = self._running()
        actions = check_action(action)[np.newaxis]
        self._bank.rows["todo"] = ACT
        self._run(begun, actions)
        out = self._out[0]
        self.over = bool(out["over"])
        terms = named_terms(self._terms[0])
        info = step_info(out, terms)
        if self.over:
            info["episode_metrics"] = measure(begun.simulation)
        reward = float(out["reward"]) if self.own_reward is None else float(self.own_reward(terms))
        return self._obs[0].copy(), reward, False, self.over, info

    def render(self) -> npt.NDArray[np.uint8] | None:
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
        mask = np.ones(sum(SIZES), np.bool_)
        mask[0] = may_wait(self._running().simulation.state.clock[0])
        return mask

    def clone(self) -> EdgeCloud:
        """Return an exact, independent copy, in the middle of an episode or not.

        The same actions give the same observations, rewards, infos and events in both, through `reset` into
        the next episodes; what happens to one never touches the other. Worlds, which are never written, are
        shared; a reward that is an object is copied with what it remembers. `copy.deepcopy` of an environment
        copies its wrappers too.
        """
        return clone_environment(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> EdgeCloud:
        """Let `copy.deepcopy` of wrappers copy what is inside."""
        memo[id(self)] = twin = self.clone()
        return twin

    def _running(self) -> Begun:
        if self.begun is None or self.over:
            raise gymnasium.error.ResetNeeded("EdgeCloud: call reset() before step()")
        return self.begun

    def _run(self, begun: Begun, actions: npt.NDArray[np.int64]) -> None:
        """Run the pipeline to the next decision, with more room where it runs short."""
        kept, thresholds = self._kept, self._thresholds
        while step_rows(
            self._bank,
            actions,
            kept,
            thresholds,
            self._settings,
            self._obs,
            self._terms,
            self._out,
        ):
            begun.simulation.grow()
            self._bank = regrown(self._bank, begun)


def step_info(out: Any, terms: dict[str, float]) -> dict[str, Any]:
    """Return what a step says beside the reward.

    :param out: OUT record
    :param terms: by name
    """
    return {
        "dt": float(out["dt"]),
        "discount": float(out["discount"]),
        "forced": bool(out["forced"]),
        "cost": float(out["cost"]),
        "terms": terms,
    }
