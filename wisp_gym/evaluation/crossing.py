"""Where a curve of SLO violation against fleet size first crosses the tolerance, and whether it comes back.

Pure functions of a curve: they know sizes and violations, and nothing of how a violation is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

TOLERANCE = 0.05
"""Largest share of time in late sessions that counts as held."""

STEP = 0.05
"""A scanned size is this much above the one before it."""

START = 4
"""Smallest size scanned, devices: four worlds' devices say more of an unloaded server than one world's."""

BEYOND = 1.5
"""The scan goes on to this many times the first size that violates, so that later re-crossings are seen."""

AHEAD = 8
"""Sizes asked for at a time: five per cent steps of eight sizes are 1.48, so few lie beyond `BEYOND`."""

NEAR = 0.02
"""Share of the capacity to which `search_near` finds it; one device at best."""

WIDEN = 1.25
"""Sizes of `search_near` lie this factor apart until one holds and one breaks."""

RESAMPLES = 2000
QUANTILES = (0.025, 0.975)

Search = Generator[list[int], Mapping[int, float], "Crossing"]


@dataclass(frozen=True)
class Crossing:
    """Where a curve crosses.

    :param capacity: most devices before the first crossing; 0 where one device violates already
    :param crossed: False where nothing violated up to `scanned_to`; then `capacity` is only a lower bound
    :param held_again: first and last scanned size of every later stretch inside the tolerance
    :param scanned_to: largest size scanned
    """

    capacity: int
    crossed: bool
    held_again: tuple[tuple[int, int], ...]
    scanned_to: int


def next_size(size: int) -> int:
    """Return the size after this one: 5 % more, at least one device."""
    return max(size + 1, round(size * (1 + STEP)))


def scanned_sizes(start: int, most: int) -> list[int]:
    """Return every size of a scan, ascending.

    :param start: the first
    :param most: the last is not above it
    """
    sizes = [start]
    while (size := next_size(sizes[-1])) <= most:
        sizes.append(size)
    return sizes


def violates(violation: float) -> bool:
    """Return whether a violation is beyond the tolerance; an undefined one is not."""
    return violation > TOLERANCE + 1e-12


def search(most: int, start: int = START) -> Search:
    """Find the first crossing: yield the sizes to measure, be sent all violations known by then.

    The scan goes upward in steps of 5 % to `BEYOND` times the first size that violates; between that size and
    the one before it the crossing is bisected to one device.

    :param most: largest size allowed
    :param start: the smallest scanned
    :return: as the generator's value
    """
    sizes = scanned_sizes(min(start, most), most)
    known: Mapping[int, float] = {}
    asked = 0
    first: int | None = None
    while asked < len(sizes) and (first is None or sizes[asked - 1] < BEYOND * first):
        until = asked + AHEAD
        if first is not None:
            until = next((at + 1 for at, size in enumerate(sizes) if size >= BEYOND * first), len(sizes))
        known = yield sizes[asked:until]
        asked = min(until, len(sizes))
        first = next((size for size in sizes[:asked] if violates(known[size])), None)
    scanned = sizes[:asked]
    if first is None:
        return Crossing(scanned[-1], False, (), scanned[-1])
    if first == scanned[0]:
        capacity = yield from _from_one(first)
    else:
        capacity = yield from _bisect(scanned[scanned.index(first) - 1], first)
    return Crossing(capacity, True, held_again(scanned, known, first), scanned[-1])


def search_near(guess: int, most: int, share: float = NEAR, beyond: Sequence[float] = ()) -> Search:
    """Find a crossing from a guess, the curve taken to be monotone: a fifth of the sizes that `search` runs.

    From the guess sizes go up or down by `WIDEN` until one holds and one breaks, then they are bisected.

    :param guess: devices
    :param most: largest size allowed
    :param share: of the capacity to which it is found; one device at best
    :param beyond: multiples of the capacity that are run at the end, for what is read off there
    :return: as the generator's value; re-crossings are not looked for
    """
    size, holds, breaks = min(max(guess, 1), most), 0, most + 1
    known: Mapping[int, float] = {}
    while breaks - holds > max(1, int(share * holds)):
        known = yield [size]
        holds, breaks = (holds, size) if violates(known[size]) else (size, breaks)
        if breaks > most:
            size = min(most, math.ceil(WIDEN * holds))
        elif holds == 0:
            size = max(1, int(breaks / WIDEN))
        else:
            size = (holds + breaks) // 2
    sizes = sorted({min(most, max(1, round(factor * holds))) for factor in beyond})
    if sizes:
        known = yield sizes
    return Crossing(holds, breaks <= most, (), max(known))


def _bisect(holds: int, breaks: int) -> Generator[list[int], Mapping[int, float], int]:
    """Return the last size that holds, between one that does and one that does not."""
    while breaks - holds > 1:
        middle = (holds + breaks) // 2
        known = yield [middle]
        holds, breaks = (holds, middle) if violates(known[middle]) else (middle, breaks)
    return holds


def _from_one(breaks: int) -> Generator[list[int], Mapping[int, float], int]:
    """Return the last size that holds where the scan's first size does not: counted from one device."""
    if breaks == 1:
        return 0
    known = yield list(range(1, breaks))
    return next((size - 1 for size in range(1, breaks) if violates(known[size])), breaks - 1)


