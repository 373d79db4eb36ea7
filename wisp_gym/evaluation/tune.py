"""`tuned`: the best constant action of EdgeCloud-v0, searched on training worlds, and the search's record.

A bound for agents that learn from the same worlds: it needs no observation, so what an agent has above it is
what adapting brings. The deadline reading is the scenario's; WISP's other reading is no action.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wisp_gym import scenario as scenarios
from wisp_gym._jit import _sources_digest
from wisp_gym.envs.constant import describe
from wisp_gym.errors import InputError
from wisp_gym.evaluation.pool import Pool
from wisp_gym.evaluation.search import RULE_COMPONENT, Action, Search, Space, Worth, starts
from wisp_gym.evaluation.spec import Progress
from wisp_gym.evaluation.trials import Outcome, Trial, forget_worlds, significant, trial, try_actions
from wisp_gym.world import template_of

if TYPE_CHECKING:
    from wisp_gym.scenario import Scenario

LEAST_SIMULATED_S = 150_000.0
"""Simulated seconds that a search has at least: 300,000 decisions of an agent, half a second each."""

CYCLES = 10
"""Session cycles that count in the search of a closed loop, as many as in a run that counts: what an overload
does to a setting shows late."""


MOST_FRESH = 64
"""Most fresh worlds taken for the sake of simulated seconds: a horizon may end just after the warm-up."""


@dataclass(frozen=True)
class Tuning:
    """How a search is done.

    :param seeds: of the training worlds in which every action is tried
    :param fresh: further training worlds at least, in which the finalists are tried: the best of many in
        few worlds is partly the luckiest
    :param finalists: actions that are tried there
    :param budget: most actions to try
    :param least_simulated_s: more fresh worlds are taken, up to 64, until the search has this many
        simulated seconds
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3)
    fresh: int = 8
    finalists: int = 5
    budget: int = 300
    least_simulated_s: float = LEAST_SIMULATED_S

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise InputError(f"training seeds: {self.seeds}; allowed: one or more, each once")
        for name in ("fresh", "finalists", "budget"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)}; allowed: 1 or more")
        if not (math.isfinite(self.least_simulated_s) and self.least_simulated_s >= 0):
            raise InputError(f"least_simulated_s: {self.least_simulated_s}; allowed: seconds, 0 or more")


@dataclass(frozen=True)
class TuneRecord:
    """A finished search: everything that was tried, and what won. The same search gives the same record.

    :param scenario: its name
    :param scenario_sha256: digest of what decides a run of it
    :param sources_sha256: digest of the library that simulated
    :param winner: name of the action with the highest mean goodput in the fresh worlds
    :param words: the same in words
    :param simulated_s: simulated seconds of the whole search, warm-ups left out
    :param deadline: WISP's reading of deadlines, the scenario's, the same for all actions
    :param budget: most actions to try
    :param horizon_s: of the worlds of the search; :param fresh_horizon_s: of the fresh worlds, the scenario's
    :param seeds: of the training worlds of the search; :param fresh_seeds: of the fresh ones
    :param tried: every action in the worlds of the search, in the order of trying
    :param finalists: the best of them in the fresh worlds, in the order of the search
    """

    scenario: str
    scenario_sha256: str
    sources_sha256: str
    winner: str
    words: str
    simulated_s: float
    deadline: str
    budget: int
    horizon_s: float
    fresh_horizon_s: float
    seeds: tuple[int, ...]
    fresh_seeds: tuple[int, ...]
    tried: tuple[Trial, ...]
    finalists: tuple[Trial, ...]

    def ranked(self) -> list[Trial]:
        """Return what was tried, the best first; of equals, the one tried first."""
        return sorted(self.tried, key=Trial.worth, reverse=True)


def default_tuning(scenario: Scenario, seeds: Sequence[int] | None = None) -> Tuning:
    """Return how a scenario is searched: where every world draws its own load, in twice as many worlds.

    :param scenario: to be searched
    :param seeds: of the training worlds; the default if left out
    """
    tuning = Tuning(seeds=tuple(range(8)), fresh=16) if scenario.ranges.given() else Tuning()
    return tuning if seeds is None else replace(tuning, seeds=tuple(seeds))


class _Tries:
    """Tries actions in training worlds and keeps what came out."""

    def __init__(self, scenario: Scenario, tuning: Tuning, pool: Pool, progress: Progress | None) -> None:
        self.scenario, self.tuning, self.pool, self.progress = scenario, tuning, pool, progress
        self.done: dict[Action, Trial] = {}
        self.runs = 0

    def __call__(self, actions: Sequence[Action]) -> list[Worth]:
        """Try actions in the worlds of the search and return what they are worth."""
        trials = self.run(self.scenario, self.tuning.seeds, actions)
        self.done |= zip(actions, trials, strict=True)
        return [trial.worth() for trial in trials]

    def run(self, scenario: Scenario, seeds: Sequence[int], actions: Sequence[Action]) -> list[Trial]:
        """Try actions in training worlds."""
        tasks = [(scenario, "train", seed, tuple(actions)) for seed in seeds]
        by_world: list[list[Outcome]] = []
        for outcomes in self.pool.starmap(try_actions, tasks):
            by_world.append(outcomes)
            self.runs += len(outcomes)
            if self.progress is not None:
                tuning = self.tuning
                total = tuning.budget * len(tuning.seeds) + tuning.finalists * tuning.fresh
                self.progress(self.runs, max(total, self.runs))
        return [trial(action, outcomes) for action, *outcomes in zip(actions, *by_world, strict=True)]


