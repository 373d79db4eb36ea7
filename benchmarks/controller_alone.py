"""WISP's speculation controller alone: the stop predictor against drafts of five, both with fcfs.

    python benchmarks/controller_alone.py
    python benchmarks/controller_alone.py --set workload.lead_s=16     # with flow control

Fleets of one kind of device, no device drawn again, all sessions of the class of 2 tok/s, which the slowest
Raspberry Pi 5 keeps up with; no flow control, under which a session is served at its reader's pace whatever
its drafter; otherwise the paper's scenario. The verify path, from sending a draft to its
result, is what the network's round trip, the queue and the pass make of it; it is measured. First the number
of devices that predictor+fcfs holds is found; the comparison is made at shares of it, on the same worlds for
all policies, with 95 % intervals over worlds. The session throughput is tokens delivered over session time,
both summed over the sessions that start in the window. Tables, and one line of JSON; `--write` puts the
table into docs/predictor.md.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from page import fill

from baselines import candidates, resolve
from wisp_gym import evaluation, scenario
from wisp_gym._parser import OneLineParser, whole
from wisp_gym.evaluation.fleets import fleet_kinds
from wisp_gym.evaluation.statistics import Estimate, student_quantile
from wisp_gym.metrics import measure
from wisp_gym.metrics.measure import counted
from wisp_gym.pipeline import Simulation
from wisp_gym.scenario import Scenario
from wisp_gym.world import draw_world, world_seed

SCENARIO = "paper-qwen3-32b-a100"
REFERENCE = "fixed:5"
POLICIES = ("predictor+fcfs", "predictor:drop+fcfs", "predictor:0.9+fcfs")
LOADS = (0.25, 0.5, 1.0, 1.3)
DEVICES = ("raspberry-pi-5", "jetson-agx-orin")
NETWORK = "4g-poor"
"""Its round trip (p50 85 ms) and a pass of some 50 ms make a verify path of 0.10 to 0.20 s."""
OTHER_NETWORKS = ("5g-good", "lte", "hspa-driving")
"""Shorter and longer verify paths, at the lightest load."""

Sums = dict[str, float]


def fleet(device: str, network: str, *overrides: str) -> Scenario:
    """Return the scenario with one kind of device on one network, the class of 2 tok/s alone."""
    changes = (
        f"fleet.mix=[{{device: {device}, share: 1}}]",
        f"fleet.networks=[{{network: {network}, share: 1}}]",
        "classes.shares=[1,0,0,0]",
        "fleet.allow_infeasible=true",
        "workload.lead_s=null",
        "fleet.devices=16",
    )
    return scenario.load(SCENARIO, [*changes, *overrides])


def capacity(spec: Scenario, seeds: int, folder: Path, jobs: int) -> int:
    """Return the devices that predictor+fcfs holds, as evaluate.py --capacity does."""
    place = evaluation.Workplace(folder, jobs, None)
    kinds = fleet_kinds(spec, ["mix"])
    policies = [POLICIES[0]]
    study = evaluation.measure_capacity(
        spec, policies, kinds, tuple(range(seeds)), resolve, candidates, place
    )
    return int(study.capacities[kinds[0].name, POLICIES[0]].crossing.capacity)


def sums_of(simulation: Simulation) -> Sums:
    """Return what the figures of a run are ratios of."""
    assert simulation.snapshot is not None
    counts = counted(simulation)
    outcomes = simulation.state.outcomes
    begun = outcomes["start_ns"] >= simulation.snapshot["start_ns"]
    begun &= outcomes["start_ns"] < simulation.now_ns
    end_ns = np.where(outcomes["finished"] == 1, outcomes["last_ns"], simulation.now_ns)
    names = ("accepted", "verified", "drafted", "rounds", "committed", "network_ns", "queue_ns", "verify_ns")
    metrics = measure(simulation)
    return {name: float(counts[name].sum()) for name in names} | {
        "tokens": float(outcomes["delivered"][begun].sum()),
        "session_s": 1e-9 * float((end_ns - outcomes["start_ns"])[begun].sum()),
        "goodput_tps": metrics["goodput_tps"],
        "attainment": metrics["attainment"],
        "busy": metrics["gpu_busy_share"],
    }


def run_all(spec: Scenario, devices: int, seeds: int) -> dict[str, list[Sums]]:
    """Return each policy's sums, world by world."""
    rows: dict[str, list[Sums]] = {policy: [] for policy in (REFERENCE, *POLICIES)}
    for seed in range(seeds):
        world = draw_world(spec, world_seed("test", seed), devices)
        for policy, sums in rows.items():
            sums.append(sums_of(Simulation(world, resolve(policy)).run()))
    return rows


def pooled(rows: list[Sums], above: str, below: str) -> float:
    """Return a ratio of sums over worlds."""
    return sum(row[above] for row in rows) / sum(row[below] for row in rows)


def change(rows: list[Sums], other: list[Sums], above: str, below: str) -> Estimate:
    """Return the change of a ratio of sums, as a share, with its interval: a jackknife over worlds, both
    policies losing the same one."""

    def value(kept: list[int]) -> float:
        one, two = ([arm[i] for i in kept] for arm in (rows, other))
        return pooled(one, above, below) / pooled(two, above, below) - 1.0

    worlds = list(range(len(rows)))
    if len(worlds) < 2:
        return Estimate(value(worlds), math.nan, len(worlds))
    left = np.array([value([i for i in worlds if i != out]) for out in worlds])
    error = math.sqrt((len(worlds) - 1) * float(left.var()))
    return Estimate(value(worlds), student_quantile(len(worlds) - 1) * error, len(worlds))


