"""What a device may do while it waits for an answer: draft ahead and, after a time-out, ask again (SLED).

*Drafting ahead.* After a request of k tokens from position p the device goes on. The target will supply the
token at p + k itself, so the device first drafts its own guess of it, then tokens of the next draft after it,
at most as many as a round may send or up to its stop rule. They are kept when the whole request was accepted
and the guess is the target's token; one in progress then goes on. Otherwise all of them are discarded. The
guess itself is never of use to a later request; it counts as discarded.

*Time-out.* A device without an answer merges the whole tokens drafted ahead into a longer request of the same
round and sends that. A request that still waits in the queue is replaced and keeps its place; where its pass
has begun, or its answer is on the way, the server ignores the newcomer, as it would verify tokens a second
time. Nothing is released before the target has verified it, so output stays what the target alone gives.
"""

from __future__ import annotations

import math

from wisp_gym._jit import kernel
from wisp_gym.pipeline.device import HEADER_BYTES, TOKEN_BYTES, cross_uplink, token_time_ns
from wisp_gym.pipeline.events import ARRIVAL, TIMEOUT, push_event
from wisp_gym.pipeline.log import LOG_AHEAD, LOG_RETRY, LOG_SUPERSEDE, write_log
from wisp_gym.pipeline.queue import write_request
from wisp_gym.pipeline.state import QUEUED, State
from wisp_gym.rules.control import MAX_DRAFT, RANDOM_DRAFT
from wisp_gym.rules.select import NEVER
from wisp_gym.world.types import WorldArrays

_ROUND = 64
"""A repeated request's event says its round and its tokens in one number; a first request's says 0."""

_MOST_AT_RANDOM = 7
"""The random drafter knows its cap only as the round begins: until then it may be any up to this."""


@kernel
def ahead_limit(state: State, d: int) -> tuple[int, float]:
    """Return the draft cap and stop threshold of the next round, as far as the device knows them."""
    if state.control[0]["drafter"] == RANDOM_DRAFT:
        return _MOST_AT_RANDOM, -math.inf
    return state.devices[d]["cap"], state.devices[d]["threshold"]


@kernel
def agreements(world: WorldArrays, at: int, tokens: int) -> int:
    """Return the leading run of agreements among the tokens from stream position `at` on."""
    run = 0
    while run < tokens and world.accepts[at + run] == 1:
        run += 1
    return run


@kernel
def tokens_to_stop(
    world: WorldArrays, state: State, at: int, limit: int, threshold: float, on_path: bool
) -> int:
    """Return how many tokens from stream position `at` on are drafted until the limit or the stop rule.

    :param on_path: whether what was drafted before is what the target gives
    """
    if threshold == -math.inf:
        return limit
    drafted = 0
    while drafted < limit:
        score = state.scores[at + drafted] if on_path else state.off_scores[at + drafted]
        on_path = on_path and world.accepts[at + drafted] == 1
        drafted += 1
        if score < threshold:
            break
    return drafted


@kernel
def most_ahead(world: WorldArrays, state: State, d: int) -> int:
    """Return how many tokens the device drafts ahead of its newest request at most, the guess included.

    None where no draft can follow. A request with what is merged into it never has more than MAX_DRAFT.
    """
    mine = state.devices[d]
    session = world.sessions[mine["session"]]
    cap, threshold = ahead_limit(state, d)
    begin = mine["delivered"] + mine["asked"] + 1
    limit = min(min(cap, session["length"] - begin - 1), MAX_DRAFT - mine["asked"] - 1)
    if limit < 1:
        return 0
    first = session["offset"] + mine["delivered"]
    on_path = agreements(world, first, mine["asked"] + 1) == mine["asked"] + 1
    return 1 + tokens_to_stop(world, state, session["offset"] + begin, limit, threshold, on_path)


@kernel
def ahead_token_ns(world: WorldArrays, state: State, d: int) -> int:
    """Return how long the device drafts one token ahead."""
    threshold = ahead_limit(state, d)[1]
    return token_time_ns(world.devices[d], threshold > -math.inf and state.control[0]["checked"] == 1)


