"""The waiting requests in a rule's order, one at a time: a binary heap, so that a pass sorts only what it
looks at."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel
from wisp_gym.rules.continuous import continuous_key
from wisp_gym.rules.control import (
    CONTINUOUS,
    DENSITY,
    EDF,
    FCFS,
    PROPORTIONAL_FAIR,
    RANDOM_ORDER,
    SLO_AWARE,
    STATIC,
)
from wisp_gym.rules.density import density_key
from wisp_gym.rules.edf import edf_key
from wisp_gym.rules.fcfs import fcfs_key
from wisp_gym.rules.proportional_fair import fair_key
from wisp_gym.rules.wisp import wisp_key
from wisp_gym.world.rng import CAUSE_POLICY, key, uniform

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@kernel
def request_key(request: Any, control: Any, now_ns: int, batch_no: int) -> tuple[int, float]:
    """Return a request's sort key (phase, rank) under the rule in force; ties go to the lower device
    index."""
    rule = control["scheduler"]
    if rule in (FCFS, STATIC):
        return fcfs_key(request)
    if rule == EDF:
        return edf_key(request)
    if rule == DENSITY:
        return density_key(request)
    if rule == SLO_AWARE:
        return wisp_key(request, now_ns, control["margin_ns"], control["late"])
    if rule == CONTINUOUS:
        return continuous_key(request, control["to_completion"])
    if rule == PROPORTIONAL_FAIR:
        return fair_key(request, now_ns, control["fair_ns"])
    if rule == RANDOM_ORDER:
        return 0, uniform(key(control["policy_seed"], CAUSE_POLICY, batch_no, request["device"]), 0)
    return 0, 0.0


@kernel
def before(phase: IntArray, rank: FloatArray, a: int, b: int) -> bool:
    """Return whether device `a` goes before device `b`."""
    if phase[a] != phase[b]:
        return phase[a] < phase[b]
    if rank[a] != rank[b]:
        return rank[a] < rank[b]
    return a < b


@kernel
def sift_down(heap: IntArray, size: int, at: int, phase: IntArray, rank: FloatArray) -> None:
    """Restore the heap below `at`."""
    item = heap[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and before(phase, rank, heap[child + 1], heap[child]):
            child += 1
        if not before(phase, rank, heap[child], item):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = item


@kernel
def build_order(heap: IntArray, size: int, phase: IntArray, rank: FloatArray) -> None:
    """Turn the first `size` device indices into a heap."""
    for at in range(size // 2 - 1, -1, -1):
        sift_down(heap, size, at, phase, rank)


@kernel
def pop_first(heap: IntArray, size: int, phase: IntArray, rank: FloatArray) -> int:
    """Take the first device of the order out of a heap of `size`; the caller's size shrinks by one."""
    first = heap[0]
    heap[0] = heap[size - 1]
    if size > 1:
        sift_down(heap, size - 1, 0, phase, rank)
    return first
