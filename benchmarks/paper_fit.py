"""The published capacity table on training worlds, for any setting: what the fit was judged by.

    python benchmarks/paper_fit.py
    python benchmarks/paper_fit.py --set workload.lead_s=12 --wisp wisp:margin=0.5 --seeds 2

Prints each capacity and how far it is from the published one, and ends with one line of JSON. Worlds are
those of the training split, so that the table of benchmarks/paper.py rests on others. A
capacity is where the violation, the mean over worlds, crosses 5 %, between two sizes at most 3 % apart.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from baselines import resolve  # noqa: E402
from benchmarks.paper.targets import CAPACITY_DEVICES, SYSTEMS  # noqa: E402
from wisp_gym import scenario  # noqa: E402
from wisp_gym._parser import OneLineParser, whole  # noqa: E402
from wisp_gym.errors import InputError  # noqa: E402
from wisp_gym.metrics import measure  # noqa: E402
from wisp_gym.pipeline import Simulation  # noqa: E402
from wisp_gym.world import draw_world, world_seed  # noqa: E402

SCENARIO = "paper-qwen3-32b-a100"
STEP, CLOSE = 1.2, 0.03
MOST_DEVICES = 2000


def violation(policy: str, group: int, devices: int, overrides: list[str], seeds: int) -> float:
    """Return 1 - attainment of one class alone, mean over training worlds."""
    shares = [int(g == group) for g in range(4)]
    spec = scenario.load(SCENARIO, [f"classes.shares={shares}", f"fleet.devices={devices}", *overrides])
    worlds = (draw_world(spec, world_seed("train", seed)) for seed in range(seeds))
    runs = (measure(Simulation(world, resolve(policy)).run()) for world in worlds)
    return 1.0 - float(np.mean([run["attainment"] for run in runs]))


def capacity(policy: str, group: int, guess: int, overrides: list[str], seeds: int) -> float:
    """Return where the violation crosses 5 %, devices, from a guess outwards."""
    known: dict[int, float] = {}
    below, above, size = 0, 0, guess
    while 1 <= size <= MOST_DEVICES:
        known[size] = violation(policy, group, size, overrides, seeds)
        if known[size] > 0.05:
            above = size
        else:
            below = size
        if below and above and above - below <= max(1, CLOSE * below):
            share = (0.05 - known[below]) / (known[above] - known[below])
            return below + (above - below) * share
        size = (
            (below + above) // 2 if below and above else int(size * STEP) + 1 if below else int(size / STEP)
        )
    return float(size)


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--seeds", type=whole(1), default=2, help="training worlds")
    for system in SYSTEMS:
        parser.add_argument(f"--{system}", default=system, metavar="POLICY", help=f"instead of {system}")
    options = parser.parse_args()
    if options.seeds < 1:
        print(f"error: --seeds {options.seeds}: must be 1 or more", file=sys.stderr)
        return 2
    result: dict[str, list[float]] = {}
    try:
        for system in SYSTEMS:
            policy = getattr(options, system)
            published = CAPACITY_DEVICES[system]
            found = [
                capacity(policy, group, paper, options.overrides, options.seeds)
                for group, paper in enumerate(published)
            ]
            result[policy] = [round(value, 1) for value in found]
            cells = (
                f"{ours:6.1f} ({ours / paper - 1:+4.0%})"
                for ours, paper in zip(found, published, strict=True)
            )
            print(f"{policy:24s}", *cells, flush=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"seeds": options.seeds, "set": options.overrides, "capacities": result}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