@kernel
def whole_tokens(spent_ns: int, token_ns: int, most: int) -> int:
    """Return how many of at most so many tokens are complete after a time."""
    return most if token_ns == 0 else min(most, spent_ns // token_ns)


@kernel
def set_timer(state: State, d: int, time_ns: int) -> None:
    """Let the device ask again at a time, later than any it had. Its event in the heap, if one is there, is
    moved on when it comes up."""
    mine = state.devices[d]
    mine["timer_ns"] = time_ns
    if mine["timer_set"] == 0:
        mine["timer_set"] = 1
        push_event(state.events, state.clock[0], time_ns, TIMEOUT, d, 0)


@kernel
def start_waiting(state: State, d: int) -> None:
    """A device's request of a new round is laid out: from when it is sent the device waits for the answer."""
    control, mine = state.control[0], state.devices[d]
    mine["round_no"] += 1
    mine["asked"] = mine["k"]
    mine["retries"] = 0
    if control["ahead"] == 1:
        mine["ahead_from_ns"] = mine["sent_ns"]
    if control["timeout_ns"] > 0 and control["retries"] > 0:
        set_timer(state, d, mine["sent_ns"] + control["timeout_ns"])


@kernel
def end_waiting(world: WorldArrays, state: State, d: int) -> None:
    """An answer reaches a device: settle what it drafted ahead, before its tokens are booked."""
    mine = state.devices[d]
    mine["timer_ns"] = NEVER
    since_ns = mine["ahead_from_ns"]
    mine["ahead_from_ns"] = -1
    if since_ns < 0:
        return
    device, now_ns = world.devices[d], state.clock[0]["now_ns"]
    counter = state.counters[device["group"]]
    token_ns = ahead_token_ns(world, state, d)
    most = most_ahead(world, state, d)
    spent_ns = min(most * token_ns, now_ns - since_ns)
    whole = whole_tokens(spent_ns, token_ns, most)
    counter["drafted"] += whole
    counter["draft_ns"] += spent_ns
    counter["energy_j"] += 1e-9 * spent_ns * device["power_w"]
    sent = mine["asked"] - mine["k"]  # merged into requests that came too late
    kept = -1
    at = world.sessions[mine["session"]]["offset"] + mine["delivered"]
    if sent + whole > 0 and mine["accepted"] == mine["k"] and world.accepts[at + mine["k"]] == 1:
        kept = mine["ahead"] = sent + whole - 1
        mine["ahead_sent"] = max(0, sent - 1)
        mine["ahead_ns"] = (sent - 1) * token_ns + spent_ns
        counter["discarded"] += 1 if sent == 0 else 0
        counter["waste_ns"] += token_ns
    else:
        counter["discarded"] += whole
        counter["waste_ns"] += sent * token_ns + spent_ns
    if sent + spent_ns > 0:
        write_log(state.log, state.clock[0], LOG_AHEAD, d, mine["session"], since_ns, whole, kept, spent_ns)


@kernel
def time_out(world: WorldArrays, state: State, d: int) -> None:
    """A device's timer comes up: it asks again, unless an answer or a later round has moved it on."""
    mine = state.devices[d]
    mine["timer_set"] = 0
    if mine["timer_ns"] == NEVER:
        return
    if mine["timer_ns"] > state.clock[0]["now_ns"]:
        set_timer(state, d, mine["timer_ns"])
        return
    ask_again(world, state, d)
    mine["retries"] += 1
    control = state.control[0]
    mine["timer_ns"] = NEVER
    if mine["retries"] < control["retries"]:
        set_timer(state, d, state.clock[0]["now_ns"] + control["timeout_ns"])


@kernel
def ask_again(world: WorldArrays, state: State, d: int) -> None:
    """Merge what was drafted ahead into a longer request of the round and send it."""
    clock, device, mine = state.clock[0], world.devices[d], state.devices[d]
    counter = state.counters[device["group"]]
    now_ns, since_ns = clock["now_ns"], mine["ahead_from_ns"]
    merged = 0
    if since_ns >= 0:
        token_ns = ahead_token_ns(world, state, d)
        most = most_ahead(world, state, d)
        merged = whole_tokens(now_ns - since_ns, token_ns, most)
        draft_ns = merged * token_ns
        counter["drafted"] += merged
        counter["draft_ns"] += draft_ns
        counter["energy_j"] += 1e-9 * draft_ns * device["power_w"]
        mine["ahead_from_ns"] = now_ns if merged == most else since_ns + draft_ns
    counter["resent"] += mine["asked"]
    mine["asked"] += merged
    counter["sent"] += mine["asked"]
    write_log(state.log, clock, LOG_RETRY, d, mine["session"], mine["asked"], merged, since_ns, 0)
    mine["up_free_ns"] += 1  # requests of one round never arrive at the same instant
    arrival_ns = cross_uplink(world, state, d, now_ns, HEADER_BYTES + TOKEN_BYTES * mine["asked"])
    push_event(state.events, clock, arrival_ns, ARRIVAL, d, mine["round_no"] * _ROUND + mine["asked"])


@kernel
def receive_again(world: WorldArrays, state: State, d: int, message: int) -> None:
    """A repeated request reaches the server: it replaces a shorter one of its round that still waits, in its
    place, or is ignored.

    :param message: the round and the tokens, as `ask_again` puts them into one number
    """
    device, mine = world.devices[d], state.devices[d]
    counter = state.counters[device["group"]]
    round_no, k = message // _ROUND, message % _ROUND
    if mine["round_no"] != round_no or mine["phase"] != QUEUED or k <= mine["k"]:
        counter["superseded"] += k
        write_log(state.log, state.clock[0], LOG_SUPERSEDE, d, -1, k, 0, 0, 0)
        return
    counter["superseded"] += mine["k"]
    write_log(state.log, state.clock[0], LOG_SUPERSEDE, d, mine["session"], mine["k"], 1, 0, 0)
    wasted = max(0, mine["k"] - mine["accepted"] - 1)
    at = world.sessions[mine["session"]]["offset"] + mine["committed"]
    mine["k"] = k
    mine["accepted"] = agreements(world, at, k)
    wasted = max(0, k - mine["accepted"] - 1) - wasted
    counter["waste_ns"] += wasted * ahead_token_ns(world, state, d)
    write_request(world, state, d)
    state.clock[0]["ask"] = 1
