"""Capacity: how many devices a policy holds, of every class alone and of the mix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wisp_gym.evaluation.compare import refuse_repeats
from wisp_gym.evaluation.crossing import Crossing, Search, bootstrap, search
from wisp_gym.evaluation.fleets import FleetKind
from wisp_gym.evaluation.load_rows import Key, LoadRows
from wisp_gym.evaluation.load_runner import LoadRunner, Point, Workplace
from wisp_gym.evaluation.pool import Pool
from wisp_gym.evaluation.provenance import provenance
from wisp_gym.evaluation.spec import Candidates, Resolve, Row
from wisp_gym.evaluation.statistics import Estimate, mean
from wisp_gym.evaluation.summary import CLASSES

if TYPE_CHECKING:
    from wisp_gym.scenario import Scenario

CAPACITY_FILE = "capacity.csv"

MOST_DEVICES = 4096
"""Fleets are not scanned beyond this."""

Cell = tuple[str, str]
"""A fleet kind's name and a policy."""

How = Callable[[Cell, int], Search]
"""Begins the search for one cell's capacity, up to so many devices."""


def scan(_: Cell, most: int) -> Search:
    """Search as docs/capacity.md says."""
    return search(most)


@dataclass(frozen=True)
class Capacity:
    """What one policy holds of one kind of fleet.

    :param fleet: name of the fleet's kind
    :param policy: what its rows are called
    :param crossing: where the violation, the mean over seeds of the class where that is highest, crosses 5 %
    :param interval: 95 % of the capacity, bootstrap over seeds, devices; NaN with one seed
    :param unloaded: attainment of the class where it is lowest, in the smallest fleet that was run
    :param unloaded_devices: size of that fleet
    :param goodput: highest mean goodput over the sizes run, tokens/s
    :param goodput_devices: size where it was met
    :param rising: that size is the largest run, so more may be possible
    :param sizes: all that were run for the search, ascending
    """

    fleet: str
    policy: str
    crossing: Crossing
    interval: tuple[float, float]
    unloaded: float
    unloaded_devices: int
    goodput: Estimate
    goodput_devices: int
    rising: bool
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class CapacityStudy:
    """Capacities of several policies and kinds of fleet on the same nested worlds.

    :param scenario: as given; its own fleet size is of no meaning here
    :param kinds: of fleets
    :param policies: names, in order
    :param seeds: of the test worlds
    :param rows: of every policy, fleet, size and seed
    :param capacities: by (fleet, policy)
    :param new_rows: how many had to be run; the others were there from an earlier run
    """

    scenario: Scenario
    kinds: tuple[FleetKind, ...]
    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: LoadRows
    capacities: Mapping[Cell, Capacity]
    new_rows: int

    def keys(self) -> list[Key]:
        """Return the keys of all rows: by fleet, policy, size and seed."""
        return [
            Key(kind.name, policy, size, seed)
            for kind in self.kinds
            for policy in self.policies
            for size in self.capacities[kind.name, policy].sizes
            for seed in self.seeds
        ]


def attainment_by_class(rows: Sequence[Row]) -> npt.NDArray[np.float64]:
    """Return attainment, NaN where a class has no devices.  # (rows, classes)"""
    return np.array([[row.metrics[f"attainment_class_{number}"] for number in CLASSES] for row in rows])


def violation(rows: Sequence[Row]) -> float:
    """Return 1 - attainment of the class where its mean over the rows is lowest.

    :param rows: of one policy, fleet and size, one a seed
    """
    table = attainment_by_class(rows)
    means = [mean(column.tolist()).value for column in table.T]
    return 1.0 - min(value for value in means if not np.isnan(value))


