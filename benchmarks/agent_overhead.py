"""How much of training is spent in the environment? The share of wall time inside reset and step.

    python benchmarks/agent_overhead.py

PPO on the paper's scenario at 128 devices, one decision a dispatch: 16 environments, 256 steps between
updates, batches of 512, 4 epochs, a network of 128 x 128, one thread. The rest is the learner's.
The last line is JSON; `share` is the median over repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

from machine import python_loop_s

from agents import learners
from agents.callbacks import TrainingCurves
from agents.elapsed_time import ElapsedTimeDiscount
from agents.environment import make_environments
from agents.settings import load_settings
from wisp_gym._parser import OneLineParser, whole

SCENARIO, OVERRIDES = "paper-qwen3-32b-a100", ("fleet.devices=128",)
SETTINGS = (
    "environments=16",
    "rollout_steps=4096",
    "batch_size=512",
    "epochs=4",
    "hidden=[128, 128]",
    "threads=1",
    "hold_s=0",
)


class Stopwatch:
    """Adds up the time inside some calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Any) -> Any:
        """Return the function, its time added up."""

        def timed(*arguments: Any, **named: Any) -> Any:
            begin = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds += time.perf_counter() - begin

        return timed


def once(steps: int) -> dict[str, float]:
    """Train for some steps; return the share of time in the environment and the steps per second."""
    settings = load_settings("ppo", SETTINGS)
    environments: Any = make_environments(settings, SCENARIO, OVERRIDES, 0)
    watch = Stopwatch()
    for name in ("reset", "step_async", "step_wait"):
        setattr(environments, name, watch.around(getattr(environments, name)))
    learner = learners.build(settings, environments, 0)
    begin = time.perf_counter()
    learner.learn(steps, callback=[ElapsedTimeDiscount(), TrainingCurves()])
    seconds = time.perf_counter() - begin
    return {"share": watch.seconds / seconds, "steps_per_s": learner.num_timesteps / seconds}


def main() -> None:
    """Measure and print."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--steps", type=whole(1), default=98_304, help="of each repeat, whole episodes of every copy"
    )
    parser.add_argument("--repeats", type=whole(1), default=3, help="the median counts")
    options = parser.parse_args()
    once(4096)  # compile, and fit what is fitted once per scenario
    rows, loops = [], []
    for _ in range(options.repeats):
        loops.append(python_loop_s())
        rows.append(once(options.steps))
        print(f"share {rows[-1]['share']:.3f}  {rows[-1]['steps_per_s']:,.0f} steps/s of training")
    result = {
        "share": round(statistics.median(row["share"] for row in rows), 4),
        "steps_per_s": round(statistics.median(row["steps_per_s"] for row in rows)),
        "python_loop_s": round(statistics.median(loops), 4),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
