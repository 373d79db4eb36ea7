"""What do event logs and clones cost?

    python benchmarks/event_log.py

The paper's scenario at 130 devices, one test world, under WISP, SLED and centralized serving: the time of a
run with and without its log, of writing it, and of reading the metrics from it again (the world is there
already in all three); rows, and bytes a row in each form. Then EdgeCloud-v0 at 64 and 1,024 devices: the time
of clone() beside a step's. Medians over repeats; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

from machine import python_loop_s

from baselines import resolve
from wisp_gym import scenario
from wisp_gym.envs import EdgeCloud, EdgeCloudVector, wisp_action
from wisp_gym.evaluation.event_log_rows import Form, read_rows, write_rows
from wisp_gym.metrics import from_log, serving
from wisp_gym.pipeline import Simulation
from wisp_gym.world import draw_world, world_seed

SCENARIO, DEVICES = "paper-qwen3-32b-a100", 130
FORMS: tuple[Form, ...] = ("parquet", "csv")
STEPS = 200


def median_s(work: Callable[[], Any], repeats: int) -> float:
    """Return the median time of some work, s; once before is not counted."""
    work()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def logs(policy: str, repeats: int) -> dict[str, float]:
    """Return what a policy's log costs."""
    world = draw_world(scenario.load(SCENARIO, [f"fleet.devices={DEVICES}"]), world_seed("test", 0))
    result = {
        "run_s": median_s(lambda: Simulation(world, resolve(policy)).run(), repeats),
        "run_with_log_s": median_s(lambda: Simulation(world, resolve(policy), log=True).run(), repeats),
    }
    simulation = Simulation(world, resolve(policy), log=True).run()
    events, rules = simulation.events, serving(simulation)
    result["rows"] = len(events)
    result["rows_per_simulated_s"] = len(events) / (1e-9 * world.horizon_ns)
    result["from_log_s"] = median_s(lambda: from_log(world, events, rules), repeats)
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMS:
            path = Path(folder) / f"log.{form}"
            result[f"write_{form}_s"] = median_s(partial(write_rows, events, path, form), repeats)
            content = path.read_bytes()
            result[f"read_{form}_s"] = median_s(partial(read_rows, content, path.name), repeats)
            result[f"{form}_bytes_per_row"] = len(content) / len(events)
    return {name: float(f"{value:.4g}") for name, value in result.items()}


def clones(devices: int, copies: int, repeats: int) -> dict[str, float]:
    """Return what a clone costs beside a step, ms.

    :param copies: of a vector that is cloned too; 0: none
    """
    arguments: dict[str, Any] = {
        "scenario": SCENARIO,
        "overrides": (f"fleet.devices={devices}",),
        "seed": 0,
        "episode_s": 200.0,
    }
    env = EdgeCloud(**arguments)
    env.reset()
    action = wisp_action()

    def steps() -> None:
        for _ in range(STEPS):
            env.step(action)

    result = {
        "step_ms": 1e3 * median_s(steps, repeats) / STEPS,
        "clone_ms": 1e3 * median_s(env.clone, 20 * repeats),
    }
    if copies:
        vector = EdgeCloudVector(copies, **arguments)
        vector.reset()
        result[f"clone_vector_{copies}_ms"] = 1e3 * median_s(vector.clone, 5 * repeats)
    return {name: float(f"{value:.3g}") for name, value in result.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3, help="the median counts")
    options = parser.parse_args()
    loop_s = python_loop_s()
    result: dict[str, Any] = {}
    for policy in ("wisp", "sled", "centralized"):
        result[policy] = logs(policy, options.repeats)
        print(policy, json.dumps(result[policy]), flush=True)
    for devices, copies in ((64, 16), (1024, 0)):
        result[f"clone_{devices}_devices"] = clones(devices, copies, options.repeats)
        print(f"{devices} devices", json.dumps(result[f"clone_{devices}_devices"]), flush=True)
    result["python_loop_s"] = round(statistics.median([loop_s, python_loop_s()]), 4)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
