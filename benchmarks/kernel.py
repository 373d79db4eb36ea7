"""How fast is the pipeline? Verified rounds per second of one process, world drawing included, in the
paper's scenario under WISP.

    python benchmarks/kernel.py

Prints a table, beside it the time of a fixed Python loop that tells how fast the machine was just then,
and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

from machine import python_loop_s

from wisp_gym import scenario
from wisp_gym._parser import OneLineParser, whole
from wisp_gym.pipeline import DrafterRule, Policy, SchedulerRule, Simulation
from wisp_gym.world import draw_world, world_seed

SIZES = (16, 128, 1024)
HORIZON_S = 400.0
WISP = Policy("wisp", DrafterRule.predictor(), SchedulerRule("slo-aware"))


def once(devices: int, seed: int) -> dict[str, float]:
    """Draw one world, run it under WISP to the horizon, and return what was done and how long it took."""
    spec = scenario.load("paper-qwen3-32b-a100", [f"fleet.devices={devices}", f"horizon_s={HORIZON_S}"])
    begin = time.perf_counter()
    simulation = Simulation(draw_world(spec, world_seed("test", seed)), WISP)
    simulation.until(simulation.world.horizon_ns)
    seconds = time.perf_counter() - begin
    rounds = int(simulation.state.counters["rounds"].sum())
    passes = int(simulation.state.totals["passes"][0])
    return {"rounds": rounds, "passes": passes, "seconds": seconds}


def main() -> None:
    """Measure and print."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--repeats", type=whole(1), default=5, help="worlds per fleet size; the median counts"
    )
    repeats = parser.parse_args().repeats
    rounds_per_s, dispatches_per_s, rounds_per_dispatch, loops = {}, {}, {}, []
    for devices in SIZES:
        once(devices, 0)  # compile, and fit what is fitted once per scenario
        rows = []
        for seed in range(1, repeats + 1):
            loops.append(python_loop_s())
            rows.append(once(devices, seed))
        rounds_per_s[devices] = round(statistics.median(r["rounds"] / r["seconds"] for r in rows))
        dispatches_per_s[devices] = round(statistics.median(r["passes"] / r["seconds"] for r in rows))
        rounds_per_dispatch[devices] = round(
            sum(r["rounds"] for r in rows) / sum(r["passes"] for r in rows), 2
        )
        print(
            f"{devices:5d} devices: {rounds_per_s[devices]:>9,} rounds/s  "
            f"{dispatches_per_s[devices]:>7,} dispatches/s  {rounds_per_dispatch[devices]:5.2f} rounds each"
        )
    result = {
        "rounds_per_s": rounds_per_s,
        "dispatches_per_s": dispatches_per_s,
        "rounds_per_dispatch": rounds_per_dispatch,
        "python_loop_s": round(statistics.median(loops), 4),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
