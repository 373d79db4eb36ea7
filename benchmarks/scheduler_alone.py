"""WISP's scheduler alone: what it adds to first come, first served under the same drafter, in the burst.

    python benchmarks/scheduler_alone.py                       # readings, margins, options
    python benchmarks/scheduler_alone.py --set server.max_batch=9 --only readings

Attainment of the 8 tok/s sessions that start while a peak's nominal concurrency exceeds 80, over the
three peaks of
configs/scenario/burst.yaml (110, 155, 215), and of those that start in the 90 s after the last one; open
loop, so
every policy meets the same arrivals. The paper: +18 points at 110; at 215 all degrade and WISP recovers
better.

Three parts: the six readings; margins and sources of E[accepted] under each deadline; and what is not
published, one at a time (engine limit, KV memory, prompts, slower passes, load), as what a peak of 110 means
depends on it. The
load of the first peak is what its nominal sessions ask for over what the server commits when saturated.
Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from page import fill
from saturation import mean_rate_tps, most_throughput_tps

from baselines import resolve
from baselines.settings import DEADLINE_READINGS, EXPECTED_READINGS, LATE_READINGS, SAFETY_MARGIN_S, WISP_LATE
from wisp_gym import scenario
from wisp_gym.evaluation.statistics import paired_difference
from wisp_gym.metrics import measure
from wisp_gym.pipeline import Simulation
from wisp_gym.scenario import Scenario
from wisp_gym.world import draw_world, world_seed

SCENARIO = "burst"
FCFS = "predictor+fcfs"
ABOVE = 80
AFTER_S = 90.0
CLASS = 3
MARGINS_S = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
WINDOWS = ("peak_110", "peak_155", "peak_215", "after_215")
TARGET_POINTS, TOLERANCE_POINTS = 18.0, 6.0

PROMPTS = "workload.prompt_tokens={{median: {0}, sigma: 0.4, min: 16, max: {1}}}"
LONG_PEAKS = (
    "workload.concurrency=[[0,0],[40,35],[80,50],[120,25],[150,40],[170,110],[230,110],[310,35],[350,45],"
    "[370,155],[430,155],[520,45],[550,40],[580,215],[640,215],[750,70],[800,40],[900,30]]"
)
"""The profile with plateaus of 60 s instead of 20 s."""

OPTIONS: dict[str, tuple[tuple[str, ...], float]] = {
    "as shipped": ((), 0.0),
    **{f"engine limit {n}": ((f"server.max_batch={n}",), 0.0) for n in (11, 10, 9, 8)},
    **{f"KV memory {n:,}": ((f"server.kv_tokens={n}",), 0.0) for n in (20_000, 14_000, 11_000, 9_000)},
    **{f"prompts of {n}": ((PROMPTS.format(n, 4 * n),), 0.0) for n in (200, 300, 350, 400)},
    **{f"passes {ms} ms longer": ((), ms * 1e-3) for ms in (20, 30, 40)},
    **{f"{x} times the load": ((f"workload.scale={x}",), 0.0) for x in (1.4, 1.5, 1.6, 1.7)},
    "peaks of a minute": ((LONG_PEAKS,), 0.0),
    "peaks of a minute, engine limit 10": ((LONG_PEAKS, "server.max_batch=10"), 0.0),
}
"""What is not published, by name: overrides, and seconds added to every pass (a slower verify path)."""

BASES = ("as shipped", "engine limit 9")
"""Where readings, margins and sources of E[accepted] are compared: with a first peak well below what the
server holds, and with one a little above it, where first come, first served begins to lose the tight ones."""


def burst(overrides: Sequence[str], slower_s: float = 0.0) -> Scenario:
    """Return the scenario, every pass `slower_s` seconds longer than the profile has it."""
    spec = scenario.load(SCENARIO, overrides)
    if slower_s == 0:
        return spec
    server = spec.profiles.server
    host = server.host_base.model_copy(update={"value": 1e3 * (server.host_base_s + slower_s), "unit": "ms"})
    profiles = dataclasses.replace(spec.profiles, server=server.model_copy(update={"host_base": host}))
    return dataclasses.replace(spec, profiles=profiles)


def windows(spec: Scenario) -> dict[str, tuple[float, float]]:
    """Return when each peak's concurrency exceeds 80, and the time after the last one, s.

    The times are those of the profile as written: a factor on its load does not move them.
    """
    points = np.array(spec.workload.concurrency)
    times = np.arange(0.0, spec.horizon_s, 0.1)
    above = (np.interp(times, points[:, 0], points[:, 1]) > ABOVE).astype(int)
    edges = times[np.flatnonzero(np.diff(above))]
    spans = [(float(a), float(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    assert len(spans) == 3, spans
    return dict(zip(WINDOWS, [*spans, (spans[-1][1], spans[-1][1] + AFTER_S)], strict=True))


def started_attainment(sim: Simulation, begin_s: float, end_s: float) -> float:
    """Return the share of the tightest class's sessions that start in a span and end on time: at least
    95 % of their tokens (unfinished: of those due so far)."""
    world, outcomes = sim.world.arrays, sim.state.outcomes
    start_s = outcomes["start_ns"] * 1e-9
    group = world.devices["group"][world.sessions["device"]]
    chosen = (group == CLASS) & (start_s >= begin_s) & (start_s < end_s) & (outcomes["start_ns"] >= 0)
    finished, length = outcomes["finished"] == 1, world.sessions["length"]
    good = outcomes["on_time"] + np.where(finished, length - outcomes["settled"], 0)
    judged = np.where(finished, length, outcomes["settled"])
    chosen &= judged > 0
    on_time = good >= world.groups[CLASS]["on_time_share"] * judged
    return float(on_time[chosen].mean()) if chosen.any() else math.nan


Runs = dict[str, dict[str, list[float]]]
"""Metrics by policy, a number per seed."""


def run_all(spec: Scenario, policies: Sequence[str], seeds: int) -> Runs:
    """Run policies on the same test worlds."""
    spans = windows(spec)
    runs: Runs = {name: {} for name in policies}
    for seed in range(seeds):
        world = draw_world(spec, world_seed("test", seed))
        for name in policies:
            sim = Simulation(world, resolve(name)).run()
            row = {key: started_attainment(sim, *span) for key, span in spans.items()}
            row["goodput_tps"] = measure(sim)["goodput_tps"]
            for key, value in row.items():
                runs[name].setdefault(key, []).append(value)
    return runs


def first_peak_load(spec: Scenario) -> float:
    """Return what the first peak's nominal sessions ask for over the most that the server commits at any
    load."""
    sessions = max(n for t, n in spec.workload.concurrency if t < windows(spec)["peak_110"][1])
    return sessions * spec.workload.scale * mean_rate_tps(spec) / most_throughput_tps(spec)


def pair(
    late: str = WISP_LATE, deadline: str = "round", margin_s: float = SAFETY_MARGIN_S, **more: str
) -> str:
    """Return WISP's scheduler in a reading, with WISP's drafter."""
    options = {"late": late, "deadline": deadline, "margin": f"{margin_s:g}", **more}
    return "predictor+slo-aware:" + ",".join(f"{key}={value}" for key, value in options.items())


def points(runs: Runs, name: str) -> dict[str, Any]:
    """Return a policy's figures in points (goodput in tok/s): value, difference to fcfs, its 95 %
    half-width."""
    found: dict[str, Any] = {}
    for key, values in runs[name].items():
        unit = 1.0 if key == "goodput_tps" else 100.0
        gain = paired_difference(values, runs[FCFS][key])
        found[key] = {
            "value": round(unit * float(np.nanmean(values)), 1),
            "over_fcfs": round(unit * gain.value, 1),
            "half_width": round(unit * gain.half_width, 1),
        }
    return found


def table(title: str, runs: Runs, names: Mapping[str, str]) -> dict[str, Any]:
    """Print a table and return its rows.

    :param names: what to call each policy
    """
    print(f"\n{title}")
    print(f"{'':34s}" + "".join(f"{key:>22s}" for key in (*WINDOWS, "goodput_tps")))
    rows = {label: points(runs, name) for label, name in {"fcfs": FCFS, **names}.items()}
    for label, row in rows.items():
        cells = [f"{c['value']:8.1f} {c['over_fcfs']:+6.1f} ± {c['half_width']:4.1f}" for c in row.values()]
        print(f"{label:34s}" + "".join(f"{cell:>22s}" for cell in cells), flush=True)
    return rows


def readings() -> dict[str, str]:
    """Return the six readings by what to call them."""
    pairs = itertools.product(DEADLINE_READINGS, LATE_READINGS)
    return {f"late={late},deadline={deadline}": pair(late, deadline) for deadline, late in pairs}


def reading_tables(label: str, spec: Scenario, seeds: int) -> dict[str, Any]:
    """The six readings; margins and sources of E[accepted] under the default reading of late requests."""
    names = readings()
    result = {"readings": table(f"{label}: readings", run_all(spec, [FCFS, *names.values()], seeds), names)}
    for deadline in DEADLINE_READINGS:
        names = {f"margin={m:g}": pair(deadline=deadline, margin_s=m) for m in MARGINS_S}
        names |= {f"expected={e}": pair(deadline=deadline, expected=e) for e in EXPECTED_READINGS}
        runs = run_all(spec, [FCFS, *names.values()], seeds)
        result[f"margins, {deadline}"] = table(f"{label}: late={WISP_LATE},deadline={deadline}", runs, names)
    return result


def option_tables(overrides: Sequence[str], seeds: int) -> dict[str, Any]:
    """What is not published, one at a time, and how many seeds' mean of each reading falls on the
    paper's +18."""
    result = {}
    names = readings()
    specs = {label: burst([*overrides, *more], slower_s) for label, (more, slower_s) in OPTIONS.items()}
    for label, spec in specs.items():
        load = first_peak_load(spec)
        rows = table(
            f"{label}: load {load:.2f} at the first peak",
            run_all(spec, [FCFS, *names.values()], seeds),
            names,
        )
        result[label] = {"load_at_first_peak": round(load, 3), "rows": rows}
    return result


