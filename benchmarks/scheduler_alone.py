"""WISP's scheduler alone: what it adds to first come, first served under the same drafter, in the burst.

    python benchmarks/scheduler_alone.py                       # all parts
    python benchmarks/scheduler_alone.py --only answers        # how many of them are under way
    python benchmarks/scheduler_alone.py --set server.max_batch=12 --only readings

Attainment of the 8 tok/s sessions that start while a peak's nominal concurrency exceeds 80, over the three
peaks of configs/scenario/burst.yaml (110, 155, 215, times `workload.scale`), and of those that start in the
90 s after the last one; "narrow" are those that start while the first peak exceeds 80 before scaling. Open
loop, so every policy meets the same arrivals. The paper: +18 points at 110; at
215 all degrade and WISP recovers better.

Four parts: the six readings; margins and sources of E[accepted] under the default reading; the first peak
at other scales, as it lies where the server begins to fall behind and the gain depends on it (the
load of that peak is what its nominal sessions ask for over the most that the server commits); and the largest
number of answers under way at once, sessions started and not finished, in each peak on training worlds, which
is what the scale is set by, and what is left of the last peak 90 s after. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
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
from wisp_gym._parser import OneLineParser, whole
from wisp_gym.evaluation.statistics import paired_difference
from wisp_gym.metrics import measure
from wisp_gym.pipeline import Simulation
from wisp_gym.scenario import Scenario
from wisp_gym.world import draw_world, world_seed

SCENARIO = "burst"
FCFS = "predictor+fcfs"
DEADLINE = "round"
"""The scenario's reading of deadlines."""
ABOVE = 80
AFTER_S = 90.0
CLASS = 3
SETTLED_S = 60.0
"""After a peak: by then every token of the tightest class's sessions of it is due."""
MARGINS_S = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
SCALES = (1.0, 1.2, 1.3, 1.4)
WINDOWS = ("peak_110", "peak_155", "peak_215", "after_215", "narrow_110")
PEAKS = WINDOWS[:3]
ANSWERS = (*PEAKS, "after: new tokens", "after: waiting")
PARTS = ("readings", "margins", "scales", "answers")
TARGET_POINTS, TOLERANCE_POINTS = 18.0, 6.0


def burst(overrides: Sequence[str]) -> Scenario:
    """Return the scenario."""
    return scenario.load(SCENARIO, overrides)


def spans_above(spec: Scenario, level: float) -> list[tuple[float, float]]:
    """Return when the profile as written is above a level, s, of the three peaks."""
    points = np.array(spec.workload.concurrency)
    times = np.arange(0.0, spec.horizon_s, 0.1)
    sessions = np.interp(times, points[:, 0], points[:, 1])
    edges = np.flatnonzero(np.diff((sessions > level).astype(int)))
    spans = zip(edges[::2], edges[1::2], strict=True)
    found = [(float(times[i]), float(times[j])) for i, j in spans if sessions[i : j + 1].max() > ABOVE]
    assert len(found) == len(PEAKS), found
    return found


def windows(spec: Scenario) -> dict[str, tuple[float, float]]:
    """Return when each peak's nominal concurrency, times the scale, exceeds 80, the time after the last one,
    and when the first peak exceeds 80 before scaling, s."""
    spans = spans_above(spec, ABOVE / spec.workload.scale)
    end_s = spans[-1][1]
    narrow = spans_above(spec, ABOVE)[0]
    return dict(zip(WINDOWS, [*spans, (end_s, end_s + AFTER_S), narrow], strict=True))


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


def first_peak(spec: Scenario, policies: Sequence[str], seeds: int) -> Runs:
    """Run policies on the same test worlds until the first peak's sessions are judged, and no further."""
    begin_s, end_s = windows(spec)["peak_110"]
    runs: Runs = {name: {"peak_110": []} for name in policies}
    for seed in range(seeds):
        world = draw_world(spec, world_seed("test", seed))
        for name in policies:
            sim = Simulation(world, resolve(name))
            sim.until(round(1e9 * (end_s + SETTLED_S)))
            sim.settle()
            runs[name]["peak_110"].append(started_attainment(sim, begin_s, end_s))
    return runs


