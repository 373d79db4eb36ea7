"""Policies at given loads: the same nested worlds with fleets of several sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wisp_gym.errors import InputError
from wisp_gym.evaluation.capacity import checked_options, rests_on
from wisp_gym.evaluation.event_log_extent import Extent
from wisp_gym.evaluation.fleets import FleetKind
from wisp_gym.evaluation.load_rows import SPLIT, Key, LoadRows
from wisp_gym.evaluation.load_runner import LoadRunner, Point, Workplace
from wisp_gym.evaluation.pool import Pool
from wisp_gym.evaluation.spec import Candidates, Resolve
from wisp_gym.scenario.schema import MAX_DEVICES

if TYPE_CHECKING:
    from wisp_gym.scenario import Scenario

LOADS_FILE = "loads.csv"


@dataclass(frozen=True)
class LoadSweep:
    """Several policies and kinds of fleet at the same sizes.

    :param scenario: as given; its own fleet size is of no meaning here
    :param kinds: of fleets
    :param policies: names, in order
    :param loads: devices, ascending
    :param seeds: of the test worlds
    :param rows: of every policy, fleet, size and seed
    :param new_rows: how many had to be run; the others were there from an earlier run
    """

    scenario: Scenario
    kinds: tuple[FleetKind, ...]
    policies: tuple[str, ...]
    loads: tuple[int, ...]
    seeds: tuple[int, ...]
    rows: LoadRows
    new_rows: int

    def keys(self) -> list[Key]:
        """Return the keys of all rows: by fleet, policy, size and seed."""
        return [
            Key(kind.name, policy, load, seed)
            for kind in self.kinds
            for policy in self.policies
            for load in self.loads
            for seed in self.seeds
        ]


def parse_loads(text: str) -> tuple[int, ...]:
    """Return the loads that "40,80,120" means, ascending.

    :raises InputError: one is not a number of devices, or comes twice
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    numbers = [int(word) for word in words if word.isascii() and word.isdigit() and len(word) < 10]
    fits = numbers and len(numbers) == len(words) and all(1 <= number <= MAX_DEVICES for number in numbers)
    if not fits or len(set(numbers)) < len(numbers):
        raise InputError(
            f"--loads {text!r}: must be numbers of devices, 1 to {MAX_DEVICES}, each once, as in 40,80,120"
        )
    return tuple(sorted(numbers))


def sweep_loads(
    scenario: Scenario,
    policies: Sequence[str],
    kinds: Sequence[FleetKind],
    loads: Sequence[int],
    seeds: Sequence[int],
    resolve: Resolve,
    candidates: Candidates,
    place: Workplace,
) -> LoadSweep:
    """Run every policy at every load. Parameters and errors as for `capacity.measure_capacity`.

    :param loads: devices
    :raises InputError: also where the folder of `place.logs` holds the logs of another evaluation
    """
    options = checked_options(policies, seeds, resolve, candidates)
    if place.logs is not None:
        fleets = tuple(kind.name for kind in kinds)
        extent = Extent(tuple(policies), tuple(seeds), fleets, tuple(sorted(loads)))
        digests = [kind.at(load).digest() for kind in kinds for load in extent.loads]
        place.logs.begin(extent, SPLIT, digests)
    # A row that is there already has no log: with logs, all are run.
    rows = LoadRows(place.folder, LOADS_FILE, rests_on(kinds, options, resolve), place.logs is None)
    with Pool(place.jobs) as pool:
        runner = LoadRunner(rows, options, seeds, resolve, pool, place.progress, place.logs)
        runner.run(Point(kind, policy, load) for kind in kinds for policy in policies for load in loads)
    new_rows = len(rows.rows) - rows.taken_over
    return LoadSweep(
        scenario, tuple(kinds), tuple(policies), tuple(sorted(loads)), tuple(seeds), rows, new_rows
    )
