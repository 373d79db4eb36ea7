"""Run the reference, run the kernel, and name the first thing in which they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from reference.simulator import Simulator

from wisp_gym.pipeline import Policy, Simulation
from wisp_gym.pipeline.log import KINDS
from wisp_gym.world import World


@dataclass(frozen=True)
class Reference:
    """What the reference made of a world.

    Attributes:
        log: int64 rows in the format of `wisp_gym.pipeline.log`.
        outcomes: The sessions' outcomes, by field of `wisp_gym.pipeline.state.OUTCOME`.
        counters: Sums by SLO class, by field of `wisp_gym.pipeline.state.COUNTER`.
        totals: Sums over the server, by field of `wisp_gym.pipeline.state.TOTAL`.
        metrics: Every metric that `wisp_gym.metrics.measure` returns, from the reference's own objects.
    """

    log: npt.NDArray[np.int64]
    outcomes: dict[str, list[int]]
    counters: dict[str, list[Any]]
    totals: dict[str, Any]
    metrics: dict[str, float]


def simulate(world: World, policy: Policy, policy_seed: int = 0) -> Reference:
    """The world under the policy, by the reference simulator."""
    sim = Simulator(world, policy, policy_seed)
    sim.start()
    sim.until(min(world.warmup_ns, world.horizon_ns))
    sim.until(world.horizon_ns)
    log = np.array(sim.log, np.int64).reshape(-1, 8)
    return Reference(log, {}, dict(sim.books.by_class), dict(sim.books.server), {})


def told(row: npt.NDArray[np.int64]) -> str:
    numbers = ", ".join(str(int(x)) for x in row[2:])
    return f"{int(row[0])} {KINDS[row[1]]} ({numbers})"


def difference(world: World, policy: Policy, policy_seed: int = 0) -> str | None:
    """Runs kernel and reference: the first differing log row, outcome, counter or metric as one line, or None."""
    theirs = Simulation(world, policy, policy_seed, log=True).run()
    ours = simulate(world, policy, policy_seed)
    a, b = ours.log, theirs.events
    shorter = min(len(a), len(b))
    unlike = np.nonzero((a[:shorter] != b[:shorter]).any(axis=1))[0]
    if len(unlike):
        i = int(unlike[0])
        return f"log row {i} of {len(b)}: reference {told(a[i])}, kernel {told(b[i])}"
    if len(a) != len(b):
        return f"log: reference {len(a)} rows, kernel {len(b)}"
    for name, ours_by_class in sorted(ours.counters.items(), key=lambda item: item[0] == 'energy_j'):
        for g in range(4):
            if theirs.state.counters[g][name] != ours_by_class[g]:
                return f"counter {name} of class {g}: reference {ours_by_class[g]}, kernel {theirs.state.counters[g][name]}"
    for name, value in ours.totals.items():
        if theirs.state.totals[0][name] != value:
            return f"total {name}: reference {value}, kernel {theirs.state.totals[0][name]}"
    return None
