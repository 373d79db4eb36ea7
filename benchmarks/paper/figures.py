"""Pictures of the result: the table, sensitivities, engine limits, and the steps from SLED to WISP."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter, NullLocator

from benchmarks.paper.cells import GOODPUT, MIX
from benchmarks.paper.targets import SYSTEMS, targets
from wisp_gym.evaluation.plots.bars import ERROR
from wisp_gym.evaluation.plots.style import RC, WIDTH_IN, colour, figure, line_style

WIDE_IN = 2 * WIDTH_IN + 0.3
"""Width of a figure over both columns, inches."""

DOWN, UP = "#56B4E9", "#D55E00"
"""A parameter made smaller, and larger."""

Result = Mapping[str, Any]


def pictures(result: Result) -> dict[str, bytes]:
    """Return the PNG of every section of a result that has one, by file name; equal results, equal bytes."""
    drawn: dict[str, bytes] = {}
    with matplotlib.rc_context(RC):
        for section, (name, draw) in PICTURES.items():
            if section in result:
                file = io.BytesIO()
                draw(result[section]).savefig(file, format="png", metadata={"Software": None})
                drawn[name] = file.getvalue()
    return drawn


def wide(height_in: float, rows: int, columns: int, **options: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure over both columns and its axes, row by row."""
    made = Figure(figsize=(WIDE_IN, height_in))
    return made, list(made.subplots(rows, columns, squeeze=False, **options).flat)


def one_line(made: Figure, handles: list[Any]) -> None:
    """Put a legend above all axes of a wide figure, in one line."""
    made.legend(handles=handles, loc="outside upper center", ncols=len(handles))


def capacities(table: Result) -> Figure:
    """Return capacities by class, and goodputs, with the published values as marks and deviations above."""
    classes = [name for name in _columns(table["cells"]) if name != GOODPUT]
    made, (left, right) = wide(2.5, 1, 2, width_ratios=(max(2, len(classes)), 1.15))
    highest = 0.0
    for axes, columns in ((left, classes), (right, [GOODPUT])):
        for at, system in enumerate(SYSTEMS):
            places = np.arange(len(columns)) + (at - 1) * 0.28
            found = [_cell(table["cells"], system, column) for column in columns]
            value = np.array([cell["value"] for cell in found])
            axes.bar(places, value, 0.26, color=colour(at), yerr=_widths(found), error_kw=ERROR)
            for place, cell in zip(places, found, strict=True):
                axes.plot([place - 0.13, place + 0.13], [cell["paper"]] * 2, color="black", linewidth=1.6)
                top = max(cell["value"], cell["paper"], cell["high"] or 0)
                axes.annotate(
                    f"{100 * cell['deviation']:+.0f}",
                    (place, top),
                    (0, 2),
                    textcoords="offset points",
                    ha="center",
                    fontsize=6.5,
                )
                highest = max(highest, top) if axes is left else highest
        axes.set_xticks(range(len(columns)), columns)
        axes.tick_params(axis="x", length=0)
        axes.grid(False, axis="x")
        axes.margins(y=0.1)
    left.set_ylabel("capacity [devices]")
    right.set_ylabel("system goodput [tok/s]")
    right.set_xticks([0], ["mix of all classes"])
    left.set_title("numbers: deviation from the paper [%]", fontsize=7, loc="right")
    bars = [Patch(color=colour(at), label=system) for at, system in enumerate(SYSTEMS)]
    one_line(made, [*bars, Line2D([], [], color="black", linewidth=1.6, label="paper")])
    return made


def tornado(section: Result) -> Figure:
    """Return how each headline ratio, and the largest deviation, move with every calibrated parameter."""
    parameters = list(dict.fromkeys(move["parameter"] for move in section["moves"]))
    names = [*section["reference"]["headlines"], "max_deviation"]
    made, axes = wide(0.9 + 0.32 * len(parameters), 1, len(names), sharey=True)
    for place, name in zip(axes, names, strict=True):
        base = _of(section["reference"], name)
        for move in section["moves"]:
            at, up = parameters.index(move["parameter"]), move["to"] > move["from"]
            value = _of(move, name)
            if value is not None and base is not None:
                place.barh(at + (0.19 if up else -0.19), value - base, 0.34, base, color=UP if up else DOWN)
        if base is not None:
            place.axvline(base, color="0.3", linewidth=0.6)
        place.set_title(
            "largest\ndeviation [%]" if name == "max_deviation" else name.replace(" over ", "\nover ")
        )
        place.grid(False, axis="y")
        place.tick_params(axis="y", length=0)
        place.margins(x=0.15)
    axes[0].set_yticks(range(len(parameters)), [_short(name) for name in parameters])
    axes[0].set_ylim(len(parameters) - 0.5, -0.5)
    one_line(made, [Patch(color=DOWN, label="20 % (or 1) less"), Patch(color=UP, label="20 % (or 1) more")])
    return made


