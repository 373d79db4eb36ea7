"""Choose the members of a pass: take requests in the rule's order while they fit the engine, the memory
and the guard."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel
from wisp_gym.rules.control import CONTINUOUS, LATE_LITERAL, SLO_AWARE, STATIC
from wisp_gym.rules.estimate import estimate_ns
from wisp_gym.rules.order import build_order, pop_first, request_key
from wisp_gym.rules.static import static_wake_ns
from wisp_gym.rules.wisp import bounds_guard, is_late

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

NEVER = np.int64(2**62)

PACK = np.dtype(
    [
        ("members", "i8"),
        ("new", "i8"),  # new tokens of the members, padding included
        ("longest", "i8"),  # longest draft among them
        ("reserve", "i8"),  # KV tokens they hold while verified
        ("held", "i8"),  # KV tokens they hold already
        ("earliest_ns", "f8"),  # earliest deadline the guard looks at
        ("take", "f8"),  # sums for the estimate: new tokens,
        ("pairs", "f8"),  # new * (new + cached),
        ("cached", "f8"),  # cached tokens
    ]
)


@kernel
def clear_pack(pack: Any) -> None:
    """Empty the pass being built."""
    pack["members"] = 0
    pack["new"] = 0
    pack["longest"] = 0
    pack["reserve"] = 0
    pack["held"] = 0
    pack["earliest_ns"] = 1.0e300
    pack["take"] = 0.0
    pack["pairs"] = 0.0
    pack["cached"] = 0.0


@kernel
def padded_new(pack: Any, request: Any, padded: int) -> int:
    """Return the new tokens of the pass with this request in it; padding makes every draft as long as the
    longest."""
    if padded == 0:
        return pack["new"] + request["take"]
    longest = max(pack["longest"], request["k"])
    grown = pack["new"] + pack["members"] * (longest - pack["longest"])
    return grown + request["take"] + longest - request["k"]


@kernel
def fits_memory(pack: Any, request: Any, server: Any, rule: int, kv_used: int) -> bool:
    """Return whether the KV memory can hold the pass with this request in it.

    Sessions outside the pass can be evicted, except for a cold session under continuous batching: it waits
    for free memory.
    """
    if pack["reserve"] + request["reserve"] > server["kv_tokens"]:
        return False
    if rule == CONTINUOUS and request["cached"] == 0:
        grown = pack["reserve"] - pack["held"] + request["reserve"] - request["held"]
        return kv_used + grown <= server["kv_tokens"] or kv_used == 0
    return True


@kernel
def passes_guard(pack: Any, request: Any, control: Any, estimator: FloatArray, now_ns: int) -> bool:
    """Return whether WISP's guard lets the request join: the estimated end passes no deadline that counts."""
    new = pack["take"] + request["take"]
    pairs = pack["pairs"] + request["take"] * (request["take"] + request["cached"])
    cached = pack["cached"] + request["cached"]
    earliest = pack["earliest_ns"]
    if bounds_guard(request, now_ns, control["late"]):
        earliest = min(earliest, request["deadline_ns"])
    return now_ns + estimate_ns(estimator, new, pairs, cached) <= earliest


@kernel
def join(pack: Any, request: Any, control: Any, now_ns: int, batch: IntArray) -> None:
    """Put the request into the pass."""
    pack["new"] = padded_new(pack, request, control["padded"])
    pack["longest"] = max(pack["longest"], request["k"])
    pack["reserve"] += request["reserve"]
    pack["held"] += request["held"]
    pack["take"] += request["take"]
    pack["pairs"] += request["take"] * (request["take"] + request["cached"])
    pack["cached"] += request["cached"]
    if bounds_guard(request, now_ns, control["late"]):
        pack["earliest_ns"] = min(pack["earliest_ns"], request["deadline_ns"])
    batch[pack["members"]] = request["device"]
    pack["members"] += 1


