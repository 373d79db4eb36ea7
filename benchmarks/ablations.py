"""What each half of WISP is good for: WISP against itself without its controller and without its scheduler.

    python benchmarks/ablations.py

The paper's scenario at 0.7, 1.0, 1.1 and 1.3 times the load that saturates the server, paired test worlds.
Without the controller: drafts of 5 or of 8 under WISP's scheduler. Without the scheduler: WISP's drafter,
first come, first served. Wasted drafting time and verification interference are per committed token. A loss
is lower where the 95 % interval of the paired difference lies below 0; goodput is not lower where it does
not. `--write` puts the table into docs/ablations.md. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from page import fill
from saturation import mean_rate_tps, most_throughput_tps

from baselines import resolve
from wisp_gym import scenario
from wisp_gym._parser import OneLineParser, whole
from wisp_gym.evaluation.statistics import Estimate, mean, paired_difference
from wisp_gym.metrics import measure
from wisp_gym.pipeline import Simulation
from wisp_gym.scenario import Scenario
from wisp_gym.world import draw_world, world_seed

SCENARIO = "paper-qwen3-32b-a100"
LOADS = (0.7, 1.0, 1.1, 1.3)
METRICS = {
    "goodput_tps": ("goodput tok/s", 1.0),
    "wdt_per_token_s": ("WDT ms/token", 1e3),
    "vi_mix_per_token_s": ("mix VI ms/token", 1e3),
    "vi_queue_per_token_s": ("queue VI ms/token", 1e3),
    "attainment_worst": ("worst class %", 100.0),
}
LOSSES = ("wdt_per_token_s", "vi_mix_per_token_s", "vi_queue_per_token_s")


def policies(reading: str) -> dict[str, str]:
    """Return WISP and its ablations by what to call them.

    :param reading: options of WISP's scheduler, kept wherever it is
    """
    return {
        "WISP": f"wisp:{reading}",
        "without controller, drafts of 5": f"fixed:5+slo-aware:{reading}",
        "without controller, drafts of 8": f"fixed:8+slo-aware:{reading}",
        "without scheduler": "predictor+fcfs",
    }


Rows = dict[str, dict[str, list[float]]]
"""Metrics by policy, a number per seed."""


def run_all(spec: Scenario, names: dict[str, str], seeds: int) -> Rows:
    """Run the policies on the same test worlds."""
    rows: Rows = {label: {} for label in names}
    for seed in range(seeds):
        world = draw_world(spec, world_seed("test", seed))
        for label, name in names.items():
            metrics = measure(Simulation(world, resolve(name)).run())
            for key in METRICS:
                rows[label].setdefault(key, []).append(metrics[key])
    return rows


def interval(found: Estimate, unit: float) -> dict[str, float]:
    """Return a figure and its interval for a file."""
    return {
        "value": round(unit * found.value, 3),
        "low": round(unit * found.low, 3),
        "high": round(unit * found.high, 3),
    }


def compared(rows: Rows) -> dict[str, Any]:
    """Return WISP's figures, the ablations', the differences WISP - ablation, and what they say."""
    result: dict[str, Any] = {}
    for label, columns in rows.items():
        cells: dict[str, Any] = {}
        for key, (_, unit) in METRICS.items():
            cells[key] = {"mean": round(unit * mean(columns[key]).value, 3)}
            if label != "WISP":
                cells[key]["wisp_less_it"] = interval(
                    paired_difference(rows["WISP"][key], columns[key]), unit
                )
        if label != "WISP":
            gain = cells["goodput_tps"]["wisp_less_it"]
            cells["goodput_not_lower"] = gain["high"] >= 0
            for key in LOSSES:
                change = cells[key]["wisp_less_it"]
                cells[f"{key}_lower"] = change["high"] < 0
        result[label] = cells
    return result


def show(load: float, devices: int, table: dict[str, Any]) -> None:
    """Print one load's table."""
    print(f"\n{load} times the saturating load, {devices} devices")
    print(f"{'':34s}" + "".join(f"{title:>26s}" for title, _ in METRICS.values()))
    for label, cells in table.items():
        line = f"{label:34s}"
        for key in METRICS:
            cell = cells[key]
            change = cell.get("wisp_less_it")
            shown = f"{cell['mean']:.2f}"
            if change:
                shown += f" [{change['low']:+.2f}, {change['high']:+.2f}]"
            line += f"{shown:>26s}"
        print(line, flush=True)


def lines_of(loads: dict[str, Any]) -> list[str]:
    """Return the tables as Markdown: means, and in brackets the 95 % interval of WISP less the ablation."""
    titles = [title for title, _ in METRICS.values()]
    lines = ["| load (devices) | | " + " | ".join(titles) + " |", "|---|---|" + "---|" * len(titles)]
    for load, found in loads.items():
        for label, cells in found["policies"].items():
            shown = []
            for key in METRICS:
                text = f"{cells[key]['mean']:.2f}"
                change = cells[key].get("wisp_less_it")
                if change:
                    text += f" [{change['low']:+.2f}, {change['high']:+.2f}]"
                shown.append(text)
            lines.append(f"| {load} ({found['devices']}) | {label} | " + " | ".join(shown) + " |")
    return lines


def main() -> None:
    """Measure and print."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=whole(1), default=20, help="paired test worlds")
    parser.add_argument("--reading", default="late=last", help="options of WISP's scheduler")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--write", action="store_true", help="put the table into docs/ablations.md")
    options = parser.parse_args()
    base = scenario.load(SCENARIO, options.overrides)
    saturating = most_throughput_tps(base) / mean_rate_tps(base)
    result: dict[str, Any] = {
        "scenario": SCENARIO,
        "overrides": options.overrides,
        "reading": options.reading,
        "seeds": options.seeds,
        "saturating_devices": round(saturating),
        "loads": {},
    }
    for load in LOADS:
        devices = round(load * saturating)
        spec = scenario.load(base, [f"fleet.devices={devices}"])
        table = compared(run_all(spec, policies(options.reading), options.seeds))
        show(load, devices, table)
        result["loads"][str(load)] = {"devices": devices, "policies": table}
    if options.write:
        fill("ablations.md", {"ablations": lines_of(result["loads"])})
    print(json.dumps(result))


if __name__ == "__main__":
    main()