def tune(
    scenario: Scenario,
    tuning: Tuning | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> TuneRecord:
    """Search the best constant action of a scenario on training worlds.

    All actions meet the same worlds. The best few are then tried in fresh training worlds, at the scenario's
    full horizon; the best there wins.

    :param scenario: at the load of the comparison to come
    :param tuning: how; `default_tuning` if left out
    :param jobs: processes at most; the record does not depend on it
    :param progress: told how many runs are done, and of how many at most
    :raises InputError: settings that cannot be used
    """
    tuning = default_tuning(scenario) if tuning is None else tuning
    shorter = search_scenario(scenario)
    with Pool(jobs) as pool:
        tries = _Tries(shorter, tuning, pool, progress)
        try:
            search = Search(tries, _space(shorter, tuning.seeds), tuning.budget)
            ranked = search.run()
            last = finalists_of(ranked, tuning.finalists)
            seeds = _fresh_seeds(scenario, tuning, sum(t.simulated_s for t in tries.done.values()), len(last))
            finalists = tries.run(scenario, seeds, last)
        finally:
            forget_worlds()
    return _record(scenario, shorter, tuning, tuple(tries.done.values()), seeds, tuple(finalists))


def finalists_of(ranked: Sequence[Action], count: int) -> list[Action]:
    """Return the best few of a search and the best with every rule: where many are equal in a few worlds, the
    rules tell most apart in others.

    :param ranked: the best first
    :param count: how many of the best, whatever their rule
    """
    by_rule = {action[RULE_COMPONENT]: action for action in reversed(ranked)}
    return list(dict.fromkeys([*ranked[:count], *by_rule.values()]))


def search_scenario(scenario: Scenario) -> Scenario:
    """Return the scenario with a horizon of ten counted cycles where it is a closed loop and longer: an open
    loop may change its load at any time, and is searched in full."""
    shorter_s = float(math.ceil(scenario.warmup() + CYCLES * scenario.cycle_s()))
    if scenario.workload.kind != "closed" or shorter_s >= scenario.horizon_s:
        return scenario
    return scenarios.load(scenario, [f"horizon_s={shorter_s:g}"])


def _space(scenario: Scenario, seeds: Sequence[int]) -> Space:
    """Return which values differ in a scenario, seen from its engine and from the classes in its worlds.

    The runs that this takes are not counted; they also load the compiled code before tries are timed.
    """
    server = template_of(scenario).server[0]
    runs = [try_actions(scenario, "train", seed, starts()[:1]) for seed in seeds]
    there = {
        g for (outcome,) in runs for g, attained in enumerate(outcome.attainment) if attained is not None
    }
    return Space(int(server["max_batch"]), int(server["max_new"]), tuple(sorted(there)))


def _fresh_seeds(scenario: Scenario, tuning: Tuning, done_s: float, finalists: int) -> tuple[int, ...]:
    """Return the seeds after those of the search: the number asked for, or as many as it takes to have
    simulated enough."""
    counted_s = scenario.horizon_s - scenario.warmup()
    needed = math.ceil((tuning.least_simulated_s - done_s) / (counted_s * finalists))
    first = max(tuning.seeds) + 1
    return tuple(range(first, first + max(tuning.fresh, min(needed, MOST_FRESH))))


def _record(
    scenario: Scenario,
    shorter: Scenario,
    tuning: Tuning,
    tried: tuple[Trial, ...],
    fresh_seeds: tuple[int, ...],
    finalists: tuple[Trial, ...],
) -> TuneRecord:
    """Return the record of a finished search."""
    winner = max(finalists, key=Trial.worth)
    return TuneRecord(
        scenario=scenario.name,
        scenario_sha256=scenario.digest(),
        sources_sha256=_sources_digest(),
        winner=winner.action,
        words=describe(winner.values),
        simulated_s=significant(math.fsum(t.simulated_s for t in (*tried, *finalists))),
        deadline=scenario.classes.deadline,
        budget=tuning.budget,
        horizon_s=shorter.horizon_s,
        fresh_horizon_s=scenario.horizon_s,
        seeds=tuning.seeds,
        fresh_seeds=fresh_seeds,
        tried=tried,
        finalists=finalists,
    )
