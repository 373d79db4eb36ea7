"""Compare policies on the same worlds: behind evaluate.py and the table that ends a training run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wisp_gym.errors import InputError
from wisp_gym.evaluation.best import Choice, choose
from wisp_gym.evaluation.bounds import BOUNDS, Bounds, find_bounds
from wisp_gym.evaluation.event_log import EventLogs
from wisp_gym.evaluation.event_log_extent import Extent
from wisp_gym.evaluation.record import TUNED_FOLDER
from wisp_gym.evaluation.runner import evaluate_worlds
from wisp_gym.evaluation.spec import Candidates, Progress, Resolve, Row, RowSpec, Split
from wisp_gym.evaluation.tune import Tuning

if TYPE_CHECKING:
    from wisp_gym.scenario import Scenario

BEST_SEEDS = (0, 1, 2)
"""Training worlds on which the best of several readings is chosen."""


@dataclass(frozen=True)
class Comparison:
    """Rows of every policy on every world, and what was decided on the way.

    :param scenario: where the worlds come from
    :param policies: names of the rows; the first is what the others are compared with
    :param seeds: of the worlds
    :param split: which worlds
    :param rows: world by world, in each the policies in order
    :param choices: for each policy that stood for several candidates, which one was taken
    :param bounds: the actions behind `tuned` and `hindsight`, where they are among the policies
    """

    scenario: Scenario
    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    split: Split
    rows: tuple[Row, ...]
    choices: tuple[Choice, ...] = ()
    bounds: Bounds | None = None

    def metric(self, policy: str, name: str) -> list[float]:
        """Return a metric of one policy, one value a seed.

        :param policy: name of its rows
        :param name: of the metric
        """
        return [row.metrics[name] for row in self.rows if row.policy == policy]


def itself(policy: str) -> tuple[str, ...]:
    """Return the one candidate of a name that stands for itself."""
    return (policy,)


def compare(
    scenario: Scenario,
    policies: Sequence[str],
    seeds: Sequence[int],
    resolve: Resolve,
    candidates: Candidates = itself,
    *,
    split: Split = "test",
    best_seeds: Sequence[int] = BEST_SEEDS,
    tuning: Tuning | None = None,
    records: Path | None = TUNED_FOLDER,
    jobs: int = 1,
    progress: Progress | None = None,
    logs: EventLogs | None = None,
) -> Comparison:
    """Run every policy on every world and return the rows.

    :param scenario: where the worlds are drawn from
    :param policies: names, each once; the first is what the others are compared with
    :param seeds: of the worlds, each once
    :param resolve: turns a name into a policy
    :param candidates: the names that a name stands for
    :param split: which worlds
    :param best_seeds: training worlds on which one of several candidates is chosen
    :param tuning: how `tuned` is searched for where no record of it is stored
    :param records: where such records are kept; None: neither read nor kept
    :param jobs: processes at most; the rows do not depend on it
    :param progress: told how many rows are done, and of how many
    :param logs: where the rows' event logs go; None: nowhere
    :raises InputError: a name or seed is unknown, missing or given twice; a stored record is damaged; the
    logs' folder holds others
    """
    refuse_repeats("policy", policies)
    refuse_repeats("seed", seeds)
    options = {policy: candidates(policy) for policy in policies if policy not in BOUNDS}
    for name in dict.fromkeys(name for names in options.values() for name in names):
        resolve(name)  # a wrong name fails before any work
    if logs is not None:
        logs.begin(Extent(tuple(policies), tuple(seeds)), split, [scenario.digest()])
    choices = {
        policy: choose(scenario, policy, names, best_seeds, resolve, jobs, progress)
        for policy, names in options.items()
        if len(names) > 1
    }
    bounds = find_bounds(
        scenario, policies, seeds, split, tuning=tuning, folder=records, jobs=jobs, progress=progress
    )

    def controller(policy: str, seed: int) -> str:
        """Return the name to resolve for a policy's row."""
        if bounds is not None and policy in BOUNDS:
            return bounds.controller(policy, seed)
        return choices[policy].chosen if policy in choices else options[policy][0]

    log = None if logs is None else logs.to()
    worlds = [
        [RowSpec(scenario, policy, controller(policy, seed), seed, split, log) for policy in policies]
        for seed in seeds
    ]
    rows = evaluate_worlds(worlds, resolve, jobs, progress)
    chosen = tuple(choices.values())
    return Comparison(scenario, tuple(policies), tuple(seeds), split, tuple(rows), chosen, bounds)


def refuse_repeats(what: str, values: Sequence[str] | Sequence[int]) -> None:
    """Refuse an empty list and a list that names one thing twice: the rows could not be told apart."""
    if not values:
        raise InputError(f"no {what} given: at least one is needed")
    repeated = [value for at, value in enumerate(values) if value in values[:at]]
    if repeated:
        raise InputError(f"{what} {str(repeated[0])!r} is given twice: each once")
