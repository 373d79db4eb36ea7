"""The headline ratios: WISP's capacity and goodput over those of the others."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.paper.cells import GOODPUT, MIX, Figures, deviation, over
from benchmarks.paper.targets import HEADLINES, TIGHTEST


def ratio(cells: Figures, other: str, column: str) -> float:
    """Return WISP's figure over another system's in one column."""
    return over(cells["wisp", column], cells[other, column])


def headlines(cells: Figures) -> dict[str, float]:
    """Return the ratios that the abstract's headlines are about, by name, as in "capacity over sled".

    The abstract says "up to": of capacities the highest over the classes counts.
    """
    return {
        name_of(what, other): highest_ratio(cells, other)[0]
        if what == "capacity"
        else ratio(cells, other, GOODPUT)
        for what, other in HEADLINES
    }


def name_of(what: str, other: str) -> str:
    """Return a headline's name."""
    return f"{what} over {other}"


def compared(cells: Figures) -> list[dict[str, Any]]:
    """Return a record a headline: published, ours, deviation; of capacities also where, and at 8 tok/s."""
    found = headlines(cells)
    listed = []
    for (what, other), published in HEADLINES.items():
        ours = found[name_of(what, other)]
        record: dict[str, Any] = {
            "name": name_of(what, other),
            "paper": published,
            "ours": ours,
            "deviation": deviation(ours, published),
        }
        if what == "capacity":
            record["highest_at"] = highest_ratio(cells, other)[1]
            record["tightest"] = ratio(cells, other, TIGHTEST)
        listed.append(record)
    return listed


def highest_ratio(cells: Figures, other: str) -> tuple[float, str]:
    """Return the highest ratio of capacities over the classes, and its class."""
    classes = [column for system, column in cells if system == "wisp" and column not in (GOODPUT, MIX)]
    found = [(ratio(cells, other, column), column) for column in classes]
    return max((entry for entry in found if not math.isnan(entry[0])), default=(math.nan, TIGHTEST))