def within_target(rows: Mapping[str, Any]) -> list[str]:
    """Return the readings that gain +18 points, give or take 6, at the first peak."""
    gains = {name: row["peak_110"]["over_fcfs"] for name, row in rows.items() if name != "fcfs"}
    return [name for name, gain in gains.items() if abs(gain - TARGET_POINTS) <= TOLERANCE_POINTS]


def reading_lines(rows: Mapping[str, Any]) -> list[str]:
    """Return a table of policies as Markdown."""
    titles = ("peak 110", "peak 155", "peak 215", "after 215", "goodput tok/s")
    lines = ["| | " + " | ".join(titles) + " |", "|---|" + "---|" * len(titles)]
    for label, row in rows.items():
        cells = [
            f"{c['value']:.1f}"
            + ("" if label == "fcfs" else f" ({c['over_fcfs']:+.1f} ± {c['half_width']:.1f})")
            for c in row.values()
        ]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines


def option_lines(found: Mapping[str, Any]) -> list[str]:
    """Return what is not published as Markdown: the load of the first peak, and each reading's gains
    there, at the third peak and after it."""
    names = list(readings())
    lines = [
        "| | load at 110 | fcfs at 110 | " + " | ".join(names) + " |",
        "|---|" + "---|" * (len(names) + 2),
    ]
    for label, one in found.items():
        rows = one["rows"]
        cells = [
            f"{rows[n]['peak_110']['over_fcfs']:+.0f}, {rows[n]['peak_215']['over_fcfs']:+.0f}, "
            f"{rows[n]['after_215']['over_fcfs']:+.0f}"
            for n in names
        ]
        head = f"{one['load_at_first_peak']:.2f} | {rows['fcfs']['peak_110']['value']:.0f}"
        lines.append(f"| {label} | {head} | " + " | ".join(cells) + " |")
    return lines


