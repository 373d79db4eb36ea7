"""Plots against load: a line a policy over the size of the fleet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from wisp_gym.evaluation.crossing import TOLERANCE
from wisp_gym.evaluation.fleets import MIX
from wisp_gym.evaluation.plots.bars import part_handles
from wisp_gym.evaluation.plots.results import Results
from wisp_gym.evaluation.plots.style import PARTS, figure, label, legend, line_style, log_ticks
from wisp_gym.evaluation.statistics import Estimate

DEVICES = "devices"
MARK_ALL = 12
"""Sizes up to which every one has its marker; of a scan's many, markers are spaced evenly."""


def main_fleet(results: Results) -> str:
    """Return the kind of fleet that plots of one kind show: the mix, else the first."""
    return MIX if MIX in results.fleets else results.fleets[0]


def _mean_of(name: str) -> Callable[[Results], Estimate]:
    """Return what gives a metric's mean over the seeds."""
    return lambda results: results.estimate(name)


def _line(
    axes: Axes,
    results: Results,
    policy: str,
    fleet: str,
    figure_of: Callable[[Results], Estimate],
    limits: tuple[float, float] = (0.0, np.inf),
    scale: float = 1.0,
) -> None:
    """Draw one policy's line with its band."""
    there = results.of(policy, fleet)
    if there.rows.empty:
        return
    size, value, low, high = there.curve(figure_of)
    style = line_style(results.policies.index(policy))
    axes.plot(size, scale * value, markevery=1 if len(size) <= MARK_ALL else 0.12, **style)
    band = [np.clip(scale * edge, *limits) for edge in (low, high)]
    axes.fill_between(size, *band, color=style["color"], alpha=0.2, linewidth=0)


def handles(results: Results) -> list[Line2D | Patch]:
    """Return the legend's entries: policies, and what the bands are."""
    entries: list[Line2D | Patch] = [
        Line2D([], [], label=label(policy, 24), **line_style(at))
        for at, policy in enumerate(results.policies)
    ]
    if results.seeds > 1:
        entries.append(Patch(color="0.8", label=f"95 % CI, {results.seeds} seeds"))
    return entries


def legend_height(results: Results) -> float:
    """Return the height that the legend needs, inches."""
    names = [str(handle.get_label()) for handle in handles(results)]
    longest = max(len(line) for name in names for line in name.split("\n"))
    columns = max(1, min(len(names), int(64 / (longest + 7))))
    lines = sum(name.count("\n") + 1 for name in names) / columns
    return 0.14 * (int(lines) + 1)


def goodput(results: Results, fleet: str) -> Figure:
    """Return goodput against load."""
    made, (axes,) = figure(1.9 + legend_height(results))
    for policy in results.policies:
        _line(axes, results, policy, fleet, _mean_of("goodput_tps"))
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.set_xlabel(_devices(fleet))
    axes.set_ylabel("goodput [tok/s]")
    legend(made, handles(results))
    return made


def attainment(results: Results, fleet: str) -> Figure:
    """Return attainment of the worst class against load, with the tolerance and the capacities."""
    made, (axes,) = figure(1.9 + legend_height(results))
    _attainment(axes, results, fleet, Results.worst_class)
    axes.set_xlabel(_devices(fleet))
    axes.set_ylabel("attainment, worst class [%]" if fleet == MIX else "attainment [%]")
    legend(made, handles(results))
    return made


def _devices(fleet: str) -> str:
    """Return the label of the axis of loads."""
    return DEVICES if fleet == MIX else f"{DEVICES}, all of class {fleet}"


def _attainment(
    axes: Axes, results: Results, fleet: str, figure_of: Callable[[Results], Estimate], mark: bool = True
) -> None:
    """Draw attainment of all policies in one axes."""
    for policy in results.policies:
        _line(axes, results, policy, fleet, figure_of, (0.0, 100.0), 100.0)
    axes.axhline(100 * (1 - TOLERANCE), color="0.35", linewidth=0.7, linestyle=(0, (1, 2)))
    for entry in results.capacities:
        if mark and entry["fleet"] == fleet and entry["crossed"] and entry["policy"] in results.policies:
            shade = line_style(results.policies.index(entry["policy"]))["color"]
            axes.axvline(entry["capacity_devices"], color=shade, linewidth=0.7, linestyle=(0, (1, 2)))
    axes.set_ylim(-3, 103)
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.set_xlim(left=0)


