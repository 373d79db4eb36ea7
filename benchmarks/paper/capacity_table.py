"""Section `table`: the capacities of every class and the system goodputs, beside the published ones."""

from __future__ import annotations

from typing import Any

from benchmarks.paper.cells import MIX, Cells, deviations, figures, records, summary
from benchmarks.paper.goodput import demand
from benchmarks.paper.ratios import compared
from benchmarks.paper.targets import targets
from benchmarks.paper.work import Work


def run(work: Work) -> dict[str, Any]:
    """Measure the table and return its cells, how far they are, and the headline ratios."""
    cells = work.table()
    return {"seeds": len(work.seeds)} | described(cells) | {"demand": demand(figures(cells))}


def described(cells: Cells) -> dict[str, Any]:
    """Return the published cells among some, their deviations in short, and the headline ratios."""
    published, ours = targets(), figures(cells)
    shown = {key: cell for key, cell in cells.items() if key[1] != MIX}
    mix = {key: cell for key, cell in cells.items() if key[1] == MIX}
    return {
        "cells": records(shown, published),
        "mix": records(mix),
        "ratios": compared(ours),
        **summary(deviations(ours, published).values()),
    }
