"""Turn specifications into rows, in this process or in several; the rows do not depend on which."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from wisp_gym.evaluation.event_log import run_logged
from wisp_gym.evaluation.pool import Pool
from wisp_gym.evaluation.spec import Progress, Resolve, Row, RowSpec
from wisp_gym.metrics import measure
from wisp_gym.pipeline import Simulation
from wisp_gym.world import draw_world, world_seed

if TYPE_CHECKING:
    from wisp_gym.world import World

WORKER_START_S = 2.0  # a new process imports everything and reads the compiled code from disk
_S_PER_NS = 1e-9


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def draw(spec: RowSpec) -> World:
    """Draw the world that a specification names."""
    return draw_world(spec.scenario, world_seed(spec.split, spec.seed))


def evaluate_row(
    spec: RowSpec,
    resolve: Resolve,
    world: World | None = None,
    progress: Callable[[float], None] | None = None,
) -> Row:
    """Run one policy through one world and measure it. A pure function of the specification, which may also
    ask for the event log to be written.

    :param spec: what to run
    :param resolve: turns the controller's name into a policy of its own, so that rows share no state
    :param world: the specification's world where it is at hand already; it is not changed
    :param progress: told now and then, in a long world, which share of it has passed
    :raises InputError: the controller's name is unknown
    :raises OSError: the log cannot be written
    """
    world = draw(spec) if world is None else world
    policy = resolve(spec.controller)
    if spec.log is None:
        simulation = Simulation(world, policy, policy_seed=spec.seed)
        simulation.run(progress if world.streamed else None)
    else:
        simulation = run_logged(spec, spec.log, world, policy)
    window_s = (world.warmup_ns * _S_PER_NS, world.horizon_ns * _S_PER_NS)
    return Row(spec.policy, policy.name, spec.seed, window_s, measure(simulation))


def evaluate_world(
    specs: Sequence[RowSpec], resolve: Resolve, progress: Callable[[float], None] | None = None
) -> list[Row]:
    """Run several policies through one world, drawn once.

    :param specs: of the same scenario, split and seed
    :param resolve: as for `evaluate_row`
    :param progress: told now and then, in a long world, how many rows are done, shares of a row included
    """
    world = draw(specs[0])
    rows: list[Row] = []
    for spec in specs:
        told = None if progress is None else partial(_add_share, progress, len(rows))
        rows.append(evaluate_row(spec, resolve, world, told))
    return rows


def _add_share(progress: Callable[[float], None], rows: int, share: float) -> None:
    """Tell of so many rows and a share of the next."""
    progress(rows + share)


def evaluate_worlds(
    worlds: Sequence[Sequence[RowSpec]],
    resolve: Resolve,
    jobs: int = 1,
    progress: Progress | None = None,
) -> list[Row]:
    """Run every specification, world by world, and return the rows in the order of the specifications.

    The first world always runs here: that fills the cache of compiled code once, and tells how long a world
    takes. Further processes are started only where they save more time than they need to start.

    :param worlds: specifications by world
    :param resolve: as for `evaluate_row`
    :param jobs: processes at most
    :param progress: called after every world, and within a long one
    """
    total = sum(len(specs) for specs in worlds)
    rows: list[Row] = []

    def within(done: float) -> None:
        if progress is not None:
            progress(len(rows) + done, total)

    for done in _batches(worlds, resolve, jobs, within):
        rows.extend(done)
        if progress is not None:
            progress(len(rows), total)
    return rows


def _batches(
    worlds: Sequence[Sequence[RowSpec]], resolve: Resolve, jobs: int, within: Callable[[float], None]
) -> Iterator[list[Row]]:
    """Yield the rows of each world in order; `within` is told how far a long world is that runs here."""
    if not worlds:
        return
    started = time.perf_counter()
    yield evaluate_world(worlds[0], resolve, within)
    each_s = time.perf_counter() - started
    rest = worlds[1:]
    processes = _processes(len(rest), each_s, jobs)
    if processes > 1:
        yield from _spread(rest, resolve, processes)
    else:
        yield from (evaluate_world(specs, resolve, within) for specs in rest)


def _processes(worlds: int, each_s: float, jobs: int) -> int:
    """Return how many processes to use: one where starting others costs more than it saves."""
    processes = min(jobs, worlds)
    if processes < 2:
        return 1
    alone_s = worlds * each_s
    spread_s = WORKER_START_S + math.ceil(worlds / processes) * each_s
    return processes if spread_s < alone_s else 1


def _spread(worlds: Sequence[Sequence[RowSpec]], resolve: Resolve, processes: int) -> Iterator[list[Row]]:
    """Yield the rows of each world in order, from several processes; an interrupt or a failure ends them."""
    with Pool(processes, alone_s=0.0) as pool:
        yield from pool.map(partial(evaluate_world, resolve=resolve), worlds)
