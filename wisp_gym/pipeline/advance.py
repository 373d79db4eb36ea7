"""The compiled kernel: run the pipeline until a time, or until a decision is Python's to make."""

from __future__ import annotations

from wisp_gym._jit import kernel
from wisp_gym.pipeline.ahead import end_waiting, receive_again, start_waiting, time_out
from wisp_gym.pipeline.device import begin_round, deliver, ready, round_limit, start_session
from wisp_gym.pipeline.events import ARRIVAL, DELIVERY, READY, event_device, event_kind, pop_event
from wisp_gym.pipeline.log import LOG_WAIT, write_log
from wisp_gym.pipeline.queue import enqueue
from wisp_gym.pipeline.state import State
from wisp_gym.pipeline.verify import begin_on_server, end_pass, start_pass
from wisp_gym.rules.control import ASKED_DRAFTER
from wisp_gym.rules.select import NEVER, clear_pack, fits, join, select_members
from wisp_gym.world.types import WorldArrays

# What `advance` returns
DONE = 0  # the time is reached
ASK_SCHEDULER = 1  # a dispatch is to be decided
ASK_DRAFTER = 2  # the first device in `state.ready` begins a round
FULL = 3  # events or log need more room, or a session its token stream

# What the caller answers with
GO_ON = 0  # nothing was asked
BY_RULE = 1  # the compiled rule in `state.control` decides this dispatch
BY_PICKS = 2  # the devices in `state.picks`, up to the first -1, in this order
BY_WAITING = 3  # wait until `clock.wake_ns`
DRAFT = 4  # cap in `state.picks[0]`, threshold in `state.rank[0]`


@kernel
def lay_out(world: WorldArrays, state: State, horizon_ns: int) -> None:
    """Start every session whose start is given: the first of each device."""
    for d in range(len(world.devices)):
        device = world.devices[d]
        state.devices[d]["cap"] = state.caps[device["group"]]
        state.devices[d]["threshold"] = state.thresholds[device["group"]]
        if device["sessions"] > 0:
            start_ns = world.sessions[device["first_session"]]["start_ns"]
            if start_ns < horizon_ns:
                start_session(world, state, d, device["first_session"], start_ns)


@kernel
def next_time(state: State) -> int:
    """Return the time of the next event: heap, GPU free, or the scheduler's timer."""
    clock = state.clock[0]
    time_ns = state.events[0, 0] if clock["events"] > 0 else NEVER
    if clock["busy"] == 1:
        time_ns = min(time_ns, clock["pass_end_ns"])
    return min(time_ns, clock["wake_ns"])


@kernel
def apply_events(world: WorldArrays, state: State, horizon_ns: int) -> None:
    """Apply all events of this instant, in order: deliveries, devices ready, arrivals, time-outs, GPU free,
    timer."""
    clock = state.clock[0]
    now_ns = clock["now_ns"]
    active = waits_actively(state)
    while clock["events"] > 0 and state.events[0, 0] == now_ns:
        kind, d, tokens = event_kind(state.events[0, 1]), event_device(state.events[0, 1]), state.events[0, 2]
        pop_event(state.events, clock)
        if kind == DELIVERY:
            if active:
                end_waiting(world, state, d)
            deliver(world, state, d, tokens, horizon_ns)
        elif kind == ARRIVAL:
            if tokens == 0:
                enqueue(world, state, d)
            else:
                receive_again(world, state, d, tokens)
        elif kind == READY:
            if state.control[0]["server_loop"] == 1:
                begin_on_server(world, state, d)
            else:
                ready(world, state, d)
        else:
            time_out(world, state, d)
    if clock["busy"] == 1 and clock["pass_end_ns"] == now_ns:
        end_pass(world, state)
    if clock["wake_ns"] == now_ns:
        clock["wake_ns"] = NEVER
        clock["ask"] = 1


@kernel
def leave_ready(state: State) -> int:
    """Take the first device out of those about to begin a round."""
    clock = state.clock[0]
    d = state.ready[0]
    clock["ready"] -= 1
    for i in range(clock["ready"]):
        state.ready[i] = state.ready[i + 1]
    return d


@kernel
def waits_actively(state: State) -> bool:
    """Return whether devices draft ahead or ask again while they wait for an answer."""
    control = state.control[0]
    return control["ahead"] == 1 or control["timeout_ns"] > 0


