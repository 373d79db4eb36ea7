"""Who holds the 8 tok/s class, and whose throughput saturates where: WISP, centralized serving and SLED.

    python benchmarks/orderings.py

The paper's scenario with its tightest class alone, at 30 and at 60 devices, and far beyond what any of
them holds.
Prints a table and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from baselines import resolve
from wisp_gym import scenario
from wisp_gym._parser import OneLineParser, whole
from wisp_gym.metrics import measure
from wisp_gym.pipeline import Simulation
from wisp_gym.world import draw_world, world_seed

SCENARIO = "paper-qwen3-32b-a100"
POLICIES = ("wisp", "centralized", "sled")
SATURATED = 160


def mean_metric(policy: str, devices: int, seeds: int, name: str) -> float:
    """Return a metric's mean over test worlds of the 8 tok/s class alone."""
    spec = scenario.load(SCENARIO, ["classes.shares=[0,0,0,1]", f"fleet.devices={devices}"])
    worlds = (draw_world(spec, world_seed("test", seed)) for seed in range(seeds))
    return float(np.mean([measure(Simulation(world, resolve(policy)).run())[name] for world in worlds]))


def main() -> None:
    """Measure and print."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=whole(1), default=10, help="test worlds per cell")
    seeds = parser.parse_args().seeds
    result: dict[str, dict[str, float]] = {}
    print(f"{'':12s}  attainment at 30  attainment at 60  throughput at {SATURATED}, tok/s")
    for policy in POLICIES:
        row = {
            "attainment_30": round(mean_metric(policy, 30, seeds, "attainment"), 4),
            "attainment_60": round(mean_metric(policy, 60, seeds, "attainment"), 4),
            "saturated_tps": round(mean_metric(policy, SATURATED, seeds, "throughput_tps"), 1),
        }
        result[policy] = row
        print(
            f"{policy:12s}  {row['attainment_30']:16.3f}  {row['attainment_60']:16.3f}  "
            f"{row['saturated_tps']:12.1f}"
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
