"""Run the reference, run the kernel, and name the first thing in which they differ."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reference.agent import AgentDrafting, AgentServer
from reference.measures import Measures
from reference.simulator import Simulator
from wisp_gym.metrics import measure
from wisp_gym.pipeline import Policy, Simulation
from wisp_gym.pipeline.log import KINDS
from wisp_gym.world import World

LAST_BITS = 1e-12
"""Relative; for sums of floats whose order of addition nothing defines."""

ROUNDED_SUMS = ("energy_j",)


@dataclass(frozen=True)
class Reference:
    """What the reference made of a world.

    :param log: rows in the format of `wisp_gym.pipeline.log`  # (rows, 8)
    :param outcomes: by field of `wisp_gym.pipeline.state.OUTCOME`, for each session
    :param counters: sums since time zero by SLO class, by field of `wisp_gym.pipeline.state.COUNTER`
    :param totals: over the server, by field of `wisp_gym.pipeline.state.TOTAL`
    :param metrics: every metric that `wisp_gym.metrics.measure` returns, from the reference's own objects
    """

    log: npt.NDArray[np.int64]
    outcomes: list[dict[str, int]]
    counters: dict[str, list[Any]]
    totals: dict[str, Any]
    metrics: dict[str, float]


def simulate(
    world: World, policy: Policy, policy_seed: int = 0, actions: Iterable[Any] | None = None
) -> Reference:
    """Run the world under the policy in the reference simulator.

    :param actions: what an agent does at its dispatches, one after another; the policy is then the one that
    it starts from
    :raises NotImplementedError: a drafter or scheduler that the reference leaves out
    """
    sim = Simulator(world, policy, policy_seed)
    if actions is not None:
        sim.drafting, sim.server = AgentDrafting(sim), AgentServer(sim, actions)
    sim.start()
    sim.until(min(world.warmup_ns, world.horizon_ns))
    sim.books.settle_memory(sim.now_ns)
    before = sim.books.copy()
    for device in sim.devices:
        device.longest_stall_ns = 0
    sim.until(world.horizon_ns)
    sim.books.settle_memory(sim.now_ns)
    measures = Measures(sim, before, sim.books)
    return Reference(
        np.array(sim.log, np.int64).reshape(-1, 8),
        [measures.outcome(session) for session in sim.sessions],
        dict(sim.books.by_class) | measures.fallen_due(0),
        dict(sim.books.server),
        measures.all(),
    )


def difference(world: World, policy: Policy, policy_seed: int = 0) -> str | None:
    """Run kernel and reference and return the first difference as one line, None where they agree.

    Compared are the event logs, row by row and to the nanosecond; every session's outcome; every counter by
    class and of the server; every metric.
    """
    kernel = Simulation(world, policy, policy_seed, log=True).run()
    return disagreement(simulate(world, policy, policy_seed), kernel)


def disagreement(ours: Reference, kernel: Simulation) -> str | None:
    """Return the first difference between what the reference made and a finished run, or None."""
    return (
        _in_logs(ours.log, kernel.events)
        or _in_outcomes(ours.outcomes, kernel.state.outcomes)
        or _in_counters(ours.counters, kernel.state.counters)
        or _in_totals(ours.totals, kernel.state.totals[0])
        or _in_metrics(ours.metrics, measure(kernel))
    )


def told(row: npt.NDArray[np.int64]) -> str:
    """Return a log row in words."""
    numbers = ", ".join(str(int(x)) for x in row[2:])
    return f"{int(row[0])} ns {KINDS[row[1]]} ({numbers})"


def _in_logs(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> str | None:
    shorter = min(len(a), len(b))
    unlike = np.nonzero((a[:shorter] != b[:shorter]).any(axis=1))[0]
    if len(unlike):
        i = int(unlike[0])
        return f"log row {i} of {len(b)}: reference {told(a[i])}, kernel {told(b[i])}"
    if len(a) != len(b):
        return f"log: reference {len(a)} rows, kernel {len(b)}"
    return None


def _in_outcomes(a: list[dict[str, int]], b: npt.NDArray[Any]) -> str | None:
    for row, (ours, theirs) in enumerate(zip(a, b, strict=True)):
        for name, value in ours.items():
            if value != theirs[name]:
                return f"session {row}, {name}: reference {value}, kernel {theirs[name]}"
    return None


def _in_counters(a: dict[str, list[Any]], b: npt.NDArray[Any]) -> str | None:
    for name in b.dtype.names or ():
        for g in range(len(b)):
            ours, theirs = a[name][g] if name in a else 0, b[g][name].item()
            near = name in ROUNDED_SUMS and math.isclose(ours, theirs, rel_tol=LAST_BITS)
            if ours != theirs and not near:
                return f"counter {name} of class {g}: reference {ours}, kernel {theirs}"
    return None


def _in_totals(a: dict[str, Any], b: npt.NDArray[Any]) -> str | None:
    """The kernel's integral of the memory in use ends with its last change; that of the metrics does not."""
    for name in ("passes", "members", "new_tokens", "busy_ns", "evictions"):
        if a.get(name, 0) != b[name]:
            return f"total {name}: reference {a.get(name, 0)}, kernel {b[name]}"
    return None


def _in_metrics(a: dict[str, float], b: dict[str, float]) -> str | None:
    if a.keys() != b.keys():
        return f"metrics of one side only: {sorted(a.keys() ^ b.keys())}"
    for name, theirs in b.items():
        ours = a[name]
        if not (
            ours == theirs
            or math.isclose(ours, theirs, rel_tol=LAST_BITS)
            or (ours != ours and theirs != theirs)
        ):
            return f"metric {name}: reference {ours}, kernel {theirs}"
    return None
