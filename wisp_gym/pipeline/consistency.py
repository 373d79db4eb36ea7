"""Whether a state at a decision is one that a pipeline can be in, as far as the kernel relies on it.

Ranges come first (ranges.py): every number by itself. Then what must hold between them: lists name the
devices that are in that phase, memory adds up, each message under way is in the event heap once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym.errors import InputError, shown
from wisp_gym.pipeline.events import ARRIVAL, DELIVERY, READY, event_key
from wisp_gym.pipeline.ranges import ARRAYS, CONTROL_RANGES, COUNT, NAN_ALLOWED, RECORDS, Range
from wisp_gym.pipeline.state import (
    DOWNLINK,
    IDLE,
    PREFILLING,
    QUEUED,
    READING,
    UPLINK,
    VERIFYING,
    State,
)
from wisp_gym.world.types import WorldArrays

Array = npt.NDArray[Any]
Limits = dict[str, int]

_MESSAGES = {UPLINK: ARRIVAL, DOWNLINK: DELIVERY, PREFILLING: READY, READING: READY}
"""What is in the event heap of a device, by its phase; nothing in the others."""

_KEYS = int(event_key(1, 0))


def limits(world: WorldArrays, state: State, horizon_ns: int) -> Limits:
    """Return the bounds that go with a world and a time, by the names that ranges.py has for them.

    :param world: the state's
    :param state: only its clock's time and the room of its event heap are read
    :param horizon_ns: where the run ends
    """
    devices, sessions, server = len(world.devices), len(world.sessions), world.server[0]
    length = int(world.sessions["length"].max(initial=0))
    room = len(state.events) - devices - len(state.batch) - 8  # what `advance.room_left` asks for
    return {
        "devices": devices,
        "last_device": max(0, devices - 1),
        "sessions": sessions,
        "last_session": max(0, sessions - 1),
        "length": length,
        "context": int(world.sessions["prompt"].max(initial=0)) + length + 64,
        "picks": max(32, devices - 1),
        "events": min(room, devices),
        "max_batch": int(server["max_batch"]),
        "max_new": int(server["max_new"]),
        "kv_tokens": int(server["kv_tokens"]),
        "horizon": horizon_ns,
        "now": int(state.clock[0]["now_ns"]),
    }


def check_range(what: str, values: Array, allowed: Range, bounds: Limits) -> None:
    """Refuse whole numbers of which one is out of its range.

    :param what: what the message calls them
    :raises InputError: one is
    """
    low, high = (bounds[end] if isinstance(end, str) else end for end in allowed)
    if not values.size or (values.min() >= low and values.max() <= high):
        return
    at = np.argwhere((values < low) | (values > high))[0]
    place = ",".join(str(i) for i in at)
    raise InputError(f"{what}[{place}]: {values[tuple(at)]}; allowed: {low} to {high}")


def check_array(what: str, name: str, array: Array, bounds: Limits) -> None:
    """Refuse an array of a state, plain or of records, of which a number is out of its range.

    :param what: what the message calls it; :param name: of the array in the tables
    :raises InputError: one is
    """
    if array.dtype.names is None:
        _check_column(what, array, ARRAYS.get(name, COUNT), bounds, name in NAN_ALLOWED)
        return
    ranges = RECORDS.get(name, {})
    for field in array.dtype.names:
        _check_column(f"{what}.{field}", array[field], ranges.get(field, COUNT), bounds, False)


def _check_column(what: str, values: Array, allowed: Range, bounds: Limits, nan: bool) -> None:
    if values.dtype.kind == "f":
        if not nan and np.isnan(values).any():
            raise InputError(f"{what}[{int(np.flatnonzero(np.isnan(values))[0])}]: nan; allowed: numbers")
    elif values.dtype != np.uint64:  # a seed may be any
        check_range(what, values, allowed, bounds)


def check_control(what: str, control: Array, own: Array) -> None:
    """Refuse rules that are not the scenario's, but for what an action writes.

    :param control: from a file; :param own: as the scenario lays them out
    :raises InputError: a field differs
    """
    for field in control.dtype.names or ():
        if field not in CONTROL_RANGES:
            equal(f"{what}.{field}", control[field], own[field])


def equal(what: str, found: Array, wanted: Array) -> None:
    """Refuse values that are not what they must be.

    :raises InputError: one differs
    """
    different = np.flatnonzero(found != wanted)
    if different.size:
        i = int(different[0])
        raise InputError(f"{what}[{i}]: {found[i]}; allowed: {wanted[i]}")


def _holds(what: str, values: Array, right: Array, allowed: str) -> None:
    """Refuse values for which something does not hold."""
    wrong = np.flatnonzero(~right)
    if wrong.size:
        i = int(wrong[0])
        raise InputError(f"{what}[{i}]: {values[i]}; allowed: {allowed}")


def _lists(what: str, listed: Array, wanted: Array, which: str) -> None:
    """Refuse a list of devices that does not name just these, each once."""
    if not np.array_equal(np.sort(listed), wanted):
        raise InputError(f"{what}: {shown(listed[:8].tolist())}; allowed: {which}, each once")


def check_state(what: str, world: WorldArrays, state: State) -> None:
    """Refuse a state whose numbers, each in its range, do not fit each other.

    :param what: what messages call the state
    :raises InputError: something does not fit
    """
    if len(world.devices) == 0:
        return
    _check_sessions(what, world, state)
    _check_lists(what, state)
    _check_memory(what, state)
    _check_requests(what, world, state)
    _check_events(what, state)


def _check_sessions(what: str, world: WorldArrays, state: State) -> None:
    """Where each device's session stands."""
    mine, fleet = state.devices, world.devices
    session, phase, first = mine["session"], mine["phase"], fleet["first_session"]
    there, at_work = session >= 0, phase != IDLE
    own = (session >= first) & (session < first + fleet["sessions"])
    _holds(f"{what}.devices.session", session, own | ~there, "a session of the device, or -1")
    _holds(f"{what}.devices.phase", phase, there | ~at_work, f"{IDLE} without a session")
    _holds(
        f"{what}.devices.settle_from", mine["settle_from"], mine["settle_from"] >= first, "its own sessions"
    )
    if not there.any():
        return
    row = np.maximum(session, 0)
    length, outcome = world.sessions["length"][row], state.outcomes[row]
    committed, delivered = mine["committed"], mine["delivered"]
    drafting = np.isin(phase, (UPLINK, QUEUED, VERIFYING))
    on_way = phase == DOWNLINK
    _holds(
        f"{what}.devices.committed", committed, ~there | (committed <= length), "at most the session's length"
    )
    right = ~at_work | on_way | ((committed < length) & (committed == delivered))
    _holds(
        f"{what}.devices.committed", committed, right, "what was delivered, less than the session's length"
    )
    _holds(f"{what}.devices.delivered", delivered, ~on_way | (delivered < committed), "less than committed")
    right = ~there | (delivered == outcome["delivered"])
    _holds(f"{what}.devices.delivered", delivered, right, "as in outcomes")
    _holds(f"{what}.outcomes.start_ns", outcome["start_ns"], ~there | (outcome["start_ns"] >= 0), "0 or more")
    k = mine["k"]
    _holds(f"{what}.devices.k", k, k <= mine["drafted"], "at most drafted")
    _holds(f"{what}.devices.accepted", mine["accepted"], mine["accepted"] <= k, "at most k")
    _holds(f"{what}.devices.k", k, ~drafting | (committed + k < length), "less than the session has left")
    lengths = world.sessions["length"]
    for field in ("delivered", "settled", "on_time"):
        values = state.outcomes[field]
        _holds(f"{what}.outcomes.{field}", values, values <= lengths, "at most the session's length")


