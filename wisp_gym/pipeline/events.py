"""The event heap. At equal times: downlink arrival, device ready, uplink arrival, a device's time-out, then
(outside the heap) GPU free and timer; inside a kind, the lower device index.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel

DELIVERY = 0  # tokens reach a device
READY = 1  # a session may begin a round: its prompt is prefilled, its reader close enough
ARRIVAL = 2  # a request reaches the server
TIMEOUT = 3  # a device has waited long enough for an answer

_KIND = 2**40

IntArray = npt.NDArray[np.int64]


@kernel
def event_key(kind: int, device: int) -> int:
    """Return the number that sorts events of one instant."""
    return kind * _KIND + device


@kernel
def event_kind(key: int) -> int:
    """Return the kind in an event's key."""
    return key // _KIND


@kernel
def event_device(key: int) -> int:
    """Return the device in an event's key."""
    return key % _KIND


@kernel
def push_event(heap: IntArray, clock: Any, time_ns: int, kind: int, device: int, tokens: int) -> None:
    """Add an event.  `heap` rows are time, key, tokens  # (capacity, 3)"""
    key = event_key(kind, device)
    at = clock["events"]
    clock["events"] = at + 1
    while at > 0:
        parent = (at - 1) >> 1
        if heap[parent, 0] < time_ns or (heap[parent, 0] == time_ns and heap[parent, 1] <= key):
            break
        heap[at, 0], heap[at, 1], heap[at, 2] = heap[parent, 0], heap[parent, 1], heap[parent, 2]
        at = parent
    heap[at, 0], heap[at, 1], heap[at, 2] = time_ns, key, tokens


@kernel
def pop_event(heap: IntArray, clock: Any) -> None:
    """Remove the first event; read it at row 0 before."""
    size = clock["events"] - 1
    clock["events"] = size
    time_ns, key, tokens = heap[size, 0], heap[size, 1], heap[size, 2]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            heap[right, 0] < heap[child, 0]
            or (heap[right, 0] == heap[child, 0] and heap[right, 1] < heap[child, 1])
        ):
            child = right
        if time_ns < heap[child, 0] or (time_ns == heap[child, 0] and key <= heap[child, 1]):
            break
        heap[at, 0], heap[at, 1], heap[at, 2] = heap[child, 0], heap[child, 1], heap[child, 2]
        at = child
    heap[at, 0], heap[at, 1], heap[at, 2] = time_ns, key, tokens
