"""The books of a run kept once more, from its event log: nothing is decided and no event is made.

The log says what was decided and what happened when; the world, drawn again from its seed, says what is owed
and what things cost. Each row is booked by the function that booked the event itself, in the same order, so
that sums come out to the last bit. What has no row of its own follows from those that have: a request's
arrival from when it was sent, a pass's end from its beginning.

A row that cannot follow the ones before it ends the replay: nothing outside the arrays is ever touched.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel
from wisp_gym.metrics.replay_due import Answers, round_due_ns, send_answer, session_due, take_answer
from wisp_gym.pipeline.accounting import account_delivery, note_behind, settle_device
from wisp_gym.pipeline.ahead import agreements, ahead_token_ns
from wisp_gym.pipeline.device import (
    HEADER_BYTES,
    TOKEN_BYTES,
    count_draft,
    cross_downlink,
    cross_uplink,
    round_from_ns,
    send_up,
    start_session,
    use_head_start,
)
from wisp_gym.pipeline.events import ARRIVAL, event_device, pop_event, push_event
from wisp_gym.pipeline.interference import count_queue_interference, measure_interference
from wisp_gym.pipeline.log import (
    LOG_AHEAD,
    LOG_DELIVER,
    LOG_DRAFT,
    LOG_EVICT,
    LOG_MEMBER,
    LOG_PASS,
    LOG_RETRY,
    LOG_START,
    LOG_SUPERSEDE,
    LOG_VERIFY,
    LOG_WAIT,
)
from wisp_gym.pipeline.memory import hold
from wisp_gym.pipeline.queue import join_queue, kv_reserve, leave_queue
from wisp_gym.pipeline.state import DOWNLINK, IDLE, QUEUED, UPLINK, VERIFYING, State
from wisp_gym.pipeline.verify import commit, count_pass
from wisp_gym.rules.control import MAX_DRAFT
from wisp_gym.world.server import attention_pairs, pass_time_ns
from wisp_gym.world.types import WorldArrays

Rows = npt.NDArray[np.int64]


@kernel
def replay(world: WorldArrays, state: State, answers: Answers, rows: Rows, begin: int, until_ns: int) -> int:
    """Book the rows from `begin` on that lie before a time, and let the clock stand there.

    :param world: of the run; :param state: at time zero, or where the last call left it
    :param answers: likewise
    :param rows: of the log, every index in them within the world; of a `supersede` row the last number is the
    tokens of the request that came  # (rows, 8)
    :return: the first row not booked; -1 - i where row i cannot follow the ones before it
    """
    i = begin
    while i < len(rows) and rows[i, 0] < until_ns:
        if rows[i, 0] < state.clock[0]["now_ns"]:
            return -1 - i
        catch_up(world, state, rows[i, 0], is_before_pass_end(rows[i, 1]))
        state.clock[0]["now_ns"] = rows[i, 0]
        booked = book(world, state, answers, rows, i)
        if booked == 0:
            return -1 - i
        i += booked
    catch_up(world, state, until_ns - 1, False)
    state.clock[0]["now_ns"] = until_ns
    return i


@kernel
def is_before_pass_end(kind: int) -> bool:
    """Return whether rows of a kind come before the end of a pass that ends at the same instant."""
    return kind in (LOG_DELIVER, LOG_START, LOG_AHEAD, LOG_RETRY, LOG_SUPERSEDE)


@kernel
def catch_up(world: WorldArrays, state: State, time_ns: int, before_pass_end: bool) -> None:
    """Book what happens up to a time without a row: requests arrive, the running pass ends."""
    clock = state.clock[0]
    end_ns = clock["pass_end_ns"]
    if clock["busy"] == 1 and (end_ns < time_ns or (end_ns == time_ns and not before_pass_end)):
        let_arrive(state, end_ns)
        clock["now_ns"] = end_ns
        book_pass_end(state)
    let_arrive(state, time_ns)


@kernel
def let_arrive(state: State, time_ns: int) -> None:
    """Put the requests that reach the server up to a time into its queue."""
    clock = state.clock[0]
    while clock["events"] > 0 and state.events[0, 0] <= time_ns:
        clock["now_ns"], d = state.events[0, 0], event_device(state.events[0, 1])
        pop_event(state.events, clock)
        state.requests[d]["arrived_ns"] = clock["now_ns"]
        join_queue(state, d)


@kernel
def book_pass_end(state: State) -> None:
    """The running pass ends: book what others waited for it; prompts with more chunks to go wait again.

    Members that are through have a row of their own.
    """
    clock = state.clock[0]
    clock["busy"] = 0
    clock["ask"] = 1
    count_queue_interference(state)
    for i in range(clock["batch_size"]):
        d = state.batch[i]
        if state.requests[d]["take"] < state.requests[d]["new"]:
            join_queue(state, d)


@kernel
def book(world: WorldArrays, state: State, answers: Answers, rows: Rows, i: int) -> int:
    """Book row i; return how many rows that took, 0 where it cannot follow the ones before it."""
    kind, d, session = rows[i, 1], rows[i, 2], rows[i, 3]
    if kind == LOG_PASS:
        return book_pass(world, state, rows, i)
    if kind == LOG_START:
        return book_start(world, state, d, session, rows[i, 4])
    if kind == LOG_EVICT:
        hold(state, d, 0)
        state.totals[0]["evictions"] += 1
        return 1
    if kind == LOG_WAIT:
        state.clock[0]["ask"], state.clock[0]["wake_ns"] = 0, rows[i, 4]
        return 1
    if kind == LOG_MEMBER or (d >= 0 and session >= 0 and session != state.devices[d]["session"]):
        return 0
    if kind == LOG_DRAFT:
        return book_draft(world, state, d, rows[i])
    if kind == LOG_VERIFY:
        return book_verify(world, state, answers, d, rows[i])
    if kind == LOG_DELIVER:
        return book_delivery(world, state, answers, d, rows[i])
    if kind == LOG_AHEAD:
        book_ahead(world, state, d, rows[i])
    elif kind == LOG_RETRY:
        book_retry(world, state, d, rows[i])
    elif kind == LOG_SUPERSEDE and session >= 0:
        return book_supersede(world, state, d, rows[i])
    return 1


@kernel
def book_start(world: WorldArrays, state: State, d: int, session: int, start_ns: int) -> int:
    """A session is laid out, at the beginning or as the one before it ends."""
    before = state.devices[d]["session"]
    laid_ns = 0 if before < 0 else state.outcomes[before]["last_ns"]
    if state.devices[d]["phase"] != IDLE or laid_ns != state.clock[0]["now_ns"]:
        return 0
    if session_due(world, state, d) != (session, start_ns):
        return 0
    state.requests[d]["group"] = world.devices[d]["group"]
    state.requests[d]["device"] = d
    start_session(world, state, d, session, start_ns)
    return 1


@kernel
def book_draft(world: WorldArrays, state: State, d: int, row: Any) -> int:
    """A round begins: device time, and the request on its way."""
    clock, device, mine = state.clock[0], world.devices[d], state.devices[d]
    session = world.sessions[mine["session"]]
    drafted, sent, checked = row[4], row[5], row[6] == 1
    left = session["length"] - mine["committed"] - 1
    if mine["delivered"] < mine["committed"] or round_due_ns(world, state, d) != clock["now_ns"]:
        return 0
    if mine["phase"] != DOWNLINK or not 0 <= sent <= drafted or drafted > min(left, MAX_DRAFT):
        return 0
    accepted = agreements(world, session["offset"] + mine["committed"], drafted)
    mine["round_ns"] = clock["now_ns"]
    mine["drafted"], mine["k"], mine["asked"] = drafted, sent, sent
    mine["accepted"] = min(accepted, sent)
    state.control[0]["checked"] = 1
    mine["threshold"] = 0.0 if checked else -math.inf  # what the time of a token drafted ahead rests on
    counter = state.counters[device["group"]]
    draft_ns = count_draft(device, counter, drafted, sent, accepted, checked)
    head_ns = use_head_start(device, mine, counter, drafted, draft_ns)
    if head_ns != row[7]:
        return 0
    send_up(world, state, d, clock["now_ns"] + draft_ns - head_ns, HEADER_BYTES + TOKEN_BYTES * sent)
    return 1


@kernel
def book_pass(world: WorldArrays, state: State, rows: Rows, i: int) -> int:
    """A pass begins; the rows of its members follow its own."""
    clock, pack = state.clock[0], state.pack[0]
    members, end_ns = rows[i, 5], rows[i, 6]
    fits = 1 <= members <= len(state.batch) and i + members < len(rows)
    if clock["busy"] == 1 or not fits or end_ns < clock["now_ns"] or rows[i, 4] != clock["batch_no"]:
        return 0
    pack["members"] = members
    for j in range(members):
        if not book_member(world, state, rows[i + 1 + j], rows[i], j):
            return 0
    leave_queue(state)
    for j in range(members):
        hold(state, state.batch[j], state.requests[state.batch[j]]["reserve"])
    clock["batch_size"] = members
    clock["pass_start_ns"], clock["pass_end_ns"] = clock["now_ns"], end_ns
    clock["pass_excess_ns"] = measure_interference(world, state, exact_time_ns(world, state))
    count_pass(state, end_ns - clock["now_ns"])
    clock["batch_no"] += 1
    clock["busy"] = 1
    clock["ask"] = 0
    return 1 + int(members)


@kernel
def book_member(world: WorldArrays, state: State, row: Any, begun: Any, at: int) -> bool:
    """Put a member into the pass that begins; return whether its row fits there.

    :param row: its own; :param begun: the pass's; :param at: its place in the pass
    """
    d = row[2]
    if row[1] != LOG_MEMBER or row[0] != begun[0] or row[4] != begun[4]:
        return False
    mine, request = state.devices[d], state.requests[d]
    if mine["phase"] != QUEUED or row[3] != mine["session"] or row[5] != mine["k"]:
        return False
    session = world.sessions[mine["session"]]
    context = session["prompt"] + mine["committed"]
    k, take, cached = row[5], row[6], row[7]
    new = context - cached + k
    if cached < 0 or not 1 <= take <= new:
        return False
    request["context"], request["k"], request["new"] = context, k, new
    request["take"], request["cached"] = take, cached
    request["reserve"] = kv_reserve(state.control[0], session, context, k)
    state.batch[at] = d
    mine["phase"] = VERIFYING
    return True


@kernel
def exact_time_ns(world: WorldArrays, state: State) -> float:
    """Return the noise-free time of the pass that begins, ns; its new tokens, padding included, go into
    `state.pack`."""
    pack, padded = state.pack[0], state.control[0]["padded"] == 1
    members = pack["members"]
    longest = 0
    for i in range(members):
        longest = max(longest, state.requests[state.batch[i]]["k"])
    new, cached, pairs = 0, 0, 0.0
    for i in range(members):
        request = state.requests[state.batch[i]]
        new += request["take"] + (longest - request["k"] if padded else 0)
        cached += request["cached"]
        pairs += attention_pairs(request["take"], request["cached"])
    pack["new"] = new
    return float(pass_time_ns(world.server[0], world.pass_ns, new, cached, pairs, members))


@kernel
def book_verify(world: WorldArrays, state: State, answers: Answers, d: int, row: Any) -> int:
    """A request's pass has ended: its tokens are committed and on their way."""
    clock, mine = state.clock[0], state.devices[d]
    length = world.sessions[mine["session"]]["length"]
    committed = mine["committed"] + mine["accepted"] + 1
    if mine["phase"] != VERIFYING or clock["busy"] == 1 or clock["pass_end_ns"] != clock["now_ns"]:
        return 0
    if row[5] != mine["accepted"] or row[6] != committed or committed > length:
        return 0
    done = commit(world, state, d)
    send_answer(answers, d, cross_downlink(world, state, d, mine["accepted"] + 1, clock["now_ns"]), committed)
    mine["phase"] = DOWNLINK
    if state.control[0]["server_loop"] == 1 and not done:
        from_ns = max(clock["now_ns"], round_from_ns(world, state, d, mine["committed"]))
        mine["k"] = mine["accepted"] = 0
        mine["phase"] = UPLINK
        push_event(state.events, clock, from_ns, ARRIVAL, d, 0)
    return 1


