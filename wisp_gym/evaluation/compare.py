"""Compare policies on the same worlds: behind evaluate.py and the table that ends a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wisp_gym.errors import InputError
from wisp_gym.evaluation.best import Choice, choose
from wisp_gym.evaluation.runner import evaluate_worlds
from wisp_gym.evaluation.spec import Candidates, Progress, Resolve, Row, RowSpec, Split

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
    """

    scenario: Scenario
    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    split: Split
    rows: tuple[Row, ...]
    choices: tuple[Choice, ...] = ()

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
    jobs: int = 1,
    progress: Progress | None = None,
) -> Comparison:
    """Run every policy on every world and return the rows.

    :param scenario: where the worlds are drawn from
    :param policies: names, each once; the first is what the others are compared with
    :param seeds: of the worlds, each once
    :param resolve: turns a name into a policy
    :param candidates: the names that a name stands for
    :param split: which worlds
    :param best_seeds: training worlds on which one of several candidates is chosen
    :param jobs: processes at most; the rows do not depend on it
    :param progress: told how many rows are done, and of how many
    :raises InputError: a name or seed is unknown, missing or given twice
    """
    refuse_repeats("policy", policies)
    refuse_repeats("seed", seeds)
    options = {policy: candidates(policy) for policy in policies}
    for name in dict.fromkeys(name for names in options.values() for name in names):
        resolve(name)  # a wrong name fails before any work
    choices = {
        policy: choose(scenario, policy, names, best_seeds, resolve, jobs, progress)
        for policy, names in options.items()
        if len(names) > 1
    }
    controllers = {policy: _controller(policy, options[policy], choices) for policy in policies}
    worlds = [
        [RowSpec(scenario, policy, controller, seed, split) for policy, controller in controllers.items()]
        for seed in seeds
    ]
    rows = evaluate_worlds(worlds, resolve, jobs, progress)
    return Comparison(scenario, tuple(policies), tuple(seeds), split, tuple(rows), tuple(choices.values()))


def _controller(policy: str, names: tuple[str, ...], choices: Mapping[str, Choice]) -> str:
    """Return the name to resolve for a policy's rows."""
    return choices[policy].chosen if policy in choices else names[0]


def refuse_repeats(what: str, values: Sequence[str] | Sequence[int]) -> None:
    """Refuse an empty list and a list that names one thing twice: the rows could not be told apart."""
    if not values:
        raise InputError(f"no {what} given: at least one is needed")
    repeated = [value for at, value in enumerate(values) if value in values[:at]]
    if repeated:
        raise InputError(f"{what} {str(repeated[0])!r} is given twice: each once")