def _check_lists(what: str, state: State) -> None:
    """The queue, the running pass, and who is behind."""
    clock, phase = state.clock[0], state.devices["phase"]
    queued, members = np.flatnonzero(phase == QUEUED), np.flatnonzero(phase == VERIFYING)
    _lists(f"{what}.waiting", state.waiting[: clock["waiting"]], queued, "the devices whose phase is queued")
    size = clock["batch_size"] if clock["busy"] == 1 else 0
    _lists(f"{what}.batch", state.batch[:size], members, "the devices whose phase is verifying")
    if clock["busy"] == 1 and clock["pass_end_ns"] < clock["now_ns"]:
        raise InputError(f"{what}.clock.pass_end_ns: {clock['pass_end_ns']}; allowed: not before now")
    _is_sum(f"{what}.clock.behind", clock["behind"], state.devices["behind"])


def _check_memory(what: str, state: State) -> None:
    """Who holds how much KV memory."""
    clock, mine = state.clock[0], state.devices
    holders = state.holders[: clock["holding"]]
    _lists(f"{what}.holders", holders, np.flatnonzero(mine["held"] > 0), "the devices that hold memory")
    equal(f"{what}.devices.holder", mine["holder"][holders], np.arange(len(holders)))
    _holds(f"{what}.devices.cached", mine["cached"], mine["cached"] <= mine["held"], "at most held")
    _is_sum(f"{what}.clock.kv_used", clock["kv_used"], mine["held"])