@kernel
def book_delivery(world: WorldArrays, state: State, answers: Answers, d: int, row: Any) -> int:
    """Tokens reach a device, when its link brings them."""
    device, mine, now_ns = world.devices[d], state.devices[d], state.clock[0]["now_ns"]
    session, g, tokens = mine["session"], device["group"], row[4]
    group, counter = world.groups[g], state.counters[g]
    if tokens < 1 or mine["delivered"] + tokens != row[5] or not take_answer(answers, d, now_ns, row[5]):
        return 0
    settle_device(state.clock[0], mine, world.sessions, state.outcomes, group, now_ns, counter)
    length = world.sessions[session]["length"]
    outcome = state.outcomes[session]
    if account_delivery(mine, outcome, length, group, counter, state.tbt[g], tokens, now_ns):
        note_behind(state.clock[0], mine, 0)
        mine["phase"] = IDLE
    return 1


@kernel
def book_ahead(world: WorldArrays, state: State, d: int, row: Any) -> None:
    """Drafting ahead ends as the answer arrives: see pipeline/ahead.py, `end_waiting`."""
    device, mine = world.devices[d], state.devices[d]
    counter = state.counters[device["group"]]
    token_ns = ahead_token_ns(world, state, d)
    kept, spent_ns = row[6], row[7]
    sent = mine["asked"] - mine["k"]
    counter["draft_ns"] += spent_ns
    counter["energy_j"] += 1e-9 * spent_ns * device["power_w"]
    if kept >= 0:
        mine["ahead"] = kept
        mine["ahead_ns"] = (sent - 1) * token_ns + spent_ns
        counter["waste_ns"] += token_ns
    else:
        counter["waste_ns"] += sent * token_ns + spent_ns


