"""Keep capacities and sweeps of loads: rows as CSV, figures as JSON, a manifest, together or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from wisp_gym.evaluation.capacity import CAPACITY_FILE, Capacity, CapacityStudy
from wisp_gym.evaluation.crossing import BEYOND, QUANTILES, RESAMPLES, STEP, TOLERANCE
from wisp_gym.evaluation.event_log_seal import seals_among
from wisp_gym.evaluation.json_text import json_bytes
from wisp_gym.evaluation.load_rows import SPLIT
from wisp_gym.evaluation.load_sweep import LOADS_FILE, LoadSweep
from wisp_gym.evaluation.manifest import run_facts
from wisp_gym.evaluation.output import MANIFEST_FILE, write_together
from wisp_gym.evaluation.statistics import CONFIDENCE
from wisp_gym.evaluation.writers import estimate_dict

CAPACITY_JSON = "capacity.json"


def save_capacity(
    study: CapacityStudy, folder: Path, command: Sequence[str], jobs: int, started: datetime
) -> None:
    """Write capacity.csv, capacity.json and manifest.json; unfinished work is removed then.

    :param study: what was measured
    :param folder: made if it is missing
    :param command: the command line, word by word
    :param jobs: processes allowed
    :param started: when, with time zone
    :raises OSError: they cannot be written; nothing is left behind
    """
    files = {CAPACITY_FILE: study.rows.csv(study.keys()), CAPACITY_JSON: capacity_json(study)}
    _save(study, folder, files, command, jobs, started)


def save_loads(
    sweep: LoadSweep,
    folder: Path,
    command: Sequence[str],
    jobs: int,
    started: datetime,
    written: Mapping[str, Path] | None = None,
) -> None:
    """Write loads.csv and manifest.json; parameters and errors as for `save_capacity`.

    :param written: files that only have to be moved, by absolute path
    """
    _save(sweep, folder, {LOADS_FILE: sweep.rows.csv(sweep.keys())}, command, jobs, started, written)


def capacity_json(study: CapacityStudy) -> bytes:
    """Return crossings, intervals, re-crossings and unloaded attainment of every fleet and policy."""
    return json_bytes(
        {
            "scenario": study.scenario.name,
            "split": SPLIT,
            "seeds": study.seeds,
            "horizon_s": study.scenario.horizon_s,
            "tolerance": TOLERANCE,
            "step": STEP,
            "scanned_beyond": BEYOND,
            "confidence": CONFIDENCE,
            "bootstrap": {"resamples": RESAMPLES, "quantiles": QUANTILES},
            "capacities": [_entry(study, cell) for cell in study.capacities.values()],
        }
    )


def _entry(study: CapacityStudy, cell: Capacity) -> dict[str, Any]:
    """Return one capacity's figures."""
    crossing = cell.crossing
    low, high = cell.interval
    controllers = {
        size: sorted({row.controller for row in study.rows.of(cell.fleet, cell.policy, size, study.seeds)})
        for size in cell.sizes
    }
    several = len({name for names in controllers.values() for name in names}) > 1
    return {
        "fleet": cell.fleet,
        "policy": cell.policy,
        "capacity_devices": crossing.capacity,
        "crossed": crossing.crossed,
        "low_devices": low,
        "high_devices": high,
        "held_again_devices": crossing.held_again,
        "scanned_to_devices": crossing.scanned_to,
        "unloaded_attainment": cell.unloaded,
        "unloaded_devices": cell.unloaded_devices,
        "highest_goodput_tps": estimate_dict(cell.goodput),
        "highest_goodput_devices": cell.goodput_devices,
        "highest_goodput_at_last_size": cell.rising,
        "chosen_by_devices": controllers if several else {},
    }


def _save(
    done: CapacityStudy | LoadSweep,
    folder: Path,
    files: dict[str, bytes],
    command: Sequence[str],
    jobs: int,
    started: datetime,
    written: Mapping[str, Path] | None = None,
) -> None:
    """Write files with a manifest that names their hashes."""
    manifest = run_facts(command, jobs, started) | {
        "scenario_sha256": done.scenario.digest(),
        "scenario": done.scenario.to_dict(),
        "split": SPLIT,
        "seeds": done.seeds,
        "policies": done.policies,
        "fleets": [kind.name for kind in done.kinds],
        "rows_taken_over": len(done.keys()) - done.new_rows,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    seals = [*seals_among(written or {}), MANIFEST_FILE]
    write_together(folder, files | {MANIFEST_FILE: json_bytes(manifest)}, seals, written)
    done.rows.drop()