def page_blocks(result: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the tables of docs/scheduler-alone.md from a whole run."""
    blocks = {"options": option_lines(result["options"])}
    for label in BASES:
        for name, rows in result[label].items():
            if name != "within_target":
                blocks[f"{label}, {name}"] = reading_lines(rows)
    return blocks


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20, help="paired test worlds of the readings")
    parser.add_argument("--option-seeds", type=int, default=10, help="of what is not published")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--only", choices=("readings", "options"), help="one part of it")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scheduler-alone.md")
    options = parser.parse_args()
    result: dict[str, Any] = {
        "scenario": SCENARIO,
        "overrides": options.overrides,
        "seeds": options.seeds,
        "option_seeds": options.option_seeds,
    }
    if options.only != "options":
        for label in BASES:
            spec = burst([*options.overrides, *OPTIONS[label][0]], OPTIONS[label][1])
            tables = reading_tables(label, spec, options.seeds)
            result[label] = tables | {"within_target": within_target(tables["readings"])}
    if options.only != "readings":
        result["options"] = option_tables(options.overrides, options.option_seeds)
        result["options_within_target"] = {
            label: found for label, row in result["options"].items() if (found := within_target(row["rows"]))
        }
    if options.write:
        fill("scheduler-alone.md", page_blocks(result))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
