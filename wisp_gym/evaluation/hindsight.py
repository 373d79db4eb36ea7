"""`hindsight`: for each world compared, the best constant action on that very world. A bound, not a
controller: it is chosen on the world it is judged on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wisp_gym.envs.constant import action_name, parse_action
from wisp_gym.evaluation.pool import Pool
from wisp_gym.evaluation.search import ONE_CAP, Action, Search, Space, Worth
from wisp_gym.evaluation.spec import Progress, Split
from wisp_gym.evaluation.trials import forget_worlds, trial, try_actions
from wisp_gym.evaluation.tune import TuneRecord
from wisp_gym.world import template_of

if TYPE_CHECKING:
    from wisp_gym.scenario import Scenario

CANDIDATES = 24
"""The best of a search's actions, tried in every world compared."""

COMPONENTS = (0, 1, 2, 3, ONE_CAP)
"""What is improved once from a world's best candidate: requests, budget, rule, stop, one cap for all."""


def hindsight_candidates(record: TuneRecord) -> list[Action]:
    """Return what is tried in every world: the record's winner, its best 24, and each action that was best
    in one of its worlds."""
    ranked = record.ranked()
    best = [trial.action for trial in ranked[:CANDIDATES]]
    for world in range(len(record.seeds)):
        best.append(max(ranked, key=lambda trial: trial.goodput_tps[world]).action)
    names = dict.fromkeys([record.winner, *best])
    return [tuple(map(int, parse_action(name.partition(":")[2]))) for name in names]


def best_in_world(
    scenario: Scenario, split: Split, seed: int, candidates: Sequence[Action]
) -> tuple[str, int]:
    """Return the name of the best constant action found for one world, and how many were tried there.

    :param scenario: where the world is drawn from
    :param split: which family of worlds
    :param seed: of the world
    :param candidates: tried first; the best of them is then improved
    """

    def evaluate(actions: Sequence[Action]) -> list[Worth]:
        outcomes = try_actions(scenario, split, seed, actions)
        return [trial(action, [outcome]).worth() for action, outcome in zip(actions, outcomes, strict=True)]

    server = template_of(scenario).server[0]
    space = Space(int(server["max_batch"]), int(server["max_new"]))
    search = Search(evaluate, space, budget=10_000)
    search.ask(candidates)
    action = search.ranked()[0]
    for component in COMPONENTS:
        action = search.improve(action, component)
    forget_worlds()
    return action_name(action), len(search.known)


def hindsight(
    scenario: Scenario,
    split: Split,
    seeds: Sequence[int],
    record: TuneRecord,
    jobs: int = 1,
    progress: Progress | None = None,
) -> dict[int, tuple[str, int]]:
    """Return the best constant action found for each world, by seed, and how many were tried there. In no
    world is it below the record's winner, which is tried in all.

    :param scenario: at the load of the comparison
    :param split: which worlds
    :param seeds: of the worlds
    :param record: of a search on training worlds, which gives the candidates
    :param jobs: processes at most; the answer does not depend on it
    :param progress: told how many worlds are done, and of how many
    """
    candidates = hindsight_candidates(record)
    best: dict[int, tuple[str, int]] = {}
    with Pool(jobs) as pool:
        tasks = [(scenario, split, seed, candidates) for seed in seeds]
        for seed, found in zip(seeds, pool.starmap(best_in_world, tasks), strict=True):
            best[seed] = found
            if progress is not None:
                progress(len(best), len(tasks))
    return best
