"""Run sections, and keep and publish what came out: one line of JSON, pictures, the tables of the docs."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.paper import (
    capacity_table,
    dip_sd,
    engine_limits,
    figures,
    predictions,
    readings,
    sensitivity,
    sled_parts,
)
from benchmarks.paper.parameters import PARAMETERS, shown
from benchmarks.paper.targets import SOURCE
from benchmarks.paper.work import Work
from wisp_gym.evaluation.output import write_together
from wisp_gym.scenario import Scenario

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
IMAGES = ROOT / "docs" / "images"
RESULT_FILE = "paper.json"
DIGITS = 6

SECTIONS: Mapping[str, Callable[[Work], dict[str, Any]]] = {
    "table": capacity_table.run,
    "predictions": predictions.run,
    "sensitivity": sensitivity.run,
    "readings": readings.run,
    "limits": engine_limits.run,
    "sled": sled_parts.run,
    "dip-sd": dip_sd.run,
}
"""Every section by name, in the order they run."""


def run(work: Work, names: Sequence[str], tell: Callable[[str], None]) -> dict[str, Any]:
    """Run sections and return their results under their names, after what they rest on.

    :param work: how much, and where rows are kept
    :param names: of sections
    :param tell: told what is going on, a line at a time
    """
    result = head(work.scenario)
    for name in names:
        tell(f"section {name}")
        result[name] = rounded(SECTIONS[name](work))
    if "table" in result:
        result |= {key: result["table"][key] for key in ("max_deviation", "median_deviation")}
    return result


def head(scenario: Scenario) -> dict[str, Any]:
    """Return what all figures rest on."""
    return {
        "source": SOURCE,
        "scenario": scenario.name,
        "scenario_sha256": scenario.digest(),
        "parameters": [
            {"place": one.place, "kind": one.kind, "value": shown(one.value(scenario)), "why": one.why}
            for one in PARAMETERS
        ],
    }


def rounded(value: Any) -> Any:
    """Return a value with its numbers cut to some digits; undefined ones are None."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(entry) for entry in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def line(result: Mapping[str, Any]) -> str:
    """Return a result as one line of JSON."""
    return json.dumps(result, ensure_ascii=False, allow_nan=False)


def keep(result: Mapping[str, Any], folder: Path) -> None:
    """Write a result, and the pictures of its sections, into a folder."""
    write_together(folder, {RESULT_FILE: f"{line(result)}\n".encode()} | figures.pictures(result))


def publish(result: Mapping[str, Any]) -> None:
    """Write a result of all sections where the documentation takes it from, and make its tables anew."""
    pictures = {str(IMAGES / name): content for name, content in figures.pictures(result).items()}
    write_together(RESULTS, {RESULT_FILE: f"{line(result)}\n".encode()} | pictures)
    subprocess.run([sys.executable, str(ROOT / "docs" / "generate.py")], check=True, stdout=sys.stderr)