def measure_capacity(
    scenario: Scenario,
    policies: Sequence[str],
    kinds: Sequence[FleetKind],
    seeds: Sequence[int],
    resolve: Resolve,
    candidates: Candidates,
    place: Workplace,
    most: int = MOST_DEVICES,
    how: How = scan,
) -> CapacityStudy:
    """Find the capacity of every policy for every kind of fleet.

    All seeds are run at every size. Rows that an earlier run left in the folder are taken over where they
    rest on the same scenario, sources, versions and policy.

    :param scenario: a closed loop
    :param policies: names, each once
    :param kinds: of fleets
    :param seeds: of the test worlds, each once
    :param resolve: turns a name into a policy
    :param candidates: the names that a name stands for; the best of several is chosen at every size
    :param place: where rows are run and kept
    :param most: devices; no larger fleet is run
    :param how: begins each cell's search; the full scan by default
    :raises InputError: a name or seed is unknown, missing or given twice
    """
    options = checked_options(policies, seeds, resolve, candidates)
    rows = LoadRows(place.folder, CAPACITY_FILE, rests_on(kinds, options, resolve))
    with Pool(place.jobs) as pool:
        runner = LoadRunner(rows, options, seeds, resolve, pool, place.progress)
        found = _search_all(runner, [(kind, policy) for kind in kinds for policy in policies], most, how)
    capacities = {cell: _capacity(rows, cell, *outcome, seeds) for cell, outcome in found.items()}
    return CapacityStudy(
        scenario,
        tuple(kinds),
        tuple(policies),
        tuple(seeds),
        rows,
        capacities,
        len(rows.rows) - rows.taken_over,
    )


def checked_options(
    policies: Sequence[str], seeds: Sequence[int], resolve: Resolve, candidates: Candidates
) -> dict[str, tuple[str, ...]]:
    """Return the names that each policy stands for, all of them known.

    :raises InputError: a name or seed is unknown, missing or given twice
    """
    refuse_repeats("policy", policies)
    refuse_repeats("seed", seeds)
    options = {policy: candidates(policy) for policy in policies}
    for name in dict.fromkeys(name for names in options.values() for name in names):
        resolve(name)  # a wrong name fails before any work
    return options


def rests_on(
    kinds: Sequence[FleetKind], options: Mapping[str, tuple[str, ...]], resolve: Resolve
) -> dict[Cell, str]:
    """Return what the rows of every fleet kind and policy rest on, at a load that stands for all."""
    return {
        (kind.name, policy): provenance(kind.at(1), policy, names, resolve)
        for kind in kinds
        for policy, names in options.items()
    }


def _search_all(
    runner: LoadRunner, cells: Sequence[tuple[FleetKind, str]], most: int, how: How
) -> dict[Cell, tuple[Crossing, tuple[int, ...]]]:
    """Search all cells side by side, round by round, so that one round's rows fill all cores.

    :return: crossing and all sizes run, by (fleet, policy)
    """
    searches = {(kind, policy): how((kind.name, policy), most) for kind, policy in cells}
    wanted = {cell: next(steps) for cell, steps in searches.items()}
    known: dict[tuple[FleetKind, str], dict[int, float]] = {cell: {} for cell in cells}
    found: dict[tuple[FleetKind, str], Crossing] = {}
    while wanted:
        runner.run(Point(*cell, size) for cell, sizes in wanted.items() for size in sizes)
        following = {}
        for cell, sizes in wanted.items():
            for size in sizes:
                known[cell][size] = violation(runner.rows.of(cell[0].name, cell[1], size, runner.seeds))
            try:
                following[cell] = searches[cell].send(known[cell])
            except StopIteration as stop:
                found[cell] = stop.value
        wanted = following
    return {
        (kind.name, policy): (found[kind, policy], tuple(sorted(known[kind, policy])))
        for kind, policy in cells
    }


def _capacity(
    rows: LoadRows, cell: Cell, crossing: Crossing, sizes: tuple[int, ...], seeds: Sequence[int]
) -> Capacity:
    """Return what the rows of one fleet kind and policy say."""
    by_size = {size: rows.of(*cell, size, seeds) for size in sizes}
    table = np.stack([attainment_by_class(found) for found in by_size.values()], axis=1)
    goodput = {size: mean([row.metrics["goodput_tps"] for row in found]) for size, found in by_size.items()}
    best = max(sizes, key=lambda size: (goodput[size].value, -size))
    least = sizes[0]
    return Capacity(
        *cell,
        crossing,
        bootstrap(sizes, table),
        1.0 - violation(by_size[least]),
        least,
        goodput[best],
        best,
        best == sizes[-1],
        sizes,
    )