def held_again(sizes: Sequence[int], known: Mapping[int, float], first: int) -> tuple[tuple[int, int], ...]:
    """Return the first and last scanned size of every stretch beyond the first crossing that holds again.

    :param sizes: scanned, ascending
    :param known: violation by size
    :param first: the first that violates
    """
    stretches: list[tuple[int, int]] = []
    beyond = [size for size in sizes if size > first and not math.isnan(known[size])]
    for holds, run in groupby(beyond, key=lambda size: not violates(known[size])):
        members = list(run)
        if holds:
            stretches.append((members[0], members[-1]))
    return tuple(stretches)


def find(curve: Callable[[int], float], most: int, start: int = START) -> Crossing:
    """Return where a curve crosses that can be asked size by size.

    :param curve: violation at a size
    :param most: largest size allowed
    :param start: the smallest scanned
    """
    return driven(search(most, start), curve)


def driven(steps: Search, curve: Callable[[int], float]) -> Crossing:
    """Return what a search finds on a curve that can be asked size by size.

    :param steps: the search, not yet begun
    :param curve: violation at a size
    """
    known: dict[int, float] = {}
    sizes = next(steps)
    while True:
        known |= {size: curve(size) for size in sizes if size not in known}
        try:
            sizes = steps.send(known)
        except StopIteration as stop:
            crossing: Crossing = stop.value
            return crossing


def interpolated(sizes: Sequence[int], violation: npt.NDArray[np.float64]) -> float:
    """Return the first crossing of a curve known at some sizes, on straight lines between them.

    :param sizes: ascending
    :param violation: at each  # (sizes,)
    :return: devices; the last size where nothing violates, a line from (0, 0) where the first does
    """
    above = np.flatnonzero(violation > TOLERANCE + 1e-12)
    if len(above) == 0:
        return float(sizes[-1])
    at = int(above[0])
    left, low = (float(sizes[at - 1]), float(violation[at - 1])) if at else (0.0, 0.0)
    low = 0.0 if math.isnan(low) else low
    return left + (sizes[at] - left) * (TOLERANCE - low) / (float(violation[at]) - low)


def bootstrap(
    sizes: Sequence[int], attainment: npt.NDArray[np.float64], resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the crossing when seeds are drawn again with replacement.

    A world keeps all its sizes and classes when it is drawn, as worlds nest. A crossing is read off straight
    lines between the sizes, rounded down.

    :param sizes: ascending
    :param attainment: NaN where undefined  # (seeds, sizes, classes)
    :param resamples: how many draws; their generator is seeded with 0
    :return: devices; NaN with fewer than two seeds
    """
    seeds = len(attainment)
    if seeds < 2:
        return math.nan, math.nan
    there = ~np.isnan(attainment)
    filled = np.where(there, attainment, 0.0)
    counts = np.random.default_rng(0).multinomial(seeds, np.full(seeds, 1 / seeds), resamples)
    crossings = np.empty(resamples)
    for i, weight in enumerate(counts.astype(np.float64)):
        worlds = np.tensordot(weight, there, 1)
        mean = np.tensordot(weight, filled, 1) / np.where(worlds > 0, worlds, 1.0)
        worst = np.where(worlds > 0, 1.0 - mean, -np.inf).max(axis=1)
        crossings[i] = math.floor(interpolated(sizes, worst) + 1e-9)
    low, high = np.quantile(crossings, QUANTILES)
    return float(low), float(high)
