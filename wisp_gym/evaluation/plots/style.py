"""How plots look: a column's width, 8 pt, colours that colour-blind readers tell apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

WIDTH_IN = 3.3
"""Width of a column of a two-column paper, inches."""

RC: Any = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.03,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 8,
    "grid.color": "0.88",
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.5,
    "legend.borderaxespad": 0.2,
    "legend.columnspacing": 1.0,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.labelspacing": 0.25,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,  # TrueType: editable, and what publishers ask for
    "savefig.dpi": 250,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
}

# Okabe and Ito's palette, the yellow left out: too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
CLASS_COLOURS = ("#fde725", "#35b779", "#31688e", "#440154")  # viridis, loosest class first

PARTS = (
    ("draft", "drafting, kept", "#56B4E9", ""),
    ("waste", "drafting, wasted", "#0072B2", "//////"),
    ("network", "network", "#009E73", ""),
    ("queue", "queue", "#E69F00", ""),
    ("verify", "verification", "#D55E00", ""),
)
"""Where the time goes: key, label, colour, hatch."""


def colour(at: int) -> str:
    """Return the colour of the policy in this place."""
    return COLOURS[at % len(COLOURS)]


def line_style(at: int) -> dict[str, Any]:
    """Return colour, line and marker of the policy in this place; no two of the first 28 are alike."""
    cycle, place = divmod(at, len(COLOURS))
    return {
        "color": colour(at),
        "linestyle": LINES[(place + cycle) % len(LINES)],
        "marker": MARKERS[(place + cycle) % len(MARKERS)],
    }


def label(policy: str, width: int = 16) -> str:
    """Return a policy's name as a plot shows it: of a path its end, a long one in several lines.

    :param policy: its name
    :param width: characters of a line, where the name has places to break it
    """
    name = policy if "+" in policy or "=" in policy else PurePath(policy).name or policy
    lines = [""]
    for part in re.findall(r"[^,:+/_-]+[,:+/_-]*|[,:+/_-]+", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line if len(line) <= 2 * width else f"{line[:width]}…{line[-width:]}" for line in lines)


def figure(height_in: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure of a column's width and its axes, row by row.

    :param height_in: inches
    :param rows: of axes; :param columns: of axes
    :param options: of `Figure.subplots`
    """
    made = Figure(figsize=(WIDTH_IN, height_in))
    axes = made.subplots(rows, columns, squeeze=False, **options)
    return made, list(axes.flat)


def legend(made: Figure, handles: Sequence[Line2D | Patch]) -> None:
    """Put a legend above all axes, with as many columns as fit."""
    names = [str(handle.get_label()) for handle in handles]
    longest = max(max(len(line) for line in name.split("\n")) for name in names)
    columns = max(1, min(len(names), int(64 / (longest + 7))))
    made.legend(handles=list(handles), loc="outside upper center", ncols=columns)


def log_ticks(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers: 1, 2 and 5 of every decade, of many decades 1 alone.

    :param axis: its limits are final
    """
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def height_of(policies: Sequence[str], each_in: float = 0.32, around_in: float = 0.75) -> float:
    """Return the height of a figure with a row a policy, inches; a name of several lines needs more."""
    lines = max(label(policy).count("\n") + 1 for policy in policies)
    return around_in + max(each_in, 0.13 * lines + 0.06) * len(policies)
