"""What happens on a device: a session starts, a round drafts, a request leaves, tokens arrive."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel
from wisp_gym.pipeline.accounting import account_delivery, note_behind, settle_device
from wisp_gym.pipeline.events import ARRIVAL, DELIVERY, READY, push_event
from wisp_gym.pipeline.foresight import draft_by_belief, oracle_cap
from wisp_gym.pipeline.log import LOG_DELIVER, LOG_DRAFT, LOG_START, write_log
from wisp_gym.pipeline.state import DOWNLINK, IDLE, PREFILLING, READING, UPLINK, State
from wisp_gym.rules.control import BAYES_DRAFT, MAX_DRAFT, ORACLE_DRAFT, RANDOM_DRAFT, UCB
from wisp_gym.rules.specdec import all_agree
from wisp_gym.rules.ucb import learn_round, pick_arm
from wisp_gym.world.network import link_cell
from wisp_gym.world.rng import CAUSE_POLICY, bits, key
from wisp_gym.world.types import WorldArrays

HEADER_BYTES = 40
"""Estimated fixed part of a message."""

TOKEN_BYTES = 12
"""Estimated bytes per drafted token: an id and its top probabilities (a draft of 5 stays under 100 bytes)."""

PROMPT_TOKEN_BYTES = 4
"""Estimated bytes per prompt or delivered token."""


@kernel
def cross_uplink(world: WorldArrays, state: State, d: int, sent_ns: int, size_bytes: int) -> int:
    """Put a message on a device's uplink and return when it arrives."""
    device, mine = world.devices[d], state.devices[d]
    network = device["network"]
    cell = link_cell(world.seed[0], d, sent_ns, world.refresh[network])
    arrival = max(sent_ns + world.up_ns[network, cell], mine["up_free_ns"])
    mine["up_free_ns"] = arrival
    counter = state.counters[device["group"]]
    counter["network_ns"] += arrival - sent_ns
    counter["bytes"] += size_bytes
    return arrival


@kernel
def send_up(world: WorldArrays, state: State, d: int, sent_ns: int, size_bytes: int) -> None:
    """Put a device's request on its uplink."""
    mine = state.devices[d]
    arrival = cross_uplink(world, state, d, sent_ns, size_bytes)
    mine["sent_ns"] = sent_ns
    mine["phase"] = UPLINK
    push_event(state.events, state.clock[0], arrival, ARRIVAL, d, 0)


@kernel
def cross_downlink(world: WorldArrays, state: State, d: int, tokens: int, now_ns: int) -> int:
    """Put a result on a device's downlink and return when it arrives."""
    device, mine = world.devices[d], state.devices[d]
    network = device["network"]
    cell = link_cell(world.seed[0], d, now_ns, world.refresh[network])
    arrival = max(now_ns + world.down_ns[network, cell], mine["down_free_ns"])
    mine["down_free_ns"] = arrival
    counter = state.counters[device["group"]]
    counter["network_ns"] += arrival - now_ns
    counter["bytes"] += HEADER_BYTES + PROMPT_TOKEN_BYTES * tokens
    return arrival


@kernel
def send_down(world: WorldArrays, state: State, d: int, tokens: int, now_ns: int) -> None:
    """Send a result to a device."""
    arrival = cross_downlink(world, state, d, tokens, now_ns)
    push_event(state.events, state.clock[0], arrival, DELIVERY, d, tokens)


@kernel
def start_session(world: WorldArrays, state: State, d: int, row: int, start_ns: int) -> None:
    """Lay out a session: at its start the prompt goes up, and the device begins to prefill it at its own
    rate."""
    device, mine, session = world.devices[d], state.devices[d], world.sessions[row]
    mine["session"] = row
    mine["committed"] = mine["delivered"] = 0
    mine["cached"] = mine["held"] = 0
    mine["served_ns"] = mine["admitted_ns"] = -1
    mine["round_ns"] = start_ns
    mine["round_no"] += 1  # what was asked again in the last session's last round is not of this prompt's
    mine["token_ns"] = start_ns
    mine["drafted"] = mine["k"] = mine["accepted"] = 0
    mine["last_k"] = mine["last_accepted"] = 0
    mine["taken"], mine["foreseen"] = 0, 0.0
    mine["due_ns"] = 0
    state.outcomes[row]["start_ns"] = start_ns
    mine["prefilled_ns"] = start_ns
    if state.control[0]["server_loop"] == 0:
        prefill_ns = session["prompt"] * device["prefill_ns"]
        mine["prefilled_ns"] = start_ns + prefill_ns
        counter = state.counters[device["group"]]
        counter["prefill_ns"] += prefill_ns
        counter["energy_j"] += 1e-9 * prefill_ns * device["power_w"]
    write_log(state.log, state.clock[0], LOG_START, d, row, start_ns, session["prompt"], session["length"], 0)
    send_up(world, state, d, start_ns, HEADER_BYTES + PROMPT_TOKEN_BYTES * session["prompt"])


