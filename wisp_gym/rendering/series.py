"""What changes over time beside the spans: the queue's length, KV memory in use, who keeps up."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from wisp_gym.pipeline.log import LOG_DELIVER, LOG_EVICT, LOG_MEMBER, LOG_START, LOG_VERIFY
from wisp_gym.pipeline.simulation import Simulation
from wisp_gym.rendering.spans import Kind, Span
from wisp_gym.world import World
from wisp_gym.world.types import GROUPS

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def queue_steps(spans: Iterable[Span]) -> tuple[IntArray, IntArray]:
    """Return when the number of queued requests changes, ns, and what it is from then on.

    :param spans: of all devices
    """
    queued = [(span.start_ns, span.end_ns) for span in spans if span.kind == Kind.QUEUE]
    if not queued:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    starts, ends = np.array(queued, np.int64).T
    times, at = np.unique(np.concatenate([starts, ends]), return_inverse=True)
    change = np.bincount(at[: len(starts)], minlength=len(times))
    change -= np.bincount(at[len(starts) :], minlength=len(times))
    counts = np.cumsum(change)
    return times, counts


def kv_steps(simulation: Simulation) -> tuple[IntArray, IntArray]:
    """Return when the KV tokens in use change, ns, and what they are from then on.

    :param simulation: with its whole log
    """
    arrays = simulation.world.arrays
    loop = bool(simulation.state.control[0]["server_loop"])
    block = 1 if loop else int(arrays.server[0]["block"])
    held = np.zeros(simulation.world.devices, np.int64)
    committed = np.zeros(len(arrays.sessions), np.int64)
    whole = bool(simulation.state.control[0]["whole_output"])
    prompts, lengths = arrays.sessions["prompt"], arrays.sessions["length"]
    used = 0
    steps: dict[int, int] = {}
    for time_ns, kind, device, session, _, b, c, _ in simulation.events.tolist():
        if kind == LOG_EVICT:
            holds = 0
        elif kind == LOG_MEMBER:
            holds = int(prompts[session] + committed[session]) + b
        elif kind == LOG_VERIFY:
            committed[session] = c
            holds = 0 if c >= lengths[session] else (int(prompts[session]) + c - 1) // block * block
        else:
            continue
        if whole and holds > 0:
            holds = int(prompts[session] + lengths[session])
        used += holds - int(held[device])
        held[device] = holds
        steps[time_ns] = used
    return np.array(list(steps), np.int64), np.array(list(steps.values()), np.int64)


def keeping_up(rows: IntArray, world: World, times_ns: IntArray) -> FloatArray:
    """Return the share of the sessions under way that are not behind: every token due by then is there.

    :param rows: of the log, from long enough before the first time  # (rows, 8)
    :param times_ns: when
    :return: by SLO class; NaN where no session is under way  # (4, times)
    """
    here, good = np.zeros((GROUPS, len(times_ns))), np.zeros((GROUPS, len(times_ns)))
    starts = rows[rows[:, 1] == LOG_START]
    deliveries = rows[rows[:, 1] == LOG_DELIVER]
    deliveries = deliveries[np.argsort(deliveries[:, 3], kind="stable")]
    groups, device_group = world.arrays.groups, world.arrays.devices["group"]
    for device, session, start_ns, length in zip(
        starts[:, 2].tolist(),
        starts[:, 3].tolist(),
        starts[:, 4].tolist(),
        starts[:, 6].tolist(),
        strict=True,
    ):
        first, last = np.searchsorted(deliveries[:, 3], [session, session + 1])
        mine = deliveries[first:last]
        at = np.searchsorted(mine[:, 0], times_ns, side="right")
        there = np.concatenate([[0], mine[:, 5]])[at]
        g = int(device_group[device])
        since = times_ns - start_ns - int(groups[g]["allowance_ns"])
        due = np.clip((since - 1) // int(groups[g]["period_ns"]), 0, length)
        active = (times_ns >= start_ns) & (there < length)
        here[g] += active
        good[g] += active & (there >= due)
    return np.where(here > 0, good / np.maximum(here, 1), np.nan)