@kernel
def book_retry(world: WorldArrays, state: State, d: int, row: Any) -> None:
    """A device asks again: see pipeline/ahead.py, `ask_again`."""
    device, mine = world.devices[d], state.devices[d]
    counter = state.counters[device["group"]]
    asked, merged = row[4], row[5]
    draft_ns = merged * ahead_token_ns(world, state, d)
    counter["draft_ns"] += draft_ns
    counter["energy_j"] += 1e-9 * draft_ns * device["power_w"]
    mine["asked"] = asked
    mine["up_free_ns"] += 1
    cross_uplink(world, state, d, state.clock[0]["now_ns"], HEADER_BYTES + TOKEN_BYTES * asked)


@kernel
def book_supersede(world: WorldArrays, state: State, d: int, row: Any) -> int:
    """A longer request of the same round takes the place of one in the queue: `receive_again`."""
    device, mine, k = world.devices[d], state.devices[d], row[7]
    session = world.sessions[mine["session"]]
    fits = mine["k"] < k <= min(session["length"] - mine["committed"] - 1, MAX_DRAFT)
    if mine["phase"] != QUEUED or row[4] != mine["k"] or not fits:
        return 0
    wasted = max(0, mine["k"] - mine["accepted"] - 1)
    state.clock[0]["ask"] = 1
    mine["k"] = k
    mine["accepted"] = agreements(world, session["offset"] + mine["committed"], k)
    wasted = max(0, k - mine["accepted"] - 1) - wasted
    state.counters[device["group"]]["waste_ns"] += wasted * ahead_token_ns(world, state, d)
    return 1
