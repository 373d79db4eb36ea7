"""The comparison as text for a terminal: a header, a row a policy, and what a reader must know beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from wisp_gym.evaluation.best import Choice
from wisp_gym.evaluation.bounds import BOUNDS
from wisp_gym.evaluation.ceiling import ceiling_notes
from wisp_gym.evaluation.compare import Comparison
from wisp_gym.evaluation.statistics import Estimate
from wisp_gym.evaluation.summary import TRADE_POINTS, PolicySummary, summarise

NAME_WIDTH = 40
COUNTING_CYCLES = 10
UNDEFINED = "-"

Show = Callable[[PolicySummary], str]


def plain(decimals: int, scale: float = 1.0) -> Callable[[float], str]:
    """Return a format for a number; undefined ones are a dash.

    :param decimals: digits after the point
    :param scale: factor on the number, 100 for a share in per cent
    """

    def show(value: float) -> str:
        return UNDEFINED if math.isnan(value) else f"{value * scale:.{decimals}f}"

    return show


_tokens, _share, _seconds, _one = plain(1), plain(1, 100), plain(1), plain(1)


def _metric(name: str, show: Callable[[float], str]) -> Show:
    """Return a column that shows a metric over the seeds."""
    return lambda summary: show(summary.metrics[name])


def _goodput(summary: PolicySummary) -> str:
    """Show mean goodput and the half width of its paired difference to the first policy."""
    text = _tokens(summary.goodput.value)
    half_width = summary.difference.half_width
    return text if summary.verdict == "reference" or math.isnan(half_width) else f"{text} ± {half_width:.1f}"


def _ratio(summary: PolicySummary) -> str:
    """Show the ratio of goodput to the first policy's and its paired interval."""
    return "1" if summary.verdict == "reference" else _interval(summary.ratio)


def _interval(estimate: Estimate) -> str:
    """Show a figure with its interval, where it has one."""
    if math.isnan(estimate.value):
        return UNDEFINED
    shown = f"{estimate.value:.3f}"
    return shown if math.isnan(estimate.half_width) else f"{shown} [{estimate.low:.3f}, {estimate.high:.3f}]"


COLUMNS: tuple[tuple[str, str, Show], ...] = (
    ("goodput", "tok/s", _goodput),
    ("ratio", "to first", _ratio),
    ("attained", "%", _metric("attainment", _share)),
    ("worst class", "%", _metric("attainment_worst", _share)),
    ("longest stall", "s", _metric("longest_stall_s", _seconds)),
    ("throughput", "tok/s", _metric("throughput_tps", _tokens)),
    ("accepted", "%", _metric("acceptance_rate", _share)),
    ("batch", "mean", _metric("batch_size_mean", _one)),
    ("GPU busy", "%", _metric("gpu_busy_share", _share)),
)
"""Two lines of heading, and what stands below."""


def class_columns(rates_tps: Sequence[float]) -> list[tuple[str, str, Show]]:
    """Return the columns of --per-class: attainment and goodput of every SLO class.

    :param rates_tps: of the classes, tokens/s
    """
    columns: list[tuple[str, str, Show]] = []
    for number, rate in enumerate(rates_tps, 1):
        columns.append((f"{rate:g} tok/s", "attained %", _metric(f"attainment_class_{number}", _share)))
        columns.append(("", "tok/s", _metric(f"goodput_class_{number}", _tokens)))
    return columns


def render(comparison: Comparison, per_class: bool = False) -> str:
    """Return the header, the table and its notes as text.

    :param comparison: what was run
    :param per_class: a second table with a row a policy and columns for every SLO class
    """
    summaries = summarise(comparison)
    parts = [header(comparison), "", *_grid(summaries, COLUMNS)]
    if per_class:
        parts += ["", *_grid(summaries, class_columns(comparison.scenario.classes.rates_tps))]
    return "\n".join([*parts, "", *notes(comparison, summaries)])


def header(comparison: Comparison) -> str:
    """Return one line: scenario, load, window, worlds, what was refused."""
    scenario, row = comparison.scenario, comparison.rows[0]
    start_s, end_s = row.window_s
    sizes = {round(size) for size in comparison.metric(comparison.policies[0], "devices")}
    devices = f"{min(sizes)}" if len(sizes) == 1 else f"{min(sizes)}-{max(sizes)}"
    refused = round(sum(comparison.metric(comparison.policies[0], "refused")) / len(comparison.seeds))
    empty = scenario.trace.no_output if scenario.trace is not None else 0
    return (
        f"{scenario.name}: {devices} devices, {end_s:g} s simulated, counted from {start_s:.0f} s on, "
        f"{seeds_text(comparison.seeds, comparison.split)}, {refused} sessions refused"
        + (f", {empty} rows of the trace without output left out" if empty else "")
    )


