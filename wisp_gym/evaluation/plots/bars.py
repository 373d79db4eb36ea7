"""Plots of a comparison at one load: a row a policy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from wisp_gym.evaluation.plots.results import Results
from wisp_gym.evaluation.plots.style import (
    CLASS_COLOURS,
    MARKERS,
    PARTS,
    colour,
    figure,
    height_of,
    label,
    legend,
    log_ticks,
)
from wisp_gym.evaluation.statistics import Estimate

ERROR = {"ecolor": "0.25", "elinewidth": 0.8, "capsize": 1.5, "capthick": 0.8}
QUANTILES = ((50, "median"), (95, "95th percentile"), (99, "99th percentile"))
INTERFERENCE = (("vi_raw", "raw", "#56B4E9"), ("vi_mix", "mix", "#0072B2"), ("vi_queue", "queue", "#E69F00"))
QUANTILE_COLOURS = ("#56B4E9", "#0072B2", "#000000")


def interval_text(results: Results) -> str:
    """Return what error bars are, for an axis label."""
    return f", 95 % CI, {results.seeds} seeds" if results.seeds > 1 else ", one seed"


def _rows(axes: Axes, policies: Sequence[str]) -> None:
    """Name the rows, the first on top."""
    axes.set_yticks(range(len(policies)), [label(policy) for policy in policies])
    axes.set_ylim(len(policies) - 0.5, -0.5)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)


def _widths(estimates: Sequence[Estimate]) -> list[float]:
    """Return half widths of intervals; 0 where there is none."""
    return [0.0 if np.isnan(one.half_width) else one.half_width for one in estimates]


def goodput(results: Results) -> Figure:
    """Return goodput by policy."""
    policies = results.policies
    made, (axes,) = figure(height_of(policies, 0.24, 0.5))
    found = [results.of(policy).estimate("goodput_tps") for policy in policies]
    colours = [colour(at) for at in range(len(policies))]
    axes.barh(
        range(len(policies)),
        [one.value for one in found],
        0.62,
        color=colours,
        xerr=_widths(found),
        error_kw=ERROR,
    )
    _rows(axes, policies)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"goodput [tok/s]{interval_text(results)}")
    return made


def class_attainment(results: Results) -> Figure:
    """Return attainment by policy and SLO class."""
    policies, classes = results.policies, results.classes()
    made, (axes,) = figure(height_of(policies, 0.1 * len(classes) + 0.12, 0.8))
    height = 0.8 / len(classes)
    for at, (number, _) in enumerate(classes):
        found = [results.of(policy).estimate(f"attainment_class_{number}") for policy in policies]
        places = np.arange(len(policies)) + (at - (len(classes) - 1) / 2) * height
        value = np.array([100 * one.value for one in found])
        width = 100 * np.array(_widths(found))
        inside = np.array([np.minimum(width, value), np.minimum(width, 100 - value)])
        axes.barh(
            places,
            value,
            0.86 * height,
            color=CLASS_COLOURS[number - 1],
            edgecolor="0.3",
            linewidth=0.3,
            xerr=np.clip(inside, 0, None).tolist(),  # of an array of one bar, matplotlib 3.10 warns
            error_kw=ERROR,
        )
    _rows(axes, policies)
    axes.set_xlim(0, 102)
    axes.set_xlabel(f"attainment [%]{interval_text(results)}")
    legend(made, [Patch(color=CLASS_COLOURS[number - 1], label=name) for number, name in classes])
    return made


def time_parts(results: Results) -> Figure:
    """Return where the time of a token goes, by policy: shares, and the sum beside them."""
    policies = results.policies
    made, (axes,) = figure(height_of(policies, 0.24, 0.85))
    parts = [results.of(policy).parts_s() for policy in policies]
    sums = [sum(part.values()) for part in parts]
    left = np.zeros(len(policies))
    for key, _, shade, hatch in PARTS:
        share = np.array([100 * part[key] / whole for part, whole in zip(parts, sums, strict=True)])
        axes.barh(
            range(len(policies)), share, 0.66, left, color=shade, hatch=hatch, edgecolor="white", linewidth=0
        )
        left += share
    for at, whole in enumerate(sums):
        axes.annotate(f"{seconds(whole)}", (101.5, at), va="center", fontsize=7, annotation_clip=False)
    _rows(axes, policies)
    axes.set_xlim(0, 118)
    axes.set_xticks(range(0, 101, 25))
    axes.spines["bottom"].set_bounds(0, 100)
    axes.annotate("sum", (101.5, -0.62), va="center", fontsize=7, annotation_clip=False)
    axes.set_xlabel("share of time per token [%]", loc="left")
    legend(made, part_handles())
    return made


def seconds(value: float) -> str:
    """Return a time in the unit that suits it, three digits; a dash where it is undefined."""
    if np.isnan(value):
        return "-"
    return f"{1e3 * value:.0f} ms" if value < 1 else f"{value:.3g} s"


def part_handles() -> list[Patch]:
    """Return the legend of where the time goes."""
    return [
        Patch(facecolor=shade, hatch=hatch, edgecolor="white", label=name) for _, name, shade, hatch in PARTS
    ]


def time_between_tokens(results: Results) -> Figure:
    """Return quantiles of the time between tokens, by policy."""
    policies = results.policies
    made, (axes,) = figure(height_of(policies, 0.24, 0.7))
    found = 1e3 * np.array(
        [[results.of(one).pooled(f"tbt_p{q}_s") for q, _ in QUANTILES] for one in policies]
    )
    for at, values in enumerate(found):
        axes.plot(values[[0, -1]], [at, at], color="0.7", linewidth=1, zorder=1)
        for value, marker, shade in zip(values, MARKERS, QUANTILE_COLOURS, strict=False):
            axes.plot(value, at, marker, color=shade, zorder=2)
    _rows(axes, policies)
    if np.isfinite(found).any():
        axes.set_xscale("log")
        log_ticks(axes.xaxis)
    axes.set_xlabel("time between tokens [ms]")
    legend(
        made,
        [
            Line2D([], [], color=shade, marker=marker, linestyle="", label=name)
            for (_, name), marker, shade in zip(QUANTILES, MARKERS, QUANTILE_COLOURS, strict=False)
        ],
    )
    return made


def waste_and_interference(results: Results) -> Figure:
    """Return wasted drafting time and verification interference per committed token, by policy."""
    policies = results.policies
    made, (left, right) = figure(height_of(policies, 0.36, 0.85), 1, 2, sharey=True)
    places = np.arange(len(policies))
    waste = [1e3 * results.of(policy).pooled("wdt_per_token_s") for policy in policies]
    left.barh(places, waste, 0.5, color=[colour(at) for at in range(len(policies))])
    _rows(left, policies)
    left.set_xlabel("WDT [ms/token]")
    for at, (key, _, shade) in enumerate(INTERFERENCE):
        value = [1e3 * results.of(policy).pooled(f"{key}_per_token_s") for policy in policies]
        right.barh(places + 0.25 * (at - 1), value, 0.23, color=shade)
    right.axvline(0, color="0.3", linewidth=0.6)
    right.set_xlabel("VI [ms/token]")
    right.grid(False, axis="y")
    right.tick_params(axis="y", length=0)
    legend(made, [Patch(color=shade, label=f"VI, {name}") for _, name, shade in INTERFERENCE])
    return made
