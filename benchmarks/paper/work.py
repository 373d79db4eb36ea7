"""What every section is given, and how it measures: variants of the scenario x systems, kept row by row."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.paper.cells import GOODPUT, MIX, Cell, Key, column_of
from benchmarks.paper.policies import candidates, resolve
from benchmarks.paper.targets import SYSTEMS, targets
from wisp_gym.evaluation import Capacity, CapacityStudy, FleetKind, Workplace, fleet_kinds, measure_capacity
from wisp_gym.evaluation.capacity import CAPACITY_FILE, MOST_DEVICES, How, scan
from wisp_gym.evaluation.crossing import Search, search_near
from wisp_gym.evaluation.output import write_together
from wisp_gym.scenario import Scenario, load

NEAR = 0.01
"""Share of a capacity to which sections other than the table find it; one device at best."""

SCENARIO = "paper-qwen3-32b-a100"
BEYOND = (0.95, 1.05, 1.12, 1.25, 1.5)
"""Multiples of the mix's capacity at which goodput is looked for where a guess replaced the scan."""

Found = dict[str, dict[Key, Cell]]
"""Cells by variant."""

Guess = Callable[[str, str, str], float]
"""Devices to begin a search at, by variant, system and column."""

TELL_EVERY_S = 15.0


@dataclass
class Work:
    """How much is run, and where it is kept.

    :param scenario: the paper's set-up
    :param seeds: of the table; :param few: of the other sections
    :param jobs: processes at most
    :param folder: where rows are kept
    :param rates_tps: classes measured
    :param scanned: whether the table scans all sizes; otherwise as the other sections do
    :param share: of a capacity to which other sections find it
    :param cycles: of its slowest class that a fleet is simulated for in other sections, warm-up included
    :param brief: cut the lists of variants to a few
    """

    scenario: Scenario
    seeds: tuple[int, ...]
    few: tuple[int, ...]
    jobs: int
    folder: Path
    rates_tps: tuple[float, ...] = (2.0, 4.0, 6.0, 8.0)
    scanned: bool = True
    share: float = NEAR
    cycles: float = 12.0
    brief: bool = False
    _reference: dict[Key, Cell] = field(default_factory=dict)

    def table(self) -> dict[Key, Cell]:
        """Return the cells of the scenario as it is, all seeds, whole horizon."""
        kinds = {"": self.kinds(self.scenario, short=not self.scanned)}
        guess = None if self.scanned else published_guess
        return self._measure("table", kinds, SYSTEMS, self.seeds, guess)[""]

    def reference(self) -> dict[Key, Cell]:
        """Return the same cells as the other sections measure them: what their variants are compared with."""
        if not self._reference:
            self._reference = self.variants("reference", {"": self.scenario}, SYSTEMS, published_guess)[""]
        return self._reference

    def near_reference(self, factor: float = 1.0) -> Guess:
        """Return a guess: the reference's capacity times a factor."""
        cells = self.reference()
        return lambda _, system, column: factor * cells[_base(system), column].value

    def variants(
        self,
        section: str,
        variants: Mapping[str, Scenario],
        systems: Sequence[str],
        guess: Guess,
        rates_tps: Sequence[float] | None = None,
    ) -> Found:
        """Measure systems in variants of the scenario.

        :param section: its rows' folder
        :param variants: by name
        :param systems: names of policies; a variant of one counts as that one in the cells' keys
        :param guess: where searches begin
        :param rates_tps: classes measured; None for all of this run's
        """
        kinds = {name: self.kinds(changed, True, rates_tps) for name, changed in variants.items()}
        return self._measure(section, kinds, systems, self.few, guess)

    def kinds(
        self, scenario: Scenario, short: bool, rates_tps: Sequence[float] | None = None
    ) -> list[FleetKind]:
        """Return the fleets of every class measured, and of the mix.

        :param short: simulate each for `cycles` of its slowest class only
        :param rates_tps: the classes; None for all of this run's
        """
        words = [f"{rate:g}" for rate in (self.rates_tps if rates_tps is None else rates_tps)]
        kinds = fleet_kinds(scenario, [*words, MIX])
        return [FleetKind(kind.name, self._shortened(kind.scenario)) for kind in kinds] if short else kinds

    def _shortened(self, scenario: Scenario) -> Scenario:
        """Return a scenario that ends after some cycles, never later than it would."""
        horizon_s = min(scenario.horizon_s, math.ceil(self.cycles * scenario.cycle_s()))
        return load(scenario, [f"horizon_s={horizon_s}"])

    def _measure(
        self,
        section: str,
        kinds: Mapping[str, Sequence[FleetKind]],
        systems: Sequence[str],
        seeds: Sequence[int],
        guess: Guess | None,
    ) -> Found:
        """Search every capacity, save the rows, and return the cells by variant."""
        named = {f"{variant}|{kind.name}": kind for variant, group in kinds.items() for kind in group}
        how: How = scan
        if guess is not None:
            how = _near(guess, self.share)
        folder = self.folder / section
        study = measure_capacity(
            self.scenario,
            systems,
            [FleetKind(name, kind.scenario) for name, kind in named.items()],
            seeds,
            resolve,
            candidates,
            Workplace(folder, self.jobs, teller(section)),
            MOST_DEVICES,
            how,
        )
        write_together(folder, {CAPACITY_FILE: study.rows.csv(study.keys())})
        study.rows.drop()
        return {variant: cells_of(study, variant) for variant in kinds}


def published_guess(_: str, system: str, column: str) -> float:
    """Return the published capacity; of the mix, that of its middle class."""
    published = targets()
    return published[_base(system), column_of(6.0) if column == MIX else column]


def _base(system: str) -> str:
    """Return the system that a policy's name is a variant of; WISP for any other policy."""
    base = system.partition("[")[0]
    return base if base in SYSTEMS else SYSTEMS[0]


def _near(guess: Guess, share: float) -> How:
    """Return how to search: from a guess; of the mix, further sizes for its goodput."""

    def how(cell: tuple[str, str], most: int) -> Search:
        variant, _, column = cell[0].partition("|")
        start = round(guess(variant, cell[1], column))
        return search_near(start, most, share, BEYOND if column == MIX else ())

    return how


def cells_of(study: CapacityStudy, variant: str) -> dict[Key, Cell]:
    """Return the capacities of a variant's classes and mix, and its goodput, by policy and column."""
    cells: dict[Key, Cell] = {}
    for (fleet, policy), found in study.capacities.items():
        name, _, column = fleet.partition("|")
        if name != variant:
            continue
        low, high = (None if math.isnan(end) else end for end in found.interval)
        cells[policy, column] = Cell(found.crossing.capacity, low, high, None, not found.crossing.crossed)
        if column == MIX:
            cells[policy, GOODPUT] = _goodput(found)
    return cells


def _goodput(found: Capacity) -> Cell:
    """Return the highest goodput over the sizes run."""
    estimate = found.goodput
    low, high = (None if math.isnan(end) else end for end in (estimate.low, estimate.high))
    return Cell(estimate.value, low, high, found.goodput_devices, found.rising)


def teller(section: str) -> Callable[[int, int], None]:
    """Return a function that tells on standard error how many rows are done, now and then."""
    last = time.monotonic() if not sys.stderr.isatty() else 0.0

    def tell(done: int, total: int) -> None:
        nonlocal last
        live = sys.stderr.isatty()
        if time.monotonic() - last < (0.2 if live else TELL_EVERY_S):
            return
        last = time.monotonic()
        print(
            f"{section}: {done} of {total} rows", end="   \r" if live else "\n", file=sys.stderr, flush=True
        )

    return tell
