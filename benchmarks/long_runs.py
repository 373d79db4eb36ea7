"""How much memory and time do long runs take?

    python benchmarks/long_runs.py

An hour of 1,024 devices (city-5g) under three policies, and two and four hours under WISP, which tells what
grows; a day of arrivals whose rate follows the hours, once as an arrival profile and once as a trace
file that `evaluate.py` replays as a user would. Each runs in a process of its own, whose greatest resident
memory is read from the system when it ends. The last line is JSON.

The day of the trace is made here, from a seed: requests of a Poisson process of 0.5 to 5 a second, least at
four in the morning, with prompts and outputs after the medians and spreads of Azure's conversation trace of
2023 (Splitwise, ISCA 2024: median prompt 1,020 tokens, median output 129).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import numpy as np
from machine import python_loop_s

ROOT = Path(__file__).resolve().parent.parent
HOUR_S, DAY_S = 3600.0, 86_400.0
DEVICES = 1024
POLICIES = ("wisp", "sled", "centralized")
TRACE_POLICIES = ("wisp", "centralized")
LOW_RPS, HIGH_RPS = 0.5, 5.0
MIB = 2**20


def rate_rps(time_s: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the day's request rate: a cosine, lowest at 4 h."""
    swing = 0.5 - 0.5 * np.cos(2 * np.pi * (time_s / 3600.0 - 4.0) / 24.0)
    return LOW_RPS + (HIGH_RPS - LOW_RPS) * swing


def write_day(path: Path, length_s: float, seed: int = 0) -> int:
    """Write a day's trace and return its number of requests.

    :param length_s: only so much of it, s
    """
    random = np.random.default_rng(seed)
    count = random.poisson(HIGH_RPS * length_s)
    time_s = np.sort(random.uniform(0.0, length_s, count))
    time_s = time_s[random.uniform(0.0, HIGH_RPS, count) < rate_rps(time_s)]
    prompts = np.clip(np.rint(random.lognormal(np.log(1020), 0.98, len(time_s))), 1, 8000).astype(int)
    outputs = np.clip(np.rint(random.lognormal(np.log(129), 0.86, len(time_s))), 1, 1000).astype(int)
    rows = zip(1e3 * time_s, prompts, outputs, strict=True)
    lines = [f"{t:.3f},{prompt},{output}\n" for t, prompt, output in rows]
    path.write_text("t_ms,input_tokens,output_tokens\n" + "".join(lines))
    return len(lines)


def profile_of_day() -> str:
    """Return the day as an arrival profile's override: nominal sessions by the half hour.

    Up to 110, which WISP holds: a longer queue would only take longer.
    """
    times = np.arange(0.0, DAY_S + 1, 1800.0)
    sessions = 110.0 * rate_rps(times) / HIGH_RPS
    sessions[0] = 0.0
    points = ",".join(f"[{t:g},{s:.1f}]" for t, s in zip(times, sessions, strict=True))
    return f"workload.concurrency=[{points}]"


def simulate(task: dict[str, Any]) -> dict[str, float]:
    """Run one policy in one world of this process and return what came out."""
    from baselines import resolve
    from wisp_gym import scenario
    from wisp_gym.metrics import measure
    from wisp_gym.pipeline import Simulation
    from wisp_gym.world import draw_world, world_seed

    spec = scenario.load(task["scenario"], task["overrides"])
    begin = time.perf_counter()
    world = draw_world(spec, world_seed("test", 0))
    drawn = time.perf_counter()
    simulation = Simulation(world, resolve(task["policy"])).run()
    ran = time.perf_counter()
    metrics = measure(simulation)
    sessions = world.arrays.sessions
    return {
        "draw_s": round(drawn - begin, 1),
        "run_s": round(ran - drawn, 1),
        "devices": world.devices,
        "sessions": len(sessions),
        "positions": int(sessions["length"].sum()),
        "rounds": int(simulation.state.counters["rounds"].sum()),
        "goodput_tps": round(metrics["goodput_tps"], 1),
        "attainment": round(metrics["attainment"], 3),
        "simulated_s": round(1e-9 * simulation.now_ns),
    }