@kernel
def fits(pack: Any, request: Any, control: Any, server: Any, kv_used: int) -> bool:
    """Return whether engine limits, token budget and memory take the request; the first of a pass may
    exceed the budget."""
    new = padded_new(pack, request, control["padded"])
    if new > server["max_new"] or (pack["members"] > 0 and new > control["token_budget"]):
        return False
    return fits_memory(pack, request, server, control["scheduler"], kv_used)


@kernel
def earliest_deadline(requests: Any, waiting: IntArray, count: int) -> int:
    """Return the waiting device whose deadline is first."""
    best = waiting[0]
    for i in range(1, count):
        device = waiting[i]
        mine, other = requests[device]["deadline_ns"], requests[best]["deadline_ns"]
        if mine < other or (mine == other and device < best):
            best = device
    return best


@kernel
def order_waiting(
    requests: Any,
    waiting: IntArray,
    count: int,
    control: Any,
    now_ns: int,
    batch_no: int,
    heap: IntArray,
    phase: IntArray,
    rank: FloatArray,
) -> None:
    """Rank every waiting request under the rule in force and turn `heap` into their order."""
    for i in range(count):
        device = waiting[i]
        phase[device], rank[device] = request_key(requests[device], control, now_ns, batch_no)
        heap[i] = device
    build_order(heap, count, phase, rank)


@kernel
def oldest_arrival(requests: Any, waiting: IntArray, count: int) -> Any:
    """Return when the request that waits longest joined the queue."""
    oldest = NEVER
    for i in range(count):
        oldest = min(oldest, requests[waiting[i]]["arrived_ns"])
    return oldest


@kernel
def select_members(
    requests: Any,
    waiting: IntArray,
    count: int,
    control: Any,
    server: Any,
    estimator: FloatArray,
    now_ns: int,
    batch_no: int,
    kv_used: int,
    pack: Any,
    heap: IntArray,
    phase: IntArray,
    rank: FloatArray,
    batch: IntArray,
) -> int:
    """Fill `batch` with the devices of the next pass under the rule in force.

    :param requests: REQUEST records by device; :param waiting: devices in the queue; :param count: how many
    :param heap: workspace, as are phase and rank  # (devices,)
    :return: -1, or, when the rule waits, the time to ask again; `pack["members"]` says how many were taken
    """
    rule = control["scheduler"]
    clear_pack(pack)
    if rule == STATIC:
        oldest = oldest_arrival(requests, waiting, count)
        wake = static_wake_ns(count, oldest, now_ns, control["static_size"], control["static_limit_ns"])
        if wake >= 0:
            return wake
    order_waiting(requests, waiting, count, control, now_ns, batch_no, heap, phase, rank)
    size = count
    while size > 0 and pack["members"] < control["max_requests"]:
        device = pop_first(heap, size, phase, rank)
        size -= 1
        request = requests[device]
        if not fits(pack, request, control, server, kv_used):
            continue
        if rule == SLO_AWARE and not _may_join(pack, request, control, estimator, now_ns):
            continue
        join(pack, request, control, now_ns, batch)
    if pack["members"] == 0 and rule == CONTINUOUS and control["whole_output"] == 1:
        return int(NEVER)  # those admitted keep their memory; asked again when one of them comes back or ends
    if pack["members"] == 0:
        _take_one(requests, waiting, count, control, now_ns, pack, batch)
    return -1


@kernel
def _may_join(pack: Any, request: Any, control: Any, estimator: FloatArray, now_ns: int) -> bool:
    """WISP's guard; the first of a pass needs to pass its own only under the literal reading."""
    if pack["members"] == 0:
        return control["late"] != LATE_LITERAL or not is_late(request, now_ns)
    return passes_guard(pack, request, control, estimator, now_ns)


@kernel
def _take_one(
    requests: Any, waiting: IntArray, count: int, control: Any, now_ns: int, pack: Any, batch: IntArray
) -> None:
    """Nothing passed: the earliest deadline goes alone, so that the GPU never idles while requests wait."""
    join(pack, requests[earliest_deadline(requests, waiting, count)], control, now_ns, batch)