def _is_sum(what: str, total: Any, parts: Array) -> None:
    if total != parts.sum():
        raise InputError(f"{what}: {total}; allowed: {parts.sum()}, the devices' sum")


def _check_requests(what: str, world: WorldArrays, state: State) -> None:
    """A request that waits or is being verified says what its device says."""
    there = np.flatnonzero(np.isin(state.devices["phase"], (QUEUED, VERIFYING)))
    request, mine = state.requests[there], state.devices[there]
    context = world.sessions["prompt"][mine["session"]] + mine["committed"]
    new = context - mine["cached"] + mine["k"]
    wanted = {
        "device": there,
        "group": world.devices["group"][there],
        "session": mine["session"],
        "k": mine["k"],
        "committed": mine["committed"],
        "cached": mine["cached"],
        "context": context,
        "reserve": context + mine["k"],
        "new": new,
        "take": np.minimum(new, (world.server[0]["max_new"] + 1) // 2),
    }
    for field, values in wanted.items():
        equal(f"{what}.requests.{field}", request[field], values)
    held = np.where(mine["phase"] == QUEUED, mine["held"], request["held"])
    equal(f"{what}.requests.held", request["held"], held)


def _check_events(what: str, state: State) -> None:
    """The event heap is one, and holds what is under way."""
    clock, mine = state.clock[0], state.devices
    heap = state.events[: clock["events"]]
    time_ns, key, tokens = heap.T
    kind, device = key // _KEYS, key % _KEYS
    _holds(f"{what}.events", time_ns, time_ns >= clock["now_ns"], "not before now")
    wanted = np.flatnonzero(np.isin(mine["phase"], list(_MESSAGES)))
    _lists(f"{what}.events", device, wanted, "a message of each device that has one under way")
    kinds = np.array([_MESSAGES.get(phase, -1) for phase in range(READING + 1)])
    equal(f"{what}.events", kind, kinds[mine["phase"][device]])
    wanted = np.where(kind == DELIVERY, (mine["committed"] - mine["delivered"])[device], 0)
    equal(f"{what}.events", tokens, wanted)
    if len(heap) > 1:
        below = np.arange(1, len(heap))
        above = (below - 1) // 2
        later = time_ns[below] > time_ns[above]
        same = (time_ns[below] == time_ns[above]) & (key[below] >= key[above])
        _holds(f"{what}.events", time_ns[below], later | same, "not before the event above it")
