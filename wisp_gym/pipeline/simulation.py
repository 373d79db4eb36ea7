"""A policy in a world: lays the first events out, runs the compiled kernel, asks Python where a decision
is Python's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym.estimation import fit_estimator
from wisp_gym.pipeline.advance import (
    ASK_DRAFTER,
    ASK_SCHEDULER,
    BY_PICKS,
    BY_WAITING,
    DONE,
    DRAFT,
    GO_ON,
    advance,
    lay_out,
    room_left,
)
from wisp_gym.pipeline.answers import Waits, check_limit, check_picks, check_wait
from wisp_gym.pipeline.books import Books
from wisp_gym.pipeline.log import recent_rows
from wisp_gym.pipeline.policy import DrafterRule, Policy, SchedulerRule
from wisp_gym.pipeline.protocols import Commander, DispatchView, Drafter, RoundView, Scheduler, Wait
from wisp_gym.pipeline.scores import asked, asked_scores, built_in, compiled_scores, stream_law
from wisp_gym.pipeline.state import new_state
from wisp_gym.pipeline.stream_pool import StreamPool
from wisp_gym.rules import control as rules
from wisp_gym.rules.table import by_batch_size
from wisp_gym.scenario import Scenario
from wisp_gym.world import World, template_of
from wisp_gym.world.session_streams import Scorer
from wisp_gym.world.types import GROUPS

FloatArray = npt.NDArray[np.float32]

LogSink = Callable[[npt.NDArray[np.int64]], None]
"""Takes rows of the event log, which are overwritten afterwards."""

SCHEDULERS = {
    "fcfs": rules.FCFS,
    "edf": rules.EDF,
    "density": rules.DENSITY,
    "slo-aware": rules.SLO_AWARE,
    "static": rules.STATIC,
    "continuous": rules.CONTINUOUS,
    "proportional-fair": rules.PROPORTIONAL_FAIR,
    "random": rules.RANDOM_ORDER,
}
DRAFTERS = {
    "constant": rules.CONSTANT,
    "random": rules.RANDOM_DRAFT,
    "table": rules.TABLE,
    "goodput": rules.GOODPUT,
    "ucb": rules.UCB,
    "oracle": rules.ORACLE_DRAFT,
    "bayes": rules.BAYES_DRAFT,
}
LATE = {"literal": rules.LATE_LITERAL, "urgent": rules.LATE_URGENT, "last": rules.LATE_LAST}
DEADLINES = {"round": rules.DEADLINE_ROUND, "timeline": rules.DEADLINE_TIMELINE}
EXPECTED = {
    "profile": rules.EXPECTED_PROFILE,
    "fleet": rules.EXPECTED_FLEET,
    "session": rules.EXPECTED_SESSION,
}

_EMPTY = np.empty(0, np.float32)

PROGRESS_STEPS = 100
"""How often a run tells of its progress, if it is to."""


def scenario_estimator(world: World) -> npt.NDArray[np.float64]:
    """Return WISP's verification time estimator, ns: that of the scenario's file, else fitted once per
    scenario.  # (4,)"""
    template = template_of(world.scenario)
    if template.estimator is None:
        given = world.scenario.profiles.estimator
        if given is not None:
            template.estimator = np.array(given.coefficients_ns())
        else:
            context = round(typical_context(world.scenario))
            template.estimator, _ = fit_estimator(
                template.server[0], template.pass_ns, template.noise, context
            )
    return template.estimator


def typical_context(scenario: Scenario) -> float:
    """Return a session's context halfway through, tokens: mean prompt and half of the mean output."""
    if scenario.requests is None:
        workload = scenario.workload
        return workload.prompt_tokens.mean + workload.output_tokens.mean / 2
    requests = scenario.requests
    return float(np.mean(requests.prompt_tokens)) + float(np.mean(requests.output_tokens)) / 2


