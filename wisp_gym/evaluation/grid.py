"""The grid: every drafter with every scheduler in the same worlds, each world drawn once a process."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from wisp_gym.evaluation.capacity import violation
from wisp_gym.evaluation.compare import refuse_repeats
from wisp_gym.evaluation.fleets import MIX
from wisp_gym.evaluation.load_rows import Key, LoadRows
from wisp_gym.evaluation.load_runner import KEEP_EVERY_S, Workplace
from wisp_gym.evaluation.pool import Pool
from wisp_gym.evaluation.provenance import provenance
from wisp_gym.evaluation.runner import evaluate_row
from wisp_gym.evaluation.spec import Resolve, Row, RowSpec
from wisp_gym.evaluation.statistics import Estimate, mean
from wisp_gym.world import draw_world, world_seed

if TYPE_CHECKING:
    from wisp_gym.scenario import Scenario
    from wisp_gym.world import World

GRID_CSV, GRID_JSON = "grid.csv", "grid.json"

ANY_SIZE = 0
"""A grid has one load, whatever size its worlds have: no key tells sizes apart."""

CHUNK = 12
"""Pairs of a world that are one piece of work: small enough that an interrupt loses little."""


class GridRows(LoadRows):
    """Rows by pair and seed, in the files of load_rows.py."""

    def key(self, kind: tuple[str, str], devices: float, seed: int) -> Key:
        """Return the key of a row that was read."""
        return Key(*kind, ANY_SIZE, seed)


@dataclass(frozen=True)
class Grid:
    """Every drafter with every scheduler on the same worlds.

    :param scenario: where the worlds come from
    :param drafters: names, in order; :param schedulers: names, in order
    :param seeds: of the test worlds
    :param rows: of every pair and seed
    :param new_rows: how many had to be run; the others were there from an earlier run
    """

    scenario: Scenario
    drafters: tuple[str, ...]
    schedulers: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: GridRows
    new_rows: int

    def keys(self) -> list[Key]:
        """Return the keys of all rows: by drafter, scheduler and seed."""
        policies = pair_names(self.drafters, self.schedulers)
        return [Key(MIX, policy, ANY_SIZE, seed) for policy in policies for seed in self.seeds]

    def cell(self, drafter: str, scheduler: str) -> list[Row]:
        """Return the rows of a pair, in the seeds' order."""
        return self.rows.of(MIX, f"{drafter}+{scheduler}", ANY_SIZE, self.seeds)

    def estimate(self, drafter: str, scheduler: str, metric: str) -> Estimate:
        """Return a metric's mean over the seeds; `attainment_worst` is that of the lowest class."""
        rows = self.cell(drafter, scheduler)
        if metric == "attainment_worst":
            return Estimate(1.0 - violation(rows), math.nan, len(rows))
        return mean([row.metrics[metric] for row in rows])


def pair_names(drafters: Sequence[str], schedulers: Sequence[str]) -> list[str]:
    """Return the names of all pairs, drafter by drafter."""
    return [f"{drafter}+{scheduler}" for drafter in drafters for scheduler in schedulers]


def measure_grid(
    scenario: Scenario,
    drafters: Sequence[str],
    schedulers: Sequence[str],
    seeds: Sequence[int],
    resolve: Resolve,
    place: Workplace,
) -> Grid:
    """Run every drafter with every scheduler in every world, those rows that are not there yet.

    :param scenario: where the worlds are drawn from
    :param drafters: names, each once; :param schedulers: names, each once
    :param seeds: of the test worlds, each once
    :param resolve: turns a name into a policy
    :param place: where rows are run and kept; what an interruption leaves is taken up
    :raises InputError: a name or seed is unknown, missing or given twice
    """
    for what, values in (("drafter", drafters), ("scheduler", schedulers)):
        refuse_repeats(what, values)
    refuse_repeats("seed", seeds)
    policies = pair_names(drafters, schedulers)
    for policy in policies:
        resolve(policy)  # a wrong name fails before any work
    rests_on = {(MIX, policy): provenance(scenario, policy, (policy,), resolve) for policy in policies}
    rows = GridRows(place.folder, GRID_CSV, rests_on)
    _run(rows, scenario, policies, seeds, resolve, place)
    new_rows = len(rows.rows) - rows.taken_over
    return Grid(scenario, tuple(drafters), tuple(schedulers), tuple(seeds), rows, new_rows)


def _run(
    rows: GridRows,
    scenario: Scenario,
    policies: Sequence[str],
    seeds: Sequence[int],
    resolve: Resolve,
    place: Workplace,
) -> None:
    """Fill in the rows that are missing, world by world; what is done by an interruption is kept."""
    tasks: list[tuple[Scenario, int, list[str]]] = []
    for seed in seeds:
        missing = [policy for policy in policies if rows.missing(MIX, policy, ANY_SIZE, [seed])]
        tasks += [(scenario, seed, missing[at : at + CHUNK]) for at in range(0, len(missing), CHUNK)]
    total, done, kept = sum(len(names) for _, _, names in tasks), 0, time.monotonic()
    try:
        with Pool(place.jobs) as pool:
            for found in pool.starmap(partial(run_pairs, resolve=resolve), tasks):
                for row in found:
                    rows.add(MIX, ANY_SIZE, row)
                done += len(found)
                if place.progress is not None:
                    place.progress(done, total)
                if time.monotonic() - kept > KEEP_EVERY_S:
                    rows.keep()
                    kept = time.monotonic()
    except BaseException:
        rows.keep()
        raise


def run_pairs(scenario: Scenario, seed: int, policies: Sequence[str], resolve: Resolve) -> list[Row]:
    """Return the rows of several pairs in one test world."""
    world = _world(scenario, seed)
    return [evaluate_row(RowSpec(scenario, name, name, seed), resolve, world) for name in policies]


@lru_cache(maxsize=1)
def _world(scenario: Scenario, seed: int) -> World:
    """Return a test world, kept for the next pairs."""
    return draw_world(scenario, world_seed("test", seed))
