"""Run policies on fleets of many sizes: what is missing, all cores at once, kept as it comes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wisp_gym.evaluation.best import pick, training_worlds
from wisp_gym.evaluation.compare import BEST_SEEDS
from wisp_gym.evaluation.event_log import EventLogs, LogTo
from wisp_gym.evaluation.fleets import FleetKind
from wisp_gym.evaluation.load_rows import LoadRows
from wisp_gym.evaluation.pool import Pool
from wisp_gym.evaluation.runner import evaluate_world
from wisp_gym.evaluation.spec import Progress, Resolve, Row, RowSpec

KEEP_EVERY_S = 20.0
"""Unfinished work is written this often, and when it is interrupted."""


@dataclass(frozen=True)
class Workplace:
    """Where rows are run and kept.

    :param folder: of the results; unfinished work is kept there
    :param jobs: processes at most; the rows do not depend on it
    :param progress: told how many rows are done, and of how many known so far
    :param logs: where the rows' event logs go; None: nowhere
    """

    folder: Path
    jobs: int = 1
    progress: Progress | None = None
    logs: EventLogs | None = None


@dataclass(frozen=True)
class Point:
    """One policy on fleets of one kind and size.

    :param kind: of the fleets
    :param policy: what its rows are called
    :param devices: size
    """

    kind: FleetKind
    policy: str
    devices: int


class LoadRunner:
    """Runs the rows of points on test worlds, those of them that are not there yet.

    :param rows: filled
    :param options: the names each policy stands for; of several the best is chosen on training worlds, at
        every size anew
    :param seeds: of the test worlds
    :param resolve: turns a name into a policy
    :param pool: where to run
    :param progress: told how many rows are done, and of how many known so far
    :param logs: where the event logs of test worlds go; None: nowhere
    """

    def __init__(
        self,
        rows: LoadRows,
        options: Mapping[str, tuple[str, ...]],
        seeds: Sequence[int],
        resolve: Resolve,
        pool: Pool,
        progress: Progress | None = None,
        logs: EventLogs | None = None,
    ) -> None:
        self.rows, self.options, self.seeds = rows, options, seeds
        self.resolve, self.pool, self.progress, self.logs = resolve, pool, progress, logs
        self.done = self.total = 0
        self.kept = time.monotonic()

    def run(self, points: Iterable[Point]) -> None:
        """Run every row of the points that is missing; what is done by an interruption is kept."""
        missing = {
            point: seeds
            for point in dict.fromkeys(points)
            if (seeds := self.rows.missing(point.kind.name, point.policy, point.devices, self.seeds))
        }
        try:
            self._test(missing, self._choose(missing))
        except BaseException:
            self.rows.keep()
            raise

    def _choose(self, points: Iterable[Point]) -> dict[Point, str]:
        """Return the controller of every point, the best of several where its policy stands for several."""
        chosen: dict[Point, str] = {}
        worlds: list[list[RowSpec]] = []
        open_points = []
        for point in points:
            names = self.options[point.policy]
            chosen[point] = names[0]
            if len(names) > 1:
                open_points.append(point)
                scenario = point.kind.at(point.devices)
                worlds += training_worlds(scenario, point.policy, names, BEST_SEEDS)
        rows = iter(self._evaluate(worlds))
        for point in open_points:
            found = [row for _ in BEST_SEEDS for row in next(rows)]
            names = self.options[point.policy]
            chosen[point] = pick(point.policy, names, BEST_SEEDS, found).chosen
        return chosen

    def _test(self, missing: Mapping[Point, Sequence[int]], chosen: Mapping[Point, str]) -> None:
        """Run the test worlds, each drawn once for all policies that meet it; the largest first."""
        worlds: dict[tuple[str, int, int], list[RowSpec]] = {}
        for point, seeds in missing.items():
            scenario = point.kind.at(point.devices)
            for seed in seeds:
                world = worlds.setdefault((point.kind.name, point.devices, seed), [])
                log = self._log(point)
                world.append(RowSpec(scenario, point.policy, chosen[point], seed, log=log))
        order = sorted(worlds, key=lambda world: -world[1])
        done = self._evaluate([worlds[at] for at in order])
        for (fleet, devices, _), rows in zip(order, done, strict=True):
            for row in rows:
                self.rows.add(fleet, devices, row)
            self._keep_now_and_then()

    def _log(self, point: Point) -> LogTo | None:
        """Return where the event logs of a point's rows go."""
        if self.logs is None:
            return None
        fleet = point.kind.name
        return self.logs.to(fleet, point.devices, self.rows.provenance[fleet, point.policy])

    def _evaluate(self, worlds: Sequence[Sequence[RowSpec]]) -> Iterable[list[Row]]:
        """Yield the rows of each world in order."""
        self.total += sum(len(specs) for specs in worlds)
        for rows in self.pool.map(partial(evaluate_world, resolve=self.resolve), worlds):
            self.done += len(rows)
            if self.progress is not None:
                self.progress(self.done, self.total)
            yield rows

    def _keep_now_and_then(self) -> None:
        """Write unfinished work where it is time to."""
        if time.monotonic() - self.kept > KEEP_EVERY_S:
            self.rows.keep()
            self.kept = time.monotonic()
