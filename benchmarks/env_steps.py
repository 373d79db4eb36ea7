"""How many steps per second does EdgeCloud-v0 make on one core?

    python benchmarks/env_steps.py

The paper's scenario at 64 devices: one scalar environment, and a vector of 64 in which every episode's end
begins the next. Each is timed over whole episodes and told twice: the steps alone, and with the episodes'
beginnings, in which a new world is drawn and WISP brings its fleet in. Actions are drawn beforehand: random
ones, and WISP's constant one. Medians over repeats; beside them the time of a fixed Python loop. The last
line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import gymnasium
import numpy as np
from machine import python_loop_s

import wisp_gym  # noqa: F401  registers the ids
from wisp_gym._parser import OneLineParser, whole
from wisp_gym.envs import wisp_action
from wisp_gym.envs.action import SIZES

ARGUMENTS: dict[str, Any] = {
    "scenario": "paper-qwen3-32b-a100",
    "overrides": ("fleet.devices=64",),
    "seed": 0,
}
COPIES = 64
PREPARED = 64


def prepared(kind: str, copies: int) -> list[Any]:
    """Return actions drawn beforehand.

    :param kind: "random" or "wisp"
    :param copies: of the environment; 0 for the scalar one
    """
    shape = (copies, len(SIZES)) if copies else (len(SIZES),)
    random = np.random.default_rng(0)
    if kind == "wisp":
        return [np.broadcast_to(wisp_action(), shape).copy() for _ in range(PREPARED)]
    return [random.integers(0, SIZES, size=shape) for _ in range(PREPARED)]


def scalar_rates(kind: str, episodes: int) -> tuple[float, float]:
    """Return steps per second of one environment over whole episodes: of the steps alone, and of all."""
    env = gymnasium.make("wisp_gym/EdgeCloud-v0", **ARGUMENTS).unwrapped
    actions = prepared(kind, 0)
    env.reset()
    env.step(actions[0])
    steps, in_reset_s, begin = 0, 0.0, time.perf_counter()
    for _ in range(episodes):
        before = time.perf_counter()
        env.reset()
        in_reset_s += time.perf_counter() - before
        over = False
        while not over:
            _, _, _, over, _ = env.step(actions[steps % PREPARED])
            steps += 1
    seconds = time.perf_counter() - begin
    return steps / (seconds - in_reset_s), steps / seconds


def vector_rates(kind: str, episodes: int) -> tuple[float, float]:
    """Return steps per second of a vector: of the steps in which no copy began an episode, and of all, until
    every copy has ended this many."""
    vector = gymnasium.make_vec(
        "wisp_gym/EdgeCloud-v0", num_envs=COPIES, autoreset_mode="SameStep", terms=False, **ARGUMENTS
    )
    actions = prepared(kind, COPIES)
    vector.reset()
    vector.step(actions[0])
    ended, steps, plain, plain_s = np.zeros(COPIES, np.int64), 0, 0, 0.0
    begin = before = time.perf_counter()
    while ended.min() < episodes:
        over = vector.step(actions[steps % PREPARED])[3]
        after = time.perf_counter()
        if not over.any():
            plain, plain_s = plain + 1, plain_s + after - before
        before = after
        ended += over
        steps += 1
    return plain * COPIES / plain_s, steps * COPIES / (before - begin)


def main() -> None:
    """Measure and print."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=whole(1), default=3, help="the median counts")
    parser.add_argument(
        "--episodes", type=whole(1), default=1, help="of each copy of the vector; 8 times that alone"
    )
    options = parser.parse_args()
    scalar_rates("wisp", 1)  # compile, and fit what is fitted once per scenario
    result: dict[str, Any] = {}
    loops = []
    for kind in ("random", "wisp"):
        for name, rate, episodes in (
            ("scalar", scalar_rates, 8 * options.episodes),
            ("vector_64", vector_rates, options.episodes),
        ):
            rates = []
            for _ in range(options.repeats):
                loops.append(python_loop_s())
                rates.append(rate(kind, episodes))
            alone, all_of_it = (round(statistics.median(column)) for column in zip(*rates, strict=True))
            result[f"{name}_{kind}"] = {"steps_per_s": alone, "with_beginnings_per_s": all_of_it}
            print(f"{name:10s} {kind:7s} {alone:>9,} steps/s  {all_of_it:>9,} with the episodes' beginnings")
    result["python_loop_s"] = round(statistics.median(loops), 4)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
