"""A verification pass on the server: it starts with its members, takes its time, and commits their tokens."""

from __future__ import annotations

import math

import numpy as np

from wisp_gym._jit import kernel
from wisp_gym.pipeline.accounting import tokens_due
from wisp_gym.pipeline.device import round_from_ns, send_down, wait_until_ready
from wisp_gym.pipeline.interference import count_queue_interference, measure_interference
from wisp_gym.pipeline.log import LOG_MEMBER, LOG_PASS, LOG_VERIFY, write_log
from wisp_gym.pipeline.memory import hold, make_room
from wisp_gym.pipeline.queue import enqueue, join_queue, leave_queue, refresh_cost
from wisp_gym.pipeline.replies import count_agreement, decide_replies, write_reply
from wisp_gym.pipeline.state import BIN_NS, DOWNLINK, READING, TBT_BINS, VERIFYING, State
from wisp_gym.rules.control import EXPECTED_SESSION, PROPORTIONAL_FAIR
from wisp_gym.rules.expected import fleet_accepted
from wisp_gym.rules.proportional_fair import smoothed_tps
from wisp_gym.rules.select import NEVER
from wisp_gym.world.rng import CAUSE_SERVER, bits, key
from wisp_gym.world.server import attention_pairs, pass_time_ns
from wisp_gym.world.types import WorldArrays


@kernel
def noise_factor(world: WorldArrays, batch_no: int) -> float:
    """Return the factor on pass `batch_no`'s time: mean one, independent from pass to pass."""
    draw = key(world.seed[0], CAUSE_SERVER, 0, 0)
    return world.noise[np.int64(bits(draw, batch_no) >> np.uint64(52))]


@kernel
def start_pass(world: WorldArrays, state: State) -> None:
    """Start a pass over `state.batch[:pack.members]` now."""
    clock, pack, server = state.clock[0], state.pack[0], world.server[0]
    members = pack["members"]
    clock["batch_size"] = members
    for i in range(members):
        state.devices[state.batch[i]]["phase"] = VERIFYING
    leave_queue(state)
    make_room(world, state)
    cached = 0
    pairs = 0.0
    for i in range(members):
        request = state.requests[state.batch[i]]
        cached += request["cached"]
        pairs += attention_pairs(request["take"], request["cached"])
    exact_ns = pass_time_ns(server, world.pass_ns, pack["new"], cached, pairs, members)
    time_ns = np.int64(math.floor(exact_ns * noise_factor(world, clock["batch_no"]) + 0.5))
    clock["pass_start_ns"] = clock["now_ns"]
    clock["pass_end_ns"] = clock["now_ns"] + time_ns
    clock["pass_excess_ns"] = measure_interference(world, state, exact_ns)
    count_pass(state, time_ns)
    clock["batch_no"] += 1
    clock["busy"] = 1
    clock["waits"] = 0
    clock["wake_ns"] = NEVER


