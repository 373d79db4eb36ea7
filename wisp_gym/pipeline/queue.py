"""The server's queue: what a waiting request looks like to a scheduler."""

from __future__ import annotations

from typing import Any

from wisp_gym._jit import kernel
from wisp_gym.pipeline.state import QUEUED, State
from wisp_gym.rules.control import DEADLINE_TIMELINE
from wisp_gym.rules.estimate import estimate_ns
from wisp_gym.rules.expected import expected_accepted
from wisp_gym.world.types import WorldArrays


@kernel
def deadline_ns(request: Any, device: Any, group: Any, reading: int) -> float:
    """Return when the request's pass must end for its tokens to be on time, the way back taken off.

    round:    round began + E[committed] / rate
    timeline: start + allowance + (committed so far + E[committed]) / rate
    A prompt is due by its first token's due time under both.
    """
    tokens = request["expected"] + 1.0
    if reading == DEADLINE_TIMELINE or request["committed"] == 0:
        since = request["start_ns"] + group["allowance_ns"]
        tokens += request["committed"]
    else:
        since = request["round_ns"]
    return since + tokens * group["period_ns"] - device["back_ns"]


@kernel
def chunk_tokens(server: Any) -> int:
    """Return the most new tokens of one request in a pass: half of what the pass takes, so that a long
    prompt always
    leaves room for others and fits beside them."""
    return (server["max_new"] + 1) // 2


@kernel
def refresh_cost(request: Any, cached: int, held: int, server: Any, state: State) -> None:
    """Write what the request costs, given what the KV memory holds of its session."""
    request["cached"] = cached
    request["held"] = held
    request["new"] = request["context"] - cached + request["k"]
    request["take"] = min(request["new"], chunk_tokens(server))
    take = float(request["take"])
    request["alone_ns"] = estimate_ns(state.estimator, take, take * (take + cached), float(cached))


@kernel
def kv_reserve(control: Any, session: Any, context: int, k: int) -> int:
    """Return the KV tokens that a session holds while it is verified; under continuous batching by whole
    outputs, all that it will ever need."""
    if control["whole_output"] == 1:
        return session["prompt"] + session["length"]
    return context + k


@kernel
def enqueue(world: WorldArrays, state: State, d: int) -> None:
    """Put a device's request into the queue now; the scheduler is asked at this instant if the GPU is
    free."""
    clock = state.clock[0]
    state.requests[d]["arrived_ns"] = clock["now_ns"]
    if world.sessions[state.devices[d]["session"]]["offset"] < 0:
        clock["dry"] = 1
    write_request(world, state, d)
    join_queue(state, d)


@kernel
def write_request(world: WorldArrays, state: State, d: int) -> None:
    """Write what a scheduler sees of a device's request; when it arrived is there already."""
    device, mine, request = world.devices[d], state.devices[d], state.requests[d]
    session = world.sessions[mine["session"]]
    request["device"] = d
    request["session"] = mine["session"]
    request["group"] = device["group"]
    request["round_ns"] = mine["round_ns"]
    request["start_ns"] = state.outcomes[mine["session"]]["start_ns"]
    request["k"] = mine["k"]
    request["committed"] = mine["committed"]
    request["context"] = session["prompt"] + mine["committed"]
    request["reserve"] = kv_reserve(state.control[0], session, request["context"], mine["k"])
    request["served_ns"] = mine["served_ns"]
    request["admitted_ns"] = mine["admitted_ns"]
    request["served_tps"] = mine["served_tps"]
    request["rated_ns"] = mine["rated_ns"]
    request["expected"] = expected_accepted(
        world.expected, state.seen, mine, mine["k"], state.control[0]["expected"]
    )
    refresh_cost(request, mine["cached"], mine["held"], world.server[0], state)
    state.reports[device["group"]] = state.clock[0]["now_ns"]
    group = world.groups[device["group"]]
    request["deadline_ns"] = deadline_ns(request, device, group, state.control[0]["deadline"])


@kernel
def join_queue(state: State, d: int) -> None:
    """Put the device into the queue, in order of arrival; a prompt that goes in parts keeps its place."""
    clock, mine = state.clock[0], state.devices[d]
    mine["phase"] = QUEUED
    mine["queued_ns"] = clock["now_ns"]
    arrived_ns = state.requests[d]["arrived_ns"]
    at = clock["waiting"]
    while at > 0:
        other = state.waiting[at - 1]
        theirs_ns = state.requests[other]["arrived_ns"]
        if theirs_ns < arrived_ns or (theirs_ns == arrived_ns and other < d):
            break
        state.waiting[at] = other
        at -= 1
    state.waiting[at] = d
    clock["waiting"] += 1
    clock["ask"] = 1


@kernel
def leave_queue(state: State) -> None:
    """Take the members of the new pass out of the queue, keeping the others in order of arrival."""
    clock = state.clock[0]
    kept = 0
    for i in range(clock["waiting"]):
        d = state.waiting[i]
        if state.devices[d]["phase"] == QUEUED:
            state.waiting[kept] = d
            kept += 1
    clock["waiting"] = kept