def most_under_way(sim: Simulation, begin_s: float, end_s: float) -> int:
    """Return the most answers under way at once in a span that has been run: sessions that have started and
    whose last token has not been delivered."""
    outcomes = sim.state.outcomes
    starts_ns = np.sort(outcomes["start_ns"][outcomes["start_ns"] >= 0])
    ends_ns = np.sort(outcomes["last_ns"][outcomes["finished"] == 1])
    begin_ns, end_ns = round(1e9 * begin_s), round(1e9 * end_s)
    times_ns = starts_ns[(starts_ns > begin_ns) & (starts_ns < end_ns)]
    times_ns = np.append(times_ns, begin_ns)  # it only grows where a session starts
    started = np.searchsorted(starts_ns, times_ns, side="right")
    return int((started - np.searchsorted(ends_ns, times_ns, side="right")).max())


def aftermath(sim: Simulation, end_s: float) -> tuple[float, int]:
    """Run to a time; return the mean new tokens of a pass on the way, and the requests that wait then."""
    before = sim.state.totals[0].copy()
    sim.until(round(1e9 * end_s))
    after = sim.state.totals[0]
    passes = int(after["passes"] - before["passes"])
    new_tokens = int(after["new_tokens"] - before["new_tokens"])
    return new_tokens / max(1, passes), int(sim.state.clock[0]["waiting"])


def answer_table(spec: Scenario, names: Mapping[str, str], seeds: int) -> dict[str, dict[str, float]]:
    """Print and return the most answers under way at once in each peak, and what is left of the last peak,
    means over training worlds.

    :param names: what to call each policy
    """
    spans = windows(spec)
    found: dict[str, dict[str, list[float]]] = {label: {key: [] for key in ANSWERS} for label in names}
    for seed in range(seeds):
        world = draw_world(spec, world_seed("train", seed))
        for label, name in names.items():
            sim = Simulation(world, resolve(name))
            sim.until(round(1e9 * spans["after_215"][0]))
            left = aftermath(sim, spans["after_215"][1])
            row = [most_under_way(sim, *spans[peak]) for peak in PEAKS]
            for key, value in zip(ANSWERS, [*row, *left], strict=True):
                found[label][key].append(value)
    print(f"most answers under way, and 90 s after the last peak, {seeds} training worlds")
    print(f"{'':34s}" + "".join(f"{key:>22s}" for key in ANSWERS))
    means = {label: {key: float(np.mean(v)) for key, v in row.items()} for label, row in found.items()}
    for label, row in means.items():
        print(f"{label:34s}" + "".join(f"{value:22.0f}" for value in row.values()), flush=True)
    return means


def first_peak_load(spec: Scenario) -> float:
    """Return what the first peak's nominal sessions ask for over the most that the server commits at any
    load."""
    sessions = max(n for t, n in spec.workload.concurrency if t < windows(spec)["peak_110"][1])
    return sessions * spec.workload.scale * mean_rate_tps(spec) / most_throughput_tps(spec)