@kernel
def count_pass(state: State, time_ns: np.int64) -> None:
    """Book a pass that starts now, and note it and its members in the log."""
    clock, totals, pack = state.clock[0], state.totals[0], state.pack[0]
    totals["passes"] += 1
    totals["members"] += pack["members"]
    totals["new_tokens"] += pack["new"]
    totals["busy_ns"] += time_ns
    number = clock["batch_no"]
    replied = decide_replies(state)
    write_log(state.log, clock, LOG_PASS, -1, -1, number, pack["members"], clock["pass_end_ns"], 0)
    for i in range(pack["members"]):
        d = state.batch[i]
        mine, request = state.devices[d], state.requests[d]
        counter = state.counters[request["group"]]
        wait_ns = clock["now_ns"] - mine["queued_ns"]
        counter["queue_ns"] += wait_ns
        counter["verify_ns"] += time_ns
        counter["requests"] += 1
        if request["cached"] == 0:
            counter["cold"] += 1
        state.waits[request["group"], min(wait_ns // BIN_NS, TBT_BINS - 1)] += 1
        k, take = request["k"], request["take"]
        write_log(state.log, clock, LOG_MEMBER, d, mine["session"], number, k, take, request["cached"])
        if replied:
            write_reply(state, d)


@kernel
def end_pass(world: WorldArrays, state: State) -> None:
    """The running pass ends now: its members' tokens are committed and sent; the GPU is free."""
    clock = state.clock[0]
    clock["busy"] = 0
    clock["ask"] = 1
    count_queue_interference(state)
    for i in range(clock["batch_size"]):
        end_member(world, state, state.batch[i])


@kernel
def end_member(world: WorldArrays, state: State, d: int) -> None:
    """End one member's part in the pass: commit its accepted tokens and the target's own, or go on with
    its prompt."""
    now_ns = state.clock[0]["now_ns"]
    mine, request = state.devices[d], state.requests[d]
    mine["served_ns"] = now_ns
    if mine["cached"] == 0:
        mine["admitted_ns"] = now_ns
    if request["take"] < request["new"]:
        mine["cached"] += request["take"]
        request["served_ns"], request["admitted_ns"] = now_ns, mine["admitted_ns"]
        refresh_cost(request, mine["cached"], mine["held"], world.server[0], state)
        join_queue(state, d)
        return
    done = commit(world, state, d)
    send_down(world, state, d, mine["accepted"] + 1, now_ns)
    mine["phase"] = DOWNLINK
    if state.control[0]["server_loop"] == 1 and not done:
        from_ns = round_from_ns(world, state, d, mine["committed"])
        if now_ns < from_ns:
            wait_until_ready(state, d, from_ns, READING)
        else:
            begin_on_server(world, state, d)


@kernel
def commit(world: WorldArrays, state: State, d: int) -> bool:
    """Commit a verified round: its tokens, and what of the session stays in KV memory. Return whether the
    session is complete."""
    count_round(world, state, d)
    mine = state.devices[d]
    mine["committed"] += mine["accepted"] + 1
    session = world.sessions[mine["session"]]
    # A session that never leaves the engine keeps every token; between rounds only whole blocks are found.
    block = 1 if state.control[0]["server_loop"] == 1 else world.server[0]["block"]
    mine["cached"] = (session["prompt"] + mine["committed"] - 1) // block * block
    done = mine["committed"] >= session["length"]
    if done:
        mine["cached"] = 0
    if done or state.control[0]["whole_output"] == 0:
        hold(state, d, mine["cached"])
    return done


@kernel
def begin_on_server(world: WorldArrays, state: State, d: int) -> None:
    """Begin a round of a session that never leaves the server."""
    state.devices[d]["round_ns"] = state.clock[0]["now_ns"]
    enqueue(world, state, d)


@kernel
def forecast_on_time(world: WorldArrays, state: State, d: int, tokens: int) -> int:
    """Return how many of the tokens just committed the server expects to reach the device on time."""
    device, mine = world.devices[d], state.devices[d]
    arrival_ns = state.clock[0]["now_ns"] + device["back_ns"]
    start_ns = state.outcomes[mine["session"]]["start_ns"]
    length = world.sessions[mine["session"]]["length"]
    due = tokens_due(world.groups[device["group"]], start_ns, length, arrival_ns)
    before = mine["committed"]
    return before + tokens - min(max(due, before), before + tokens)


@kernel
def count_round(world: WorldArrays, state: State, d: int) -> None:
    """Book a verified round, and let the server learn from it."""
    mine = state.devices[d]
    k, accepted = mine["k"], mine["accepted"]
    counter = state.counters[state.requests[d]["group"]]
    counter["verified"] += k
    counter["accepted"] += accepted
    counter["rejected"] += k - accepted
    counter["rounds"] += 1
    counter["committed"] += accepted + 1
    counter["forecast_on_time"] += forecast_on_time(world, state, d, accepted + 1)
    if state.control[0]["scheduler"] == PROPORTIONAL_FAIR:
        now_ns, tau_ns = state.clock[0]["now_ns"], state.control[0]["fair_ns"]
        mine["served_tps"] = smoothed_tps(mine["served_tps"], accepted + 1, now_ns - mine["rated_ns"], tau_ns)
        mine["rated_ns"] = now_ns
    if state.control[0]["expected"] == EXPECTED_SESSION:
        mine["taken"] += accepted
        mine["foreseen"] += fleet_accepted(state.seen, k)
    state.seen[0, k] += accepted
    state.seen[1, k] += 1.0
    count_agreement(state, k, accepted)
    number = state.clock[0]["batch_no"] - 1
    committed = mine["committed"] + accepted + 1
    write_log(state.log, state.clock[0], LOG_VERIFY, d, mine["session"], number, accepted, committed, 0)