@kernel
def next_session(world: WorldArrays, state: State, d: int, now_ns: int, horizon_ns: int) -> None:
    """Lay out a device's next session: the reader finishes at the class's rate, then thinks."""
    device, mine = world.devices[d], state.devices[d]
    row = mine["session"]
    mine["phase"] = IDLE
    if row + 1 >= device["first_session"] + device["sessions"]:
        return
    session = world.sessions[row]
    read_ns = state.outcomes[row]["start_ns"] + session["length"] * world.groups[device["group"]]["period_ns"]
    start_ns = max(now_ns, read_ns) + session["think_ns"]
    if start_ns < horizon_ns:
        start_session(world, state, d, row + 1, start_ns)


@kernel
def draft_tokens(
    world: WorldArrays, state: State, at: int, limit: int, threshold: float
) -> tuple[int, int, bool]:
    """Draft from stream position `at` until the limit or the first token whose stop score is below the
    threshold.

    Scores are read on the true prefix up to and including the round's first mismatch, and off it after that.
    A cumulative rule holds their product so far against the threshold (rules/specdec.py).

    :return: tokens drafted; of them the leading run of agreements; whether the last one is a suspect
    """
    drafted = 0
    accepted = 0
    on_path = True
    scored = threshold > -math.inf
    cumulative = state.control[0]["cumulative"] == 1
    agreeing = 1.0
    while drafted < limit:
        score = 0.0
        if scored:
            score = np.float64(state.scores[at + drafted] if on_path else state.off_scores[at + drafted])
            if cumulative:
                agreeing = all_agree(agreeing, score)
                score = agreeing
        if on_path:
            if world.accepts[at + drafted] == 1:
                accepted += 1
            else:
                on_path = False
        drafted += 1
        if scored and score < threshold:
            return drafted, accepted, True
    return drafted, accepted, False


@kernel
def round_limit(world: WorldArrays, state: State, d: int) -> tuple[Any, float]:
    """Return the draft cap and stop threshold of a compiled drafter."""
    control, mine = state.control[0], state.devices[d]
    if control["drafter"] == RANDOM_DRAFT:
        index = mine["session"] - world.devices[d]["first_session"]
        draw = key(control["policy_seed"], CAUSE_POLICY, d, index)
        return np.int64(bits(draw, mine["committed"]) >> np.uint64(61)), -math.inf
    if control["drafter"] == UCB:
        mine["cap"] = pick_arm(state.bandit[d], control["explore"])
    if control["drafter"] == ORACLE_DRAFT:
        return oracle_cap(world, state, d), -math.inf
    return mine["cap"], mine["threshold"]


@kernel
def begin_round(world: WorldArrays, state: State, d: int, cap: int, threshold: float) -> None:
    """Draft a round and send it. k never exceeds remaining - 1: the target supplies the last token."""
    now_ns = state.clock[0]["now_ns"]
    device, mine = world.devices[d], state.devices[d]
    session = world.sessions[mine["session"]]
    limit = min(min(max(cap, 0), MAX_DRAFT), session["length"] - mine["committed"] - 1)
    at = session["offset"] + mine["committed"]
    if state.control[0]["drafter"] == BAYES_DRAFT:
        drafted, accepted, suspect = draft_by_belief(world, state, d, at, limit, threshold)
    else:
        drafted, accepted, suspect = draft_tokens(world, state, at, limit, threshold)
    sent = drafted
    if suspect and state.control[0]["drop_suspect"] == 1:
        sent -= 1
    mine["round_ns"] = now_ns
    mine["drafted"] = drafted
    mine["k"] = sent
    mine["accepted"] = min(accepted, sent)
    checked = threshold > -math.inf and state.control[0]["checked"] == 1
    counter = state.counters[device["group"]]
    draft_ns = count_draft(device, counter, drafted, sent, accepted, checked)
    head_ns = 0
    if state.control[0]["ahead"] == 1:
        head_ns = use_head_start(device, mine, counter, drafted, draft_ns)
    write_log(
        state.log, state.clock[0], LOG_DRAFT, d, mine["session"], drafted, sent, 1 if checked else 0, head_ns
    )
    send_up(world, state, d, now_ns + draft_ns - head_ns, HEADER_BYTES + TOKEN_BYTES * sent)


@kernel
def token_time_ns(device: Any, checked: bool) -> int:
    """Return how long a device drafts one token, the stop rule's network included where it is called."""
    return device["draft_ns"] + (device["check_ns"] if checked else 0)