def seeds_text(seeds: Sequence[int], split: str) -> str:
    """Name the worlds.

    :param seeds: one or more
    :param split: which worlds
    """
    if len(seeds) == 1:
        return f"{split} seed {seeds[0]}"
    run = tuple(seeds) == tuple(range(seeds[0], seeds[0] + len(seeds)))
    listed = f"{seeds[0]}-{seeds[-1]}" if run else ", ".join(map(str, seeds))
    return f"{len(seeds)} {split} seeds ({listed})"


def _grid(summaries: Sequence[PolicySummary], columns: Sequence[tuple[str, str, Show]]) -> list[str]:
    """Return lines with names flush left and figures flush right."""
    lines = [
        ["policy", *(title for title, _, _ in columns)],
        ["", *(unit for _, unit, _ in columns)],
        *([short(summary.policy), *(show(summary) for _, _, show in columns)] for summary in summaries),
    ]
    return grid_lines(lines)


def grid_lines(lines: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Return lines with names flush left and figures flush right, a rule below the first two.

    :param lines: of cells; two of heading, then the rows
    :param left: columns flush left
    """
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    shown = [_line(cells, widths, left) for cells in lines]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return [*shown[:2], rule, *shown[2:]]


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    """Return one line of the grid."""
    texts = [
        cell.ljust(width) if at < left else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(texts).rstrip()


def short(name: str) -> str:
    """Return a name that fits the first column: of a long path, its end.

    :param name: of a policy
    """
    return name if len(name) <= NAME_WIDTH else f"…{name[1 - NAME_WIDTH :]}"


def notes(comparison: Comparison, summaries: Sequence[PolicySummary]) -> list[str]:
    """Return what a reader must know beside the table, a line each."""
    lines = [_interval_note(comparison)] if len(summaries) > 1 else []
    lines += _length_note(comparison)
    lines += [
        f"{summary.policy} = {summary.controller}"
        for summary in summaries
        if summary.controller != Path(summary.policy).name and not _chosen(comparison, summary.policy)
    ]
    lines += [_choice_note(choice) for choice in comparison.choices]
    lines += [] if comparison.bounds is None else comparison.bounds.notes(comparison.policies)
    lines += ceiling_notes(comparison)
    lines += [_trade_note(comparison, summary) for summary in summaries if summary.verdict == "trade"]
    return lines


def _interval_note(comparison: Comparison) -> str:
    """Say what the intervals are, or why there are none."""
    first = short(comparison.policies[0])
    if len(comparison.seeds) < 2:
        return f"one world: no intervals; ratio to {first}"
    return f"± and [ ]: 95 % intervals of the difference and the ratio to {first}, paired world by world"


def _length_note(comparison: Comparison) -> list[str]:
    """Say that a closed loop ran too short to count, where it did."""
    scenario = comparison.scenario
    if scenario.open_loop or scenario.cycles() >= COUNTING_CYCLES:
        return []
    return [
        f"short: the horizon holds {scenario.cycles():.1f} session cycles of the slowest class, "
        f"a run that counts {COUNTING_CYCLES}"
    ]


def _chosen(comparison: Comparison, policy: str) -> bool:
    """Say whether a policy was chosen among candidates."""
    return policy in BOUNDS or any(choice.policy == policy for choice in comparison.choices)


def _choice_note(choice: Choice) -> str:
    """Say which candidate was taken."""
    goodput = choice.goodput_tps[choice.chosen]
    return (
        f"{choice.policy} = {choice.chosen}, {goodput:.1f} tok/s, "
        f"the best of {len(choice.goodput_tps)} on {len(choice.seeds)} training worlds"
    )


def _trade_note(comparison: Comparison, summary: PolicySummary) -> str:
    """Say which class pays for a gain."""
    number, change = min(
        (
            (number, change)
            for number, change in summary.class_changes.items()
            if not math.isnan(change.value)
        ),
        key=lambda entry: entry[1].value,
    )
    rate = comparison.scenario.classes.rates_tps[number - 1]
    return (
        f"{summary.policy}: a trade, not a win: more goodput, but class {rate:g} tok/s attains "
        f"{-100 * change.value:.1f} points less (more than {100 * TRADE_POINTS:g})"
    )