def in_process(words: list[str]) -> tuple[str, float, float]:
    """Run a command and return its output, its wall time, s, and its greatest resident memory, MiB."""
    begin = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as child:
        assert child.stdout is not None
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: failed")
    return output, time.perf_counter() - begin, usage.ru_maxrss * 1024 / MIB


def run_alone(name: str, task: dict[str, Any]) -> dict[str, Any]:
    """Run a task in a process of its own, print its line and return its figures."""
    output, wall_s, rss_mib = in_process([__file__, "--task", json.dumps(task)])
    figures = json.loads(output.strip().splitlines()[-1])
    return told(name, figures | {"wall_s": round(wall_s, 1), "peak_mib": round(rss_mib)})


def told(name: str, figures: dict[str, Any]) -> dict[str, Any]:
    """Print a line of figures and return them."""
    shown = {key: figures[key] for key in ("simulated_s", "sessions", "positions", "wall_s", "peak_mib")}
    print(f"{name:28s}" + "  ".join(f"{key} {value:>12,}" for key, value in shown.items()), flush=True)
    return figures


def hour(length_s: float, policy: str) -> dict[str, Any]:
    """Return the task of so much of the city's hour."""
    overrides = [f"fleet.devices={DEVICES}", f"horizon_s={length_s}"]
    return {"scenario": "city-5g", "overrides": overrides, "policy": policy}


def replay(folder: Path, length_s: float) -> dict[str, Any]:
    """Write the day, let evaluate.py replay it, and return the figures of the whole command."""
    path = folder / "day.csv"
    requests = write_day(path, length_s)
    words = [str(ROOT / "evaluate.py"), "--scenario", "trace", "--policy", *TRACE_POLICIES, "--seeds", "1"]
    words += ["--set", f"workload.trace={path}", "--set", f"horizon_s={length_s}", "--jobs", "1"]
    output, wall_s, rss_mib = in_process([*words, "--out", str(folder / "results")])
    tokens = sum(int(line.rsplit(",", 1)[1]) for line in path.read_text().splitlines()[1:])
    print(output)
    figures = {"simulated_s": round(length_s), "sessions": requests, "positions": tokens}
    return told(
        "day's trace, evaluate.py", figures | {"wall_s": round(wall_s, 1), "peak_mib": round(rss_mib)}
    )


def growth(short: dict[str, Any], long: dict[str, Any]) -> dict[str, float]:
    """Return what memory grows by, per session and per token position, from one run to a longer one."""
    more = MIB * (long["peak_mib"] - short["peak_mib"])
    return {
        "bytes_per_session": round(more / (long["sessions"] - short["sessions"])),
        "bytes_per_position": round(more / (long["positions"] - short["positions"]), 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", type=float, default=1.0, help="of the hour and the day, to try it out")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        print(json.dumps(simulate(json.loads(options.task))))
        return
    run_alone("(compiles)", hour(200.0, "wisp"))
    hour_s, day_s = HOUR_S * options.part, DAY_S * options.part
    result: dict[str, Any] = {"python_loop_s": round(python_loop_s(), 4)}
    for policy in POLICIES:
        for hours in (1, 2, 4):
            if hours == 1 or policy == "wisp":
                key = f"{policy}_{hours}h"
                result[key] = run_alone(f"1,024 devices, {key}", hour(hours * hour_s, policy))
    result["growth"] = growth(result["wisp_1h"], result["wisp_4h"])
    overrides = ["fleet.devices=1000000", f"horizon_s={day_s}", "workload.scale=1", profile_of_day()]
    result["day_profile"] = run_alone(
        "day's profile, wisp", {"scenario": "burst", "overrides": overrides, "policy": "wisp"}
    )
    with tempfile.TemporaryDirectory() as folder:
        result["day_trace"] = replay(Path(folder), day_s)
    peak = max(row["peak_mib"] for row in result.values() if isinstance(row, dict) and "peak_mib" in row)
    print(f"greatest resident memory: {peak:,} MiB; growth: {result['growth']}")
    print(json.dumps(result | {"peak_mib": peak}))


if __name__ == "__main__":
    main()
