"""Capacities and sweeps of loads as text for a terminal."""

from __future__ import annotations

import math

from wisp_gym.evaluation.capacity import Capacity, CapacityStudy, violation
from wisp_gym.evaluation.crossing import BEYOND, STEP, TOLERANCE
from wisp_gym.evaluation.fleets import MIX
from wisp_gym.evaluation.load_sweep import LoadSweep
from wisp_gym.evaluation.statistics import mean
from wisp_gym.evaluation.summary import pooled
from wisp_gym.evaluation.table import UNDEFINED, grid_lines, seeds_text, short


def render_capacity(study: CapacityStudy) -> str:
    """Return the header, the table and its notes as text.

    :param study: what was measured
    """
    fleets = [kind.name for kind in study.kinds]
    columns = [*fleets, *([f"goodput, {MIX}", "at"] if MIX in fleets else [])]
    units = ["devices"] * len(fleets) + (["tok/s", "devices"] if MIX in fleets else [])
    lines = [["policy", *columns], ["", *units]]
    for policy in study.policies:
        cells = [study.capacities[fleet, policy] for fleet in fleets]
        goodput = [_goodput(cell) for cell in cells if cell.fleet == MIX]
        lines.append([short(policy), *map(_devices, cells), *(text for pair in goodput for text in pair)])
    parts = [_header(study), "", *grid_lines(lines), "", *_unloaded(study)]
    return "\n".join([*parts, "", *_notes(study)])


def _header(study: CapacityStudy) -> str:
    """Return one line: what is shown, of which worlds."""
    return (
        f"{study.scenario.name}: capacity, the most devices before {100 * TOLERANCE:g} % SLO violation, "
        f"{study.scenario.horizon_s:g} s simulated, {seeds_text(study.seeds, 'test')}"
    )


def _devices(cell: Capacity) -> str:
    """Show a capacity with its interval."""
    bound = "" if cell.crossing.crossed else "≥ "
    low, high = cell.interval
    span = "" if math.isnan(low) or not cell.crossing.crossed else f" [{low:.0f}, {high:.0f}]"
    return f"{bound}{cell.crossing.capacity}{span}"


def _goodput(cell: Capacity) -> tuple[str, str]:
    """Show the highest goodput and where it was met."""
    return f"{cell.goodput.value:.1f}", f"{'≥ ' if cell.rising else ''}{cell.goodput_devices}"


def _unloaded(study: CapacityStudy) -> list[str]:
    """Return the table of unloaded attainment."""
    fleets = [kind.name for kind in study.kinds]
    lines = [["unloaded attainment", *fleets], ["", *(["%"] * len(fleets))]]
    for policy in study.policies:
        cells = [study.capacities[fleet, policy] for fleet in fleets]
        lines.append([short(policy), *(f"{100 * cell.unloaded:.1f}" for cell in cells)])
    return grid_lines(lines)


def _notes(study: CapacityStudy) -> list[str]:
    """Return what a reader must know beside the table, a line each."""
    sizes = {cell.unloaded_devices for cell in study.capacities.values()}
    lines = [
        "each class: fleets of that class alone; mix: by its worst class. Upward in "
        f"{100 * STEP:g} % steps, to {BEYOND:g} times the first crossing, then bisected",
    ]
    if len(study.seeds) > 1:
        lines.append("[ ]: 95 % intervals, bootstrap over seeds; nested worlds, the same for all policies")
    else:
        lines.append("one world: no intervals")
    lines.append(
        f"unloaded: {', '.join(map(str, sorted(sizes)))} devices; ≥: the largest fleet run, it may be more"
    )
    for cell in study.capacities.values():
        lines += _cell_notes(cell)
    return lines


def _cell_notes(cell: Capacity) -> list[str]:
    """Return what is unusual about one capacity."""
    name = f"{short(cell.policy)}, {cell.fleet}"
    if not cell.crossing.crossed:
        return [f"{name}: nothing violated up to {cell.crossing.scanned_to} devices"]
    again = cell.crossing.held_again
    if not again:
        return []
    spans = ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in again)
    return [f"{name}: held again at {spans} devices (scanned sizes)"]


def render_loads(sweep: LoadSweep) -> str:
    """Return a table with a row a fleet, load and policy.

    :param sweep: what was run
    """
    head = ["fleet", "devices", "policy", "goodput", "attained", "worst class", "batch", "GPU busy"]
    lines = [head, ["", "", "", "tok/s", "%", "%", "mean", "%"]]
    for kind in sweep.kinds:
        for load in sweep.loads:
            lines += [_load_line(sweep, kind.name, load, policy) for policy in sweep.policies]
    title = (
        f"{sweep.scenario.name}: {len(sweep.loads)} loads, {sweep.scenario.horizon_s:g} s simulated, "
        f"{seeds_text(sweep.seeds, 'test')}"
    )
    note = "±: 95 % interval of the mean over seeds" if len(sweep.seeds) > 1 else "one world: no intervals"
    return "\n".join([title, "", *grid_lines(lines, left=3), "", note])


def _load_line(sweep: LoadSweep, fleet: str, load: int, policy: str) -> list[str]:
    """Return one policy's cells at one load."""
    rows = sweep.rows.of(fleet, policy, load, sweep.seeds)

    def over_seeds(name: str) -> float:
        return pooled(name, lambda metric: [row.metrics[metric] for row in rows])

    goodput = mean([row.metrics["goodput_tps"] for row in rows])
    width = "" if math.isnan(goodput.half_width) else f" ± {goodput.half_width:.1f}"
    shares = (over_seeds("attainment"), 1.0 - violation(rows))
    batch, busy = over_seeds("batch_size_mean"), over_seeds("gpu_busy_share")
    return [
        fleet,
        str(load),
        short(policy),
        f"{goodput.value:.1f}{width}",
        *(f"{100 * share:.1f}" for share in shares),
        UNDEFINED if math.isnan(batch) else f"{batch:.1f}",
        f"{100 * busy:.1f}",
    ]
