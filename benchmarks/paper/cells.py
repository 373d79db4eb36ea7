"""Cells of the published table, and how far ours are from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from wisp_gym.evaluation.fleets import class_name

GOODPUT = "goodput"
MIX = "mix"
"""Columns beside the classes: system goodput, tokens/s; capacity of the mix, devices."""

NEAR, WITHIN = 0.07, 0.15
"""Deviations that count as close, and as met."""

Key = tuple[str, str]
"""System and column."""

Figures = Mapping[Key, float]


def column_of(rate_tps: float) -> str:
    """Return the column of a class, as in "8 tok/s"."""
    return class_name(rate_tps)


@dataclass(frozen=True)
class Cell:
    """A capacity, devices, or a goodput, tokens/s.

    :param value: the figure
    :param low, high: its 95 % interval over seeds; None with one seed
    :param at: devices where a goodput was met
    :param bound: only a lower bound: the largest fleet run had not reached the limit
    """

    value: float
    low: float | None = None
    high: float | None = None
    at: int | None = None
    bound: bool = False


Cells = Mapping[Key, Cell]


def figures(cells: Cells) -> dict[Key, float]:
    """Return the cells' figures alone."""
    return {key: cell.value for key, cell in cells.items()}


def deviation(ours: float, published: float) -> float:
    """Return by what share a figure is above (below: negative) the published one."""
    return ours / published - 1.0


def deviations(ours: Figures, published: Figures) -> dict[Key, float]:
    """Return the deviation of every cell that is both published and ours."""
    return {key: deviation(ours[key], published[key]) for key in published if key in ours}


def summary(found: Iterable[float]) -> dict[str, float]:
    """Return the largest and the median deviation, as distances, and the shares of cells that are near.

    :param found: deviations, one at least
    """
    sizes = [abs(value) for value in found]
    return {
        "max_deviation": max(sizes),
        "median_deviation": median(sizes),
        "share_within_7_percent": sum(size <= NEAR for size in sizes) / len(sizes),
        "share_within_15_percent": sum(size <= WITHIN for size in sizes) / len(sizes),
    }


def records(cells: Cells, published: Figures | None = None) -> list[dict[str, Any]]:
    """Return cells as JSON-able records, with the published figures where there are any."""
    listed = []
    for (system, column), cell in cells.items():
        record: dict[str, Any] = {"system": system, "column": column} | asdict(cell)
        target = None if published is None else published.get((system, column))
        if target is not None:
            record |= {"paper": target, "deviation": deviation(cell.value, target)}
        listed.append(record)
    return listed


def figures_of(listed: Iterable[Mapping[str, Any]]) -> dict[Key, float]:
    """Return the figures of records."""
    return {(record["system"], record["column"]): float(record["value"]) for record in listed}


def over(above: float, below: float) -> float:
    """Return a ratio; NaN where there is nothing below."""
    return above / below if below else math.nan