def pair(
    late: str = WISP_LATE, deadline: str = DEADLINE, margin_s: float = SAFETY_MARGIN_S, **more: str
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
    print(f"{'':34s}" + "".join(f"{key:>22s}" for key in runs[FCFS]))
    rows = {label: points(runs, name) for label, name in {"fcfs": FCFS, **names}.items()}
    for label, row in rows.items():
        cells = [f"{c['value']:8.1f} {c['over_fcfs']:+6.1f} ± {c['half_width']:4.1f}" for c in row.values()]
        print(f"{label:34s}" + "".join(f"{cell:>22s}" for cell in cells), flush=True)
    return rows


def readings() -> dict[str, str]:
    """Return the six readings by what to call them."""
    pairs = itertools.product(DEADLINE_READINGS, LATE_READINGS)
    return {f"late={late},deadline={deadline}": pair(late, deadline) for deadline, late in pairs}


def margin_names() -> dict[str, str]:
    """Return margins and sources of E[accepted] under the default reading, by what to call them."""
    names = {f"margin={m:g}": pair(margin_s=m) for m in MARGINS_S}
    return names | {f"expected={e}": pair(expected=e) for e in EXPECTED_READINGS}


def scale_tables(overrides: Sequence[str], seeds: int) -> dict[str, Any]:
    """Return the readings' first peak at every scale of the load."""
    result = {}
    names = readings()
    for scale in SCALES:
        spec = burst([*overrides, f"workload.scale={scale}"])
        load = first_peak_load(spec)
        runs = first_peak(spec, [FCFS, *names.values()], seeds)
        rows = table(f"scale {scale}: load {load:.2f} at the first peak", runs, names)
        result[f"{scale}"] = {"load_at_first_peak": round(load, 3), "rows": rows}
    return result


def within_target(rows: Mapping[str, Any]) -> list[str]:
    """Return the readings that gain +18 points, give or take 6, at the first peak."""
    gains = {name: row["peak_110"]["over_fcfs"] for name, row in rows.items() if name != "fcfs"}
    return [name for name, gain in gains.items() if abs(gain - TARGET_POINTS) <= TOLERANCE_POINTS]


def reading_lines(rows: Mapping[str, Any]) -> list[str]:
    """Return a table of policies as Markdown."""
    titles = ("peak 110", "peak 155", "peak 215", "after 215", "110, narrow", "goodput tok/s")
    lines = ["| | " + " | ".join(titles) + " |", "|---|" + "---|" * len(titles)]
    for label, row in rows.items():
        cells = [
            f"{c['value']:.1f}"
            + ("" if label == "fcfs" else f" ({c['over_fcfs']:+.1f} ± {c['half_width']:.1f})")
            for c in row.values()
        ]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines


def scale_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the readings' gains at the first peak against the scale, as Markdown."""
    names = list(readings())
    lines = [
        "| scale | load at 110 | fcfs at 110 | " + " | ".join(names) + " |",
        "|---|" + "---|" * (len(names) + 2),
    ]
    for label, one in found.items():
        rows = one["rows"]
        gains = [rows[n]["peak_110"] for n in names]
        cells = [f"{gain['over_fcfs']:+.0f} ± {gain['half_width']:.0f}" for gain in gains]
        head = f"{one['load_at_first_peak']:.2f} | {rows['fcfs']['peak_110']['value']:.0f}"
        lines.append(f"| {label} | {head} | " + " | ".join(cells) + " |")
    return lines


def answer_lines(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the largest numbers of answers under way as Markdown."""
    titles = ("peak 110", "peak 155", "peak 215", "new tokens a pass, 90 s after", "waiting 90 s after")
    lines = ["| | " + " | ".join(titles) + " |", "|---|" + "---|" * len(titles)]
    cells = {label: " | ".join(f"{value:.0f}" for value in row.values()) for label, row in found.items()}
    return lines + [f"| {label} | {line} |" for label, line in cells.items()]


def parts(options: argparse.Namespace, result: dict[str, Any]) -> dict[str, list[str]]:
    """Run the parts that are asked for, add them to a result, and return their tables as Markdown."""
    spec, names = burst(options.overrides), readings()
    blocks: dict[str, list[str]] = {}
    if options.only in (None, "readings"):
        rows = table("readings", run_all(spec, [FCFS, *names.values()], options.seeds), names)
        result |= {"readings": rows, "within_target": within_target(rows)}
        blocks["readings"] = reading_lines(rows)
    if options.only in (None, "margins"):
        names = margin_names()
        rows = table("margins", run_all(spec, [FCFS, *names.values()], options.margin_seeds), names)
        result["margins"] = rows
        blocks["margins"] = reading_lines(rows)
    if options.only in (None, "scales"):
        result["scales"] = scale_tables(options.overrides, options.scale_seeds)
        blocks["scales"] = scale_lines(result["scales"])
    if options.only in (None, "answers"):
        names = {"fcfs": FCFS, **readings()}
        result["answers"] = answer_table(spec, names, options.answer_seeds)
        blocks["answers"] = answer_lines(result["answers"])
    return blocks


def main() -> None:
    """Measure and print."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=whole(1), default=24, help="paired test worlds of the readings")
    parser.add_argument("--margin-seeds", type=whole(1), default=8, help="of the margins")
    parser.add_argument("--scale-seeds", type=whole(1), default=24, help="of the scales")
    parser.add_argument("--answer-seeds", type=whole(1), default=8, help="training worlds of the answers")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scheduler-alone.md")
    options = parser.parse_args()
    result: dict[str, Any] = {"scenario": SCENARIO, "overrides": options.overrides, "seeds": options.seeds}
    result |= {f"{part}_seeds": getattr(options, f"{part}_seeds") for part in ("margin", "scale", "answer")}
    blocks = parts(options, result)
    if options.write:
        fill("scheduler-alone.md", blocks)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