@kernel
def begin_rounds(world: WorldArrays, state: State) -> None:
    """Begin the rounds of all ready devices under a compiled drafter."""
    clock = state.clock[0]
    active = waits_actively(state)
    for i in range(clock["ready"]):
        d = state.ready[i]
        cap, threshold = round_limit(world, state, d)
        begin_round(world, state, d, cap, threshold)
        if active:
            start_waiting(state, d)
    clock["ready"] = 0


@kernel
def wait_until(state: State, wake_ns: int) -> None:
    """The scheduler waits: it is asked again at `wake_ns` or at the next arrival."""
    clock = state.clock[0]
    if clock["waits"] == 0:
        clock["wait_since_ns"] = clock["now_ns"]
    clock["waits"] += 1
    clock["wake_ns"] = wake_ns
    write_log(state.log, clock, LOG_WAIT, -1, -1, wake_ns, 0, 0, 0)


@kernel
def dispatch_by_rule(world: WorldArrays, state: State) -> None:
    """Let the compiled rule start a pass or wait."""
    clock = state.clock[0]
    wake_ns = select_members(
        state.requests,
        state.waiting,
        clock["waiting"],
        state.control[0],
        world.server[0],
        state.estimator,
        clock["now_ns"],
        clock["batch_no"],
        clock["kv_used"],
        state.pack[0],
        state.heap,
        state.phase,
        state.rank,
        state.batch,
    )
    if wake_ns >= 0:
        wait_until(state, wake_ns)
    else:
        start_pass(world, state)


@kernel
def dispatch_picks(world: WorldArrays, state: State) -> None:
    """Start a pass over the picked devices, in their order, skipping those that do not fit."""
    clock, control, pack = state.clock[0], state.control[0], state.pack[0]
    clear_pack(pack)
    i = 0
    while i < len(state.picks) and state.picks[i] >= 0 and pack["members"] < control["max_requests"]:
        request = state.requests[state.picks[i]]
        if fits(pack, request, control, world.server[0], clock["kv_used"]):
            join(pack, request, control, clock["now_ns"], state.batch)
        i += 1
    start_pass(world, state)


@kernel
def answer_scheduler(world: WorldArrays, state: State, answer: int) -> None:
    """Carry out a dispatch decision."""
    clock = state.clock[0]
    clock["ask"] = 0
    clock["wake_ns"] = NEVER if answer != BY_WAITING else clock["wake_ns"]
    if answer == BY_RULE:
        dispatch_by_rule(world, state)
    elif answer == BY_PICKS:
        dispatch_picks(world, state)
    else:
        wait_until(state, clock["wake_ns"])


@kernel
def room_left(state: State) -> bool:
    """Return whether events and log can take one more instant's worth, and every session under way has its
    token stream."""
    clock = state.clock[0]
    if clock["dry"] == 1:
        return False
    devices = len(state.devices)
    pushed = 3 * devices if state.control[0]["timeout_ns"] > 0 else devices
    if clock["events"] + pushed + len(state.batch) + 8 > len(state.events):
        return False
    return clock["log_on"] == 0 or clock["logged"] + 8 * devices + 64 < len(state.log)


@kernel
def advance(world: WorldArrays, state: State, until_ns: int, horizon_ns: int, answer: int) -> int:
    """Run until `until_ns` (events at that time stay), or until Python is asked, or until room is short.

    :param world: what was drawn; :param state: changed in place
    :param horizon_ns: sessions that would start at or after it do not
    :param answer: to what the last call asked, GO_ON when it asked nothing
    :return: DONE, ASK_SCHEDULER, ASK_DRAFTER or FULL
    """
    clock, control = state.clock[0], state.control[0]
    if answer == DRAFT:
        begin_round(world, state, leave_ready(state), state.picks[0], state.rank[0])
    elif answer != GO_ON:
        answer_scheduler(world, state, answer)
    while True:
        if not room_left(state):
            return FULL
        if clock["ready"] > 0:
            if control["drafter"] == ASKED_DRAFTER:
                return ASK_DRAFTER
            begin_rounds(world, state)
        time_ns = next_time(state)
        if time_ns > clock["now_ns"]:
            if clock["ask"] == 1 and clock["busy"] == 0 and clock["waiting"] > 0:
                if control["asked"] == 1:
                    return ASK_SCHEDULER
                answer_scheduler(world, state, BY_RULE)
                continue
            clock["ask"] = 0
            if time_ns >= until_ns:
                clock["now_ns"] = until_ns
                return DONE
            clock["now_ns"] = time_ns
        apply_events(world, state, horizon_ns)