class Simulation(Books):
    """A policy at work in a world.

    :param world: from `draw_world`; shared, never changed
    :param policy: who decides
    :param policy_seed: of the policy's own randomness
    :param log: write every event down (`self.events`)
    :param log_s: of them, keep those of the last seconds at least (and how things stood before), so that a
    long run's log does not grow for ever; None keeps all
    :param log_sink: takes the rows instead, in order and as they come; `hand_over` gives it the last ones

    `run()` goes to the horizon; `until(t)` to a time. The state is `self.state`; `self.arrays` is the world
    as the kernel reads it: its own arrays, but for the token streams of a streamed world.
    """

    def __init__(
        self,
        world: World,
        policy: Policy,
        policy_seed: int = 0,
        log: bool = False,
        log_s: float | None = None,
        log_sink: LogSink | None = None,
    ) -> None:
        self.policy, self.log_s, self.log_sink = policy, log_s, log_sink
        log = log or log_sink is not None
        drafter, scheduler = policy.drafter, policy.scheduler
        self.asked_drafter = None if isinstance(drafter, DrafterRule) else drafter
        self.asked_scheduler = None if isinstance(scheduler, SchedulerRule) else scheduler
        commanded = isinstance(scheduler, Commander)
        self.world, self.arrays = world, world.arrays
        self.pool = self._pool(drafter, commanded) if world.streamed else None
        on, off = (_EMPTY, _EMPTY) if world.streamed else self._scores(world, drafter, commanded)
        law = stream_law(world) if isinstance(drafter, DrafterRule) and drafter.kind == "bayes" else None
        super().__init__(world, new_state(world.arrays, scenario_estimator(world), on, off, log, law))
        self._set_control(policy_seed)
        if commanded:
            self.state.control["drafter"] = rules.COMMANDED
            self.state.control["ahead"] = self.state.control["timeout_ns"] = 0
        self.answer, self.waits = GO_ON, Waits()
        self._start()

    @property
    def events(self) -> npt.NDArray[np.int64]:
        """The event log so far.  Columns: time_ns, kind, device, session, a, b, c, d  # (rows, 8)"""
        return self.state.log[: int(self.state.clock[0]["logged"])]

    def run(self, progress: Callable[[float], None] | None = None) -> Simulation:
        """Run to the horizon and return this object; the state at the end of the warm-up is kept for the
        metrics.

        :param progress: told now and then which share of the simulated time has passed
        """
        if self.now_ns < self.world.warmup_ns:
            self.until(self.world.warmup_ns)
        self.mark_window()
        if progress is not None:
            since_ns, left_ns = self.now_ns, self.world.horizon_ns - self.now_ns
            for step in range(1, PROGRESS_STEPS):
                progress(self.now_ns / self.world.horizon_ns)
                self.until(since_ns + left_ns * step // PROGRESS_STEPS)
        self.until(self.world.horizon_ns)
        self.settle()
        return self

    def until(self, time_ns: int) -> None:
        """Run to a time; events at that very time stay."""
        while self.step(time_ns) != DONE:
            self._ask()

    def step(self, time_ns: int) -> int:
        """Run to a time or to the next question to Python; return which (pipeline/advance.py)."""
        while True:
            code = advance(self.arrays, self.state, time_ns, self.world.horizon_ns, self.answer)
            self.answer = GO_ON
            if code in (DONE, ASK_DRAFTER, ASK_SCHEDULER):
                return int(code)
            self.grow()

    def dispatch_view(self) -> DispatchView:
        """Return what the server knows at a dispatch."""
        clock, control, server = self.state.clock[0], self.state.control[0], self.world.arrays.server[0]
        waiting = self.state.waiting[: int(clock["waiting"])]
        return DispatchView(
            now_ns=int(clock["now_ns"]),
            batch_no=int(clock["batch_no"]),
            requests=self.state.requests[waiting],
            max_requests=int(control["max_requests"]),
            max_new=int(server["max_new"]),
            kv_tokens=int(server["kv_tokens"]),
            kv_used=int(clock["kv_used"]),
            estimator=self.state.estimator,
            waited_ns=int(clock["now_ns"] - clock["wait_since_ns"]) if clock["waits"] else 0,
        )

    def round_view(self) -> RoundView:
        """Return what the first ready device knows as it begins a round."""
        d = int(self.state.ready[0])
        device, mine = self.world.arrays.devices[d], self.state.devices[d]
        now_ns = self.now_ns
        return RoundView(
            now_s=now_ns * 1e-9,
            device=d,
            group=int(device["group"]),
            rate_tps=float(self.world.arrays.groups[device["group"]]["rate_tps"]),
            committed=int(mine["delivered"]),
            last_k=int(mine["last_k"]),
            last_accepted=int(mine["last_accepted"]),
            round_trip_s=(now_ns - int(mine["sent_ns"])) * 1e-9,
        )

    @staticmethod
    def _scores(
        world: World, drafter: DrafterRule | Drafter, commanded: bool
    ) -> tuple[FloatArray, FloatArray]:
        if not isinstance(drafter, DrafterRule):
            return asked_scores(world, drafter)
        score = "stop" if commanded else drafter.score
        return (_EMPTY, _EMPTY) if score is None else compiled_scores(world, score)

    def _pool(self, drafter: DrafterRule | Drafter, commanded: bool) -> StreamPool:
        """Return where the token streams of a streamed world are drawn, and let the kernel read there."""
        wanted = True
        if not isinstance(drafter, DrafterRule):
            scorer: Scorer | None = asked(drafter)
        else:
            score = "stop" if commanded else drafter.score
            scorer = None if score is None else built_in(self.world, score)
            wanted = commanded or drafter.kind != "constant" or max(drafter.caps) > 0
        pool = StreamPool(self.world, scorer, wanted)
        self.arrays = self.arrays._replace(sessions=pool.sessions)
        return pool

    def _refill(self) -> None:
        """Let the pool draw the token streams that sessions need now and soon."""
        pool, state = self.pool, self.state
        assert pool is not None
        pool.refill(state)
        self.arrays = self.arrays._replace(accepts=pool.accepts)
        self.state = state._replace(scores=pool.scores, off_scores=pool.off_scores)
        state.clock[0]["dry"] = 0

    def _set_control(self, policy_seed: int) -> None:
        """Write the policy's settings as numbers."""
        control, server = self.state.control[0], self.world.arrays.server[0]
        scheduler = self.policy.scheduler
        default = SchedulerRule("slo-aware" if isinstance(scheduler, Commander) else "fcfs")
        rule = scheduler if isinstance(scheduler, SchedulerRule) else default
        limit, budget = int(server["max_batch"]), int(server["max_new"])
        control["scheduler"] = SCHEDULERS[rule.kind]
        control["asked"] = self.asked_scheduler is not None
        control["max_requests"] = min(rule.max_requests or limit, limit)
        if rule.kind == "static":
            control["max_requests"] = min(rule.static_size, int(control["max_requests"]))
        control["token_budget"] = min(rule.token_budget or budget, budget)
        control["late"] = LATE[rule.late]
        described = getattr(scheduler, "requests_as", rule)
        control["deadline"] = DEADLINES[described.deadline or self.world.scenario.classes.deadline]
        control["expected"] = EXPECTED[described.expected]
        control["margin_ns"] = round(1e9 * rule.margin_s)
        control["static_size"] = control["max_requests"]
        control["static_limit_ns"] = round(1e9 * rule.static_limit_s)
        control["padded"], control["to_completion"] = rule.padded, rule.run_to_completion
        control["whole_output"] = rule.kind == "continuous" and rule.whole_output
        control["fair_ns"] = round(1e9 * rule.fair_s)
        control["policy_seed"] = policy_seed
        self._set_drafter(control)

    def _set_drafter(self, control: Any) -> None:
        drafter = self.policy.drafter
        paying = ("stop", "agreement", "observed")
        control["checked"] = not isinstance(drafter, DrafterRule) or drafter.score in paying
        if not isinstance(drafter, DrafterRule):
            control["drafter"] = rules.ASKED_DRAFTER
            return
        control["drafter"] = DRAFTERS[drafter.kind]
        control["cumulative"] = drafter.score == "agreement"
        control["longest"], control["explore"] = drafter.caps[0], drafter.explore
        if drafter.kind == "table":
            max_batch = int(self.world.arrays.server[0]["max_batch"])
            self.state = self.state._replace(table=by_batch_size(drafter.table, max_batch))
        elif drafter.kind == "ucb":
            bandit = np.zeros((self.world.devices, drafter.caps[0], 3))
            self.state = self.state._replace(bandit=bandit)
        control["drop_suspect"], control["server_loop"] = drafter.drop_suspect, drafter.server_loop
        control["ahead"], control["retries"] = drafter.ahead, drafter.retries
        control["timeout_ns"] = 0 if drafter.timeout_s is None else max(1, round(1e9 * drafter.timeout_s))
        self.state.caps[:] = drafter.caps
        self.state.thresholds[:] = self.threshold(drafter)

    def threshold(self, drafter: DrafterRule) -> float:
        """Return the stop threshold of a compiled drafter, looking a recall up in the pair's predictor."""
        if drafter.score is None:
            return -math.inf
        if drafter.recall is None:
            return drafter.threshold
        return self.world.scenario.profiles.predictor.threshold(drafter.recall)

    def _start(self) -> None:
        lay_out(self.arrays, self.state, self.world.horizon_ns)

    def _ask(self) -> None:
        """Put the kernel's question to the Python controller and note the answer."""
        if int(self.state.clock[0]["ready"]) > 0:
            assert self.asked_drafter is not None
            self.draft(self.asked_drafter.limit(self.round_view()))
        else:
            self._ask_scheduler()

    def _ask_scheduler(self) -> None:
        scheduler = self.asked_scheduler
        if isinstance(scheduler, Commander):
            scheduler.command(self)
        else:
            assert isinstance(scheduler, Scheduler)
            self.choose(scheduler.select(self.dispatch_view()))

    def draft(self, limit: Any) -> None:
        """Answer a drafter's question.

        :param limit: most tokens to draft, and the threshold
        :raises InputError: anything but a pair of an integer of 0-32 and a number
        """
        self.state.picks[0], self.state.rank[0] = check_limit(
            limit, getattr(self.asked_drafter, "called", "Drafter")
        )
        self.answer = DRAFT

    def choose(self, choice: Any) -> None:
        """Answer a scheduler's question.

        :param choice: indices into the queue, in order, or a `Wait`
        :raises InputError: an empty, repeated or unknown index, or a wait that does not end after now
        """
        clock = self.state.clock[0]
        who = getattr(self.asked_scheduler, "called", "Scheduler")
        if isinstance(choice, Wait):
            clock["wake_ns"] = check_wait(choice.until_ns, int(clock["now_ns"]), who)
            self.waits.add(int(clock["now_ns"]), who)
            self.answer = BY_WAITING
            return
        picks = check_picks(choice, int(clock["waiting"]), who)
        self.state.picks[: len(picks)] = self.state.waiting[picks]
        self.state.picks[len(picks)] = -1
        self.answer = BY_PICKS

    def grow(self) -> None:
        """Give events and log more room, or sessions their token streams; the kernel goes on where it
        stood."""
        state = self.state
        if state.clock[0]["dry"] == 1:
            self._refill()
            return
        self.hand_over()
        if self.log_sink is not None and room_left(state):
            return
        if self.log_s is not None and self._forget(self.log_s):
            return
        events = np.zeros((2 * len(state.events) + len(state.devices), 3), np.int64)
        events[: len(state.events)] = state.events
        rows = 2 * len(state.log) + 8 * len(state.devices) if state.clock[0]["log_on"] else 0
        if self.log_sink is not None:  # the log is empty: only events were short of room
            rows = len(state.log)
        log = np.zeros((rows, state.log.shape[1]), np.int64)
        log[: len(state.log)] = state.log
        self.state = state._replace(events=events, log=log)

    def hand_over(self) -> None:
        """Give the rows of the log so far to the sink, where there is one."""
        if self.log_sink is not None:
            self.log_sink(self.events)
            self.state.clock["logged"] = 0

    def _forget(self, log_s: float) -> bool:
        """Cut the log to its last seconds and say whether that made room enough."""
        state, clock = self.state, self.state.clock[0]
        kept = recent_rows(self.events, self.now_ns - round(1e9 * log_s))
        state.log[: len(kept)] = kept
        clock["logged"] = len(kept)
        return bool(room_left(state)) and 2 * len(kept) < len(state.log)


def class_names(world: World) -> list[str]:
    """Return the SLO classes as "2 tok/s", loosest first; empty classes left out."""
    groups = world.arrays.groups[:GROUPS]
    return [f"{group['rate_tps']:g} tok/s" for group in groups if group["devices"] > 0]
