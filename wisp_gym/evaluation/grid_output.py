"""The grid as text for a terminal and as files: a matrix a metric, drafters down, schedulers across."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from wisp_gym.evaluation.ceiling import LEAST_SHARE, is_ceiling
from wisp_gym.evaluation.fleets import MIX
from wisp_gym.evaluation.grid import GRID_CSV, GRID_JSON, Grid
from wisp_gym.evaluation.json_text import json_bytes
from wisp_gym.evaluation.load_rows import SPLIT
from wisp_gym.evaluation.manifest import run_facts
from wisp_gym.evaluation.output import MANIFEST_FILE, write_together
from wisp_gym.evaluation.statistics import CONFIDENCE
from wisp_gym.evaluation.table import UNDEFINED, grid_lines, seeds_text, short
from wisp_gym.evaluation.writers import estimate_dict

GRID_FILES = (GRID_CSV, GRID_JSON, MANIFEST_FILE)
"""What a grid writes."""

METRICS = (
    ("goodput_tps", "goodput", "tok/s", 1.0),
    ("attainment", "attained", "%", 100.0),
    ("attainment_worst", "worst class", "%", 100.0),
)
"""Metric, title, unit and the factor to it, a matrix each."""


def render_grid(grid: Grid) -> str:
    """Return the header, the matrices and their notes as text.

    :param grid: what was run
    """
    sizes = sorted({round(row.metrics["devices"]) for row in grid.rows.rows.values()})
    devices = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]}-{sizes[-1]}"
    lines = [
        f"{grid.scenario.name}: {len(grid.drafters)} drafters x {len(grid.schedulers)} schedulers, "
        f"{devices} devices, {grid.scenario.horizon_s:g} s simulated, {seeds_text(grid.seeds, SPLIT)}"
    ]
    for metric, title, unit, factor in METRICS:
        lines += ["", *_matrix(grid, metric, f"{title}, {unit}", factor)]
    return "\n".join([*lines, "", *_notes(grid)])


def _matrix(grid: Grid, metric: str, title: str, factor: float) -> list[str]:
    """Return one metric's matrix as lines."""
    head = [[title, *map(short, grid.schedulers)], [""] * (len(grid.schedulers) + 1)]
    body = [
        [short(drafter), *(_cell(grid, drafter, scheduler, metric, factor) for scheduler in grid.schedulers)]
        for drafter in grid.drafters
    ]
    lines = grid_lines([*head, *body])
    return [lines[0], *lines[2:]]  # one line of heading


def _cell(grid: Grid, drafter: str, scheduler: str, metric: str, factor: float) -> str:
    """Return one figure as text."""
    value = grid.estimate(drafter, scheduler, metric).value
    return UNDEFINED if math.isnan(value) else f"{factor * value:.1f}"


def _notes(grid: Grid) -> list[str]:
    """Return what a reader must know beside the matrices, a line each."""
    goodput = {
        (drafter, scheduler): grid.estimate(drafter, scheduler, "goodput_tps")
        for drafter in grid.drafters
        for scheduler in grid.schedulers
    }
    known = {cell: one for cell, one in goodput.items() if not is_ceiling(cell[0])}
    lines = ["drafters down, schedulers across; default options; means over worlds, the same for all pairs"]
    if known:
        best = max(known, key=lambda cell: known[cell].value)
        span = "" if math.isnan(known[best].half_width) else f" ± {known[best].half_width:.1f}"
        lines.append(f"best goodput: {'+'.join(best)}, {known[best].value:.1f}{span} tok/s")
    return lines + [line for scheduler in grid.schedulers for line in _flags(goodput, scheduler)]


def _flags(goodput: dict[tuple[str, str], Any], scheduler: str) -> list[str]:
    """Return a line for every drafter that is above an oracle with the same scheduler."""
    column = {drafter: one.value for (drafter, other), one in goodput.items() if other == scheduler}
    return [
        f"FLAG: {drafter}+{scheduler} is {column[drafter] - column[oracle]:.1f} tok/s above "
        f"{oracle}+{scheduler}, which is no ceiling here"
        for oracle in filter(is_ceiling, column)
        for drafter in column
        if not is_ceiling(drafter) and column[drafter] - column[oracle] > LEAST_SHARE * column[oracle]
    ]


def grid_json(grid: Grid) -> bytes:
    """Return every metric's matrix, with intervals where there are any."""
    return json_bytes(
        {
            "scenario": grid.scenario.name,
            "scenario_sha256": grid.scenario.digest(),
            "split": SPLIT,
            "seeds": grid.seeds,
            "confidence": CONFIDENCE,
            "drafters": grid.drafters,
            "schedulers": grid.schedulers,
            "metrics": {
                metric: [
                    [
                        estimate_dict(grid.estimate(drafter, scheduler, metric))
                        for scheduler in grid.schedulers
                    ]
                    for drafter in grid.drafters
                ]
                for metric, _, _, _ in METRICS
            },
        }
    )


def save_grid(grid: Grid, folder: Path, command: Sequence[str], jobs: int, started: datetime) -> None:
    """Write grid.csv, grid.json and manifest.json, together or not at all; unfinished work is removed then.

    :param grid: what was run
    :param folder: made if it is missing
    :param command: the command line, word by word
    :param jobs: processes allowed
    :param started: when, with time zone
    :raises OSError: they cannot be written; nothing is left behind
    """
    files = {GRID_CSV: grid.rows.csv(grid.keys()), GRID_JSON: grid_json(grid)}
    manifest = run_facts(command, jobs, started) | {
        "scenario_sha256": grid.scenario.digest(),
        "scenario": grid.scenario.to_dict(),
        "split": SPLIT,
        "seeds": grid.seeds,
        "drafters": grid.drafters,
        "schedulers": grid.schedulers,
        "fleets": [MIX],
        "rows_taken_over": len(grid.keys()) - grid.new_rows,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    write_together(folder, files | {MANIFEST_FILE: json_bytes(manifest)}, MANIFEST_FILE)
    grid.rows.drop()
