"""KV memory: who holds how many tokens, and who is evicted when a pass needs room."""

from __future__ import annotations

from wisp_gym._jit import kernel
from wisp_gym.pipeline.log import LOG_EVICT, write_log
from wisp_gym.pipeline.queue import refresh_cost
from wisp_gym.pipeline.state import QUEUED, VERIFYING, State
from wisp_gym.rules.control import CONTINUOUS
from wisp_gym.world.types import WorldArrays


@kernel
def hold(state: State, d: int, tokens: int) -> None:
    """Let a device's session hold this many KV tokens from now on."""
    clock, mine, totals = state.clock[0], state.devices[d], state.totals[0]
    now_ns = clock["now_ns"]
    totals["kv_ns"] += float(clock["kv_used"]) * (now_ns - totals["kv_since_ns"])
    totals["kv_since_ns"] = now_ns
    clock["kv_used"] += tokens - mine["held"]
    if mine["held"] == 0 and tokens > 0:
        become_holder(state, d)
    elif mine["held"] > 0 and tokens == 0:
        stop_holding(state, d)
    mine["held"] = tokens


@kernel
def become_holder(state: State, d: int) -> None:
    """List a device among those that hold memory, so that a victim is found without asking all others."""
    clock = state.clock[0]
    state.holders[clock["holding"]] = d
    state.devices[d]["holder"] = clock["holding"]
    clock["holding"] += 1


@kernel
def stop_holding(state: State, d: int) -> None:
    """Take a device off that list; the last one gets its place."""
    clock = state.clock[0]
    clock["holding"] -= 1
    last, place = state.holders[clock["holding"]], state.devices[d]["holder"]
    state.holders[place] = last
    state.devices[last]["holder"] = place


@kernel
def evict(world: WorldArrays, state: State, d: int) -> None:
    """Take a session's KV memory away: it is cold from now on."""
    mine = state.devices[d]
    write_log(state.log, state.clock[0], LOG_EVICT, d, mine["session"], mine["held"], 0, 0, 0)
    hold(state, d, 0)
    mine["cached"] = 0
    mine["admitted_ns"] = -1
    state.totals[0]["evictions"] += 1
    if mine["phase"] == QUEUED:
        state.requests[d]["admitted_ns"] = -1
        refresh_cost(state.requests[d], 0, 0, world.server[0], state)


@kernel
def next_victim(state: State, youngest: bool) -> int:
    """Return the session outside the pass to evict: the least recently used, or the last admitted; ties to
    the lower index.

    Continuous batching gives up its youngest session, as the least recently served is the one whose turn
    is next.
    """
    victim = -1
    best = 0
    for i in range(state.clock[0]["holding"]):
        d = state.holders[i]
        mine = state.devices[d]
        if mine["phase"] == VERIFYING:
            continue
        age = -mine["admitted_ns"] if youngest else mine["served_ns"]
        if victim < 0 or age < best or (age == best and d < victim):
            victim, best = d, age
    return victim


@kernel
def make_room(world: WorldArrays, state: State) -> None:
    """Reserve memory for the members of the pass being started, evicting sessions outside it while it does
    not fit."""
    clock = state.clock[0]
    needed = clock["kv_used"]
    for i in range(clock["batch_size"]):
        d = state.batch[i]
        needed += state.requests[d]["reserve"] - state.devices[d]["held"]
    youngest = state.control[0]["scheduler"] == CONTINUOUS
    while needed > world.server[0]["kv_tokens"]:
        victim = next_victim(state, youngest)
        needed -= state.devices[victim]["held"]
        evict(world, state, victim)
    for i in range(clock["batch_size"]):
        hold(state, state.batch[i], state.requests[state.batch[i]]["reserve"])
