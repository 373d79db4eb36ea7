"""The best of several policies at a load, chosen on training worlds, never on those it is judged on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wisp_gym.evaluation.runner import evaluate_worlds
from wisp_gym.evaluation.spec import Progress, Resolve, Row, RowSpec
from wisp_gym.evaluation.statistics import mean

if TYPE_CHECKING:
    from wisp_gym.scenario import Scenario

CRITERION = "goodput_tps"


@dataclass(frozen=True)
class Choice:
    """Which policy was chosen, and on what evidence.

    :param policy: the name that was asked for, as in "wisp:best"
    :param chosen: the candidate's name
    :param goodput_tps: mean goodput of every candidate on the training worlds, by name
    :param seeds: of those worlds
    """

    policy: str
    chosen: str
    goodput_tps: Mapping[str, float]
    seeds: tuple[int, ...]


def choose(
    scenario: Scenario,
    policy: str,
    candidates: Sequence[str],
    seeds: Sequence[int],
    resolve: Resolve,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Choice:
    """Return the candidate with the highest mean goodput over training worlds; of equals, the first.

    :param scenario: at the load of the comparison to come
    :param policy: the name that was asked for
    :param candidates: names to choose from
    :param seeds: of the training worlds
    :param resolve: turns a name into a policy
    :param jobs: processes at most
    :param progress: told how many rows are done, and of how many
    """
    worlds = training_worlds(scenario, policy, candidates, seeds)
    return pick(policy, candidates, seeds, evaluate_worlds(worlds, resolve, jobs, progress))


def training_worlds(
    scenario: Scenario, policy: str, candidates: Sequence[str], seeds: Sequence[int]
) -> list[list[RowSpec]]:
    """Return what must be run to choose: every candidate on every training world, world by world.

    :param scenario: at the load of the comparison to come
    :param policy: the name that was asked for
    :param candidates: names to choose from
    :param seeds: of the training worlds
    """
    return [[RowSpec(scenario, policy, name, seed, "train") for name in candidates] for seed in seeds]


def pick(policy: str, candidates: Sequence[str], seeds: Sequence[int], rows: Sequence[Row]) -> Choice:
    """Return the candidate with the highest mean goodput; of equals, the first.

    :param policy: the name that was asked for
    :param candidates: names to choose from
    :param seeds: of the training worlds
    :param rows: of `training_worlds`, in its order
    """
    goodput = {
        name: mean([row.metrics[CRITERION] for row in rows[at :: len(candidates)]]).value
        for at, name in enumerate(candidates)
    }
    return Choice(policy, max(candidates, key=goodput.__getitem__), goodput, tuple(seeds))