def row_of(rows: list[Sums], other: list[Sums]) -> dict[str, Any]:
    """Return a policy's line: figures, and changes from drafts of five in percent."""
    path_s = 1e-9 * sum(pooled(rows, name, "rounds") for name in ("network_ns", "queue_ns", "verify_ns"))
    line: dict[str, Any] = {
        "acceptance": round(pooled(rows, "accepted", "verified"), 4),
        "accepted_per_drafted": round(pooled(rows, "accepted", "drafted"), 4),
        "tokens_per_round": round(pooled(rows, "committed", "rounds"), 3),
        "session_tps": round(pooled(rows, "tokens", "session_s"), 3),
        "verify_path_s": round(path_s, 4),
        "goodput_tps": round(float(np.mean([row["goodput_tps"] for row in rows])), 1),
        "attainment": round(float(np.mean([row["attainment"] for row in rows])), 4),
        "gpu_busy": round(float(np.mean([row["busy"] for row in rows])), 3),
    }
    if rows is not other:
        pairs = {"acceptance": ("accepted", "verified"), "session": ("tokens", "session_s")}
        for name, (above, below) in pairs.items():
            found = change(rows, other, above, below)
            line[f"{name}_change_percent"] = [round(100 * v, 1) for v in (found.value, found.low, found.high)]
    return line


def compare(spec: Scenario, devices: int, seeds: int, title: str) -> dict[str, Any]:
    """Run one fleet at one load; print its table and return it."""
    rows = run_all(spec, devices, seeds)
    lines = {policy: row_of(sums, rows[REFERENCE]) for policy, sums in rows.items()}
    print(f"{title}, {devices} devices")
    print(
        f"{'':22}{'acceptance':>11}{'change, %':>22}{'session tok/s':>15}{'change, %':>22}"
        f"{'path s':>8}{'attained':>10}{'goodput':>9}{'busy':>6}"
    )
    for policy, line in lines.items():
        changes = [line.get(f"{name}_change_percent") for name in ("acceptance", "session")]
        one, two = (f"{c[0]:+.1f} [{c[1]:+.1f}, {c[2]:+.1f}]" if c else "" for c in changes)
        print(
            f"{policy:22}{line['acceptance']:11.3f}{one:>22}{line['session_tps']:15.2f}{two:>22}"
            f"{line['verify_path_s']:8.3f}{line['attainment']:10.3f}{line['goodput_tps']:9.1f}"
            f"{line['gpu_busy']:6.2f}"
        )
    print(flush=True)
    return {"devices": devices, "policies": lines}


def lines_of(result: dict[str, Any]) -> list[str]:
    """Return the table as Markdown, a line for each fleet, load and policy."""
    titles = (
        "fleet, network",
        "load",
        "policy",
        "acceptance rate",
        "change, %",
        "session tok/s",
        "change, %",
    )
    titles += ("verify path, s", "attained, %")
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    cells = [
        (f"{fleet}, {result['network']}", f"{float(load):g} x ({one['devices']})", one["policies"])
        for (fleet, load), one in ((name.split(), one) for name, one in result["loads"].items())
    ]
    for network, one in result["networks"].items():
        cells.append((f"{DEVICES[0]}, {network}", f"{one['devices']} devices", one["policies"]))
    for where, load, policies in cells:
        for policy, row in policies.items():
            found = (row.get(f"{name}_change_percent") for name in ("acceptance", "session"))
            one, two = (f"{c[0]:+.1f} [{c[1]:+.1f}, {c[2]:+.1f}]" if c else "" for c in found)
            figures = f"{row['acceptance']:.3f} | {one} | {row['session_tps']:.2f} | {two}"
            end = f"{row['verify_path_s']:.3f} | {100 * row['attainment']:.1f}"
            lines.append(f"| {where} | {load} | `{policy}` | {figures} | {end} |")
    return lines


def main() -> None:
    """Measure and print."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=whole(1), default=10, help="test worlds of every load")
    parser.add_argument("--jobs", type=whole(1), default=1, help="processes, for the capacity")
    parser.add_argument("--out", type=Path, default=Path("results/controller-alone"), help="capacity's rows")
    parser.add_argument("--write", action="store_true", help="put the table into docs/predictor.md")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    options = parser.parse_args()
    result: dict[str, Any] = {"seeds": options.seeds, "overrides": options.overrides, "network": NETWORK}
    result |= {"capacity": {}, "loads": {}}
    for device in DEVICES:
        spec = fleet(device, NETWORK, *options.overrides)
        holds = capacity(spec, max(2, options.seeds // 2), options.out / device, options.jobs)
        result["capacity"][device] = holds
        for load in LOADS:
            title = f"{device}, {NETWORK}, {load:g} x {holds}"
            line = compare(spec, max(1, round(load * holds)), options.seeds, title)
            result["loads"][f"{device} {load:g}"] = line
    light = max(1, round(LOADS[0] * result["capacity"][DEVICES[0]]))
    result["networks"] = {
        network: compare(
            fleet(DEVICES[0], network, *options.overrides), light, options.seeds, f"{DEVICES[0]}, {network}"
        )
        for network in OTHER_NETWORKS
    }
    if options.write:
        fill("predictor.md", {"controller": lines_of(result)})
    print(json.dumps(result))


if __name__ == "__main__":
    main()