@kernel
def use_head_start(device: Any, mine: Any, counter: Any, drafted: int, draft_ns: int) -> int:
    """Take off what the device had drafted ahead of a round and return the time it had spent on it, ns.

    The counters hold these tokens and this time already. What is more than the draft needs is thrown away.

    :param drafted: tokens of the whole draft; :param draft_ns: its time
    """
    kept, sent_before, spent_ns = mine["ahead"], mine["ahead_sent"], mine["ahead_ns"]
    used_ns = min(spent_ns, draft_ns)
    counter["drafted"] -= min(drafted, kept)
    counter["resent"] += min(drafted, sent_before)
    counter["discarded"] += max(0, kept - max(drafted, sent_before))
    counter["draft_ns"] -= used_ns
    counter["waste_ns"] += spent_ns - used_ns
    counter["energy_j"] -= 1e-9 * used_ns * device["power_w"]
    mine["ahead"] = mine["ahead_sent"] = mine["ahead_ns"] = 0
    return used_ns


@kernel
def count_draft(device: Any, counter: Any, drafted: int, sent: int, accepted: int, checked: bool) -> int:
    """Book a round's drafting and return its time. Wasted: what comes after the first rejected token, and
    what is dropped."""
    token_ns = token_time_ns(device, checked)
    draft_ns = drafted * token_ns
    counter["drafted"] += drafted
    counter["sent"] += sent
    counter["dropped"] += drafted - sent
    counter["draft_ns"] += draft_ns
    counter["waste_ns"] += (max(0, sent - accepted - 1) + drafted - sent) * token_ns
    counter["energy_j"] += 1e-9 * draft_ns * device["power_w"]
    return draft_ns


@kernel
def deliver(world: WorldArrays, state: State, d: int, tokens: int, horizon_ns: int) -> None:
    """Tokens reach a device: book them, then end the session, or begin the next round when the device is
    ready."""
    clock = state.clock[0]
    now_ns = clock["now_ns"]
    device, mine = world.devices[d], state.devices[d]
    row = mine["session"]
    g = device["group"]
    length = world.sessions[row]["length"]
    settle_device(clock, mine, world.sessions, state.outcomes, world.groups[g], now_ns, state.counters[g])
    done = account_delivery(
        mine, state.outcomes[row], length, world.groups[g], state.counters[g], state.tbt[g], tokens, now_ns
    )
    write_log(state.log, state.clock[0], LOG_DELIVER, d, row, tokens, mine["delivered"], 0, 0)
    if state.control[0]["drafter"] == UCB and mine["k"] == mine["cap"]:
        learn_round(state.bandit[d], mine["cap"], now_ns - mine["round_ns"], tokens)
    if done:
        note_behind(clock, mine, 0)
        next_session(world, state, d, now_ns, horizon_ns)
    elif state.control[0]["server_loop"] == 0:
        mine["last_k"], mine["last_accepted"] = mine["k"], mine["accepted"]
        if now_ns < mine["prefilled_ns"]:
            wait_until_ready(state, d, mine["prefilled_ns"], PREFILLING)
        elif now_ns < round_from_ns(world, state, d, mine["delivered"]):
            wait_until_ready(state, d, round_from_ns(world, state, d, mine["delivered"]), READING)
        else:
            become_ready(state, d)


@kernel
def wait_until_ready(state: State, d: int, time_ns: int, phase: int) -> None:
    """Let a session's next round begin at a time later than now."""
    state.devices[d]["phase"] = phase
    push_event(state.events, state.clock[0], time_ns, READY, d, 0)


@kernel
def round_from_ns(world: WorldArrays, state: State, d: int, tokens: int) -> int:
    """Return from when a session with so many tokens may begin a round: they must not lead the reader by
    more than the workload's lead. The reader takes token j at start + j / rate."""
    group = world.groups[world.devices[d]["group"]]
    start_ns = state.outcomes[state.devices[d]["session"]]["start_ns"]
    return start_ns + tokens * group["period_ns"] - group["lead_ns"]


@kernel
def ready(world: WorldArrays, state: State, d: int) -> None:
    """What a session waited for is there: its prompt is prefilled, or its reader has come closer."""
    now_ns = state.clock[0]["now_ns"]
    from_ns = round_from_ns(world, state, d, state.devices[d]["delivered"])
    if now_ns < from_ns:
        wait_until_ready(state, d, from_ns, READING)
    else:
        become_ready(state, d)


@kernel
def become_ready(state: State, d: int) -> None:
    """Line a device up to begin a round at this instant, in the order of device indices."""
    clock = state.clock[0]
    at = clock["ready"]
    clock["ready"] = at + 1
    ready: npt.NDArray[np.int64] = state.ready
    while at > 0 and ready[at - 1] > d:
        ready[at] = ready[at - 1]
        at -= 1
    ready[at] = d
    state.devices[d]["phase"] = DOWNLINK