def limits(section: Result) -> Figure:
    """Return every system's cells against the engine's limit, with the paper's WISP as a line."""
    columns = [name for name in _columns(section["limits"][0]["cells"]) if name != MIX]
    made, axes = wide(1.75 * ((len(columns) + 2) // 3) + 0.2, (len(columns) + 2) // 3, 3)
    sizes = [entry["max_batch"] for entry in section["limits"]]
    published = targets()
    for place, column in zip(axes, columns, strict=False):
        for at, system in enumerate(SYSTEMS):
            values = [_cell(entry["cells"], system, column)["value"] for entry in section["limits"]]
            place.plot(sizes, values, **line_style(at))
        place.axhline(published["wisp", column], color="black", linewidth=0.9, linestyle=(0, (1, 1.5)))
        place.set_xscale("log", base=2)
        place.set_xticks(sizes, [str(size) for size in sizes])
        place.xaxis.set_minor_locator(NullLocator())
        place.xaxis.set_minor_formatter(NullFormatter())
        place.set_ylim(bottom=0)
        place.set_title("system goodput [tok/s]" if column == GOODPUT else f"capacity at {column} [devices]")
    for place in axes[len(columns) :]:
        place.set_visible(False)
    made.supxlabel("engine's limit [requests a pass]", fontsize=8)
    lines = [Line2D([], [], label=system, **line_style(at)) for at, system in enumerate(SYSTEMS)]
    one_line(
        made,
        [
            *lines,
            Line2D([], [], color="black", linewidth=0.9, linestyle=":", label="paper's WISP, limit unknown"),
        ],
    )
    return made


def waterfall(section: Result) -> Figure:
    """Return the capacity after every step from SLED to WISP, what the step adds in colour."""
    steps = section["steps"]
    made, (axes,) = figure(0.55 + 0.27 * len(steps))
    before = 0.0
    for at, step in enumerate(steps):
        value = step["capacity_devices"]
        axes.barh(at, value, 0.6, color=colour(2) if at == 0 else "0.88")
        if at:
            axes.barh(at, value - before, 0.6, before, color=colour(0) if value >= before else colour(1))
        text = (
            f"{value:.0f}" if at == 0 or step["factor"] is None else f"{value:.0f}  (x {step['factor']:.2f})"
        )
        axes.annotate(
            text, (max(value, before), at), (3, 0), textcoords="offset points", va="center", fontsize=7
        )
        before = value
    axes.set_yticks(range(len(steps)), [step["step"] for step in steps])
    axes.set_ylim(len(steps) - 0.5, -0.5)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 1.5 * max(step["capacity_devices"] for step in steps))
    axes.set_xlabel(f"capacity at {section['column']} [devices]")
    return made


def _columns(cells: list[dict[str, Any]]) -> list[str]:
    """Return the columns of cells, in their order."""
    return list(dict.fromkeys(cell["column"] for cell in cells))


def _cell(cells: list[dict[str, Any]], system: str, column: str) -> dict[str, Any]:
    """Return one cell's record."""
    return next(cell for cell in cells if (cell["system"], cell["column"]) == (system, column))


def _widths(found: list[dict[str, Any]]) -> Any:
    """Return how far the intervals reach below and above; None without any.  # (2, cells)"""
    if any(cell["low"] is None or cell["high"] is None for cell in found):
        return None
    ends = [[cell["value"] - cell["low"], cell["high"] - cell["value"]] for cell in found]
    return np.clip(np.array(ends).T, 0, None)


def _of(entry: Mapping[str, Any], name: str) -> float | None:
    """Return a headline ratio of a setting, or its largest deviation in per cent."""
    if name == "max_deviation":
        return 100 * float(entry[name])
    value = entry["headlines"][name]
    return None if value is None else float(value)


def _short(place: str) -> str:
    """Return a parameter's name in two lines."""
    return place.replace(":", ":\n", 1) if ":" in place else place


PICTURES: Mapping[str, tuple[str, Callable[[Result], Figure]]] = {
    "table": ("paper-capacity.png", capacities),
    "sensitivity": ("paper-sensitivity.png", tornado),
    "limits": ("paper-limits.png", limits),
    "sled": ("paper-sled.png", waterfall),
}
"""File and drawing of every section that has a picture."""
