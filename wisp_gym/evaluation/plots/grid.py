"""Heat maps of a grid: drafters down, schedulers across, a figure a metric."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from wisp_gym.evaluation.plots.results import Results
from wisp_gym.evaluation.plots.style import WIDTH_IN, label

CELL_IN = (0.46, 0.21)
"""Width and height of a cell, inches."""


def heat_map(results: Results, figure_of: Callable[[Results], float], title: str, decimals: int) -> Figure:
    """Return one metric of all pairs, the number in every cell.

    :param results: of a grid
    :param figure_of: gives the metric of a pair's rows
    :param title: of the colours, with the unit
    :param decimals: digits after the point
    """
    pairs = [policy.rpartition("+") for policy in results.policies]
    drafters = list(dict.fromkeys(drafter for drafter, _, _ in pairs))
    schedulers = list(dict.fromkeys(scheduler for _, _, scheduler in pairs))
    values = np.array([[figure_of(results.of(f"{d}+{s}")) for s in schedulers] for d in drafters])
    width, height = CELL_IN[0] * len(schedulers) + 1.1, CELL_IN[1] * len(drafters) + 1.2
    made = Figure(figsize=(max(WIDTH_IN, width), height))
    axes = made.subplots()
    top = np.nanmax(values) if np.isfinite(values).any() else 1.0
    axes.imshow(values, cmap="viridis", vmin=0.0, vmax=max(top, 1e-9), aspect="auto")
    axes.set_xticks(range(len(schedulers)), [label(name) for name in schedulers], rotation=40, ha="right")
    axes.set_yticks(range(len(drafters)), [label(name, 24) for name in drafters])
    axes.tick_params(length=0)
    axes.grid(False)
    axes.set_title(title)
    for (row, column), value in np.ndenumerate(values):
        shade = "black" if value > 0.6 * top else "white"
        text = "-" if np.isnan(value) else f"{value:.{decimals}f}"
        axes.annotate(text, (column, row), ha="center", va="center", fontsize=6, color=shade)
    return made


def heat_maps(results: Results) -> dict[str, Figure]:
    """Return the heat maps of a grid, by name."""
    return {
        "grid-goodput": heat_map(
            results, lambda one: one.estimate("goodput_tps").value, "goodput [tok/s]", 0
        ),
        "grid-attainment": heat_map(
            results, lambda one: 100 * one.estimate("attainment").value, "attainment [%]", 0
        ),
        "grid-worst-class": heat_map(
            results, lambda one: 100 * one.worst_class().value, "attainment of the worst class [%]", 0
        ),
    }