def panels(results: Results, count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel for each of several things, two a row; what is left over is empty."""
    rows = (count + 1) // 2
    made, axes = figure(0.5 + 1.15 * rows + legend_height(results), rows, 2, sharey=True)
    for unused in axes[count:]:
        unused.set_visible(False)
    return made, axes[:count]


def class_attainment(results: Results, fleet: str) -> Figure:
    """Return attainment against load of every SLO class in fleets of one kind."""
    classes = results.classes()
    made, axes = panels(results, len(classes))
    for panel, (number, name) in zip(axes, classes, strict=True):
        metric = f"attainment_class_{number}"
        _attainment(panel, results, fleet, _mean_of(metric), mark=False)
        panel.set_title(name, loc="left", pad=2)
    _outer_labels(made, "attainment [%]")
    legend(made, handles(results))
    return made


def alone_attainment(results: Results, fleets: Sequence[str]) -> Figure:
    """Return attainment against load of fleets of a single class, a panel a class."""
    made, axes = panels(results, len(fleets))
    for panel, fleet in zip(axes, fleets, strict=True):
        _attainment(panel, results, fleet, Results.worst_class)
        panel.set_title(f"{fleet} alone", loc="left", pad=2)
    _outer_labels(made, "attainment [%]")
    legend(made, handles(results))
    return made


def _outer_labels(made: Figure, vertical: str) -> None:
    """Label a grid of panels once."""
    made.supxlabel(DEVICES, fontsize=8)
    made.supylabel(vertical, fontsize=8)


def time_between_tokens(results: Results, fleet: str) -> Figure:
    """Return median and 99th percentile of the time between tokens against load."""
    made, axes = figure(2.6 + legend_height(results), 2, 1, sharex=True)
    for panel, (quantile, name) in zip(axes, ((50, "median"), (99, "p99")), strict=True):
        metric = f"tbt_p{quantile}_s"
        for policy in results.policies:
            _line(
                panel,
                results,
                policy,
                fleet,
                _mean_of(metric),
                (1e-3, np.inf),
                1e3,
            )
        drawn = np.concatenate([np.asarray(line.get_ydata(), float) for line in panel.lines])
        if np.isfinite(drawn).any():
            panel.set_yscale("log")
            panel.set_ylim(np.nanmin(drawn) / 1.5, np.nanmax(drawn) * 1.5)  # bands may reach below 0
            log_ticks(panel.yaxis)
        panel.set_ylabel(f"TBT, {name} [ms]")
    axes[-1].set_xlim(left=0)
    axes[-1].set_xlabel(_devices(fleet))
    legend(made, handles(results))
    return made


def waste_and_interference(results: Results, fleet: str) -> Figure:
    """Return wasted drafting time and verification interference per committed token against load."""
    made, axes = figure(2.6 + legend_height(results), 2, 1, sharex=True)
    for panel, (key, name) in zip(axes, (("wdt", "WDT"), ("vi_mix", "VI, mix")), strict=True):
        metric = f"{key}_per_token_s"
        for policy in results.policies:
            _line(panel, results, policy, fleet, _mean_of(metric), scale=1e3)
        panel.set_ylim(bottom=0)
        panel.set_ylabel(f"{name} [ms/token]")
    axes[-1].set_xlim(left=0)
    axes[-1].set_xlabel(_devices(fleet))
    legend(made, handles(results))
    return made


def time_parts(results: Results, fleet: str) -> Figure:
    """Return the shares of where the time of a token goes against load, a panel a policy."""
    policies = results.policies
    made, axes = panels(results, len(policies))
    for panel, policy in zip(axes, policies, strict=True):
        there = results.of(policy, fleet)
        sizes = there.sizes()
        parts = [there.at(size).parts_s() for size in sizes]
        shares = [[100 * part[key] / sum(part.values()) for part in parts] for key, _, _, _ in PARTS]
        shades, hatches = [part[2] for part in PARTS], [part[3] for part in PARTS]
        for area, hatch in zip(panel.stackplot(sizes, shares, colors=shades), hatches, strict=True):
            area.set(hatch=hatch, edgecolor="white", linewidth=0)
        panel.set_title(label(policy, 24), loc="left", pad=2)
        panel.set_ylim(0, 100)
        panel.set_xlim(min(sizes), max(sizes) if len(sizes) > 1 else None)
        panel.grid(False)
    _outer_labels(made, "share of time per token [%]")
    legend(made, part_handles())
    return made
