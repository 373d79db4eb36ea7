"""Tokens against their timeline: what was delivered, what fell due, what was on time.

Token j (from 1) of a session is due at start + allowance + j * period and on time if delivered by then. A
token is *settled* once its due time has passed; by then it is known for good whether it was on time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel
from wisp_gym.pipeline.state import BIN_NS, TBT_BINS
from wisp_gym.rules.select import NEVER

IntArray = npt.NDArray[np.int64]


@kernel
def tokens_due(group: Any, start_ns: int, length: int, now_ns: int) -> int:
    """Return how many tokens of a session have a due time before `now_ns`."""
    since = now_ns - start_ns - group["allowance_ns"]
    if since <= 0:
        return 0
    return min((since - 1) // group["period_ns"], length)


@kernel
def settle_session(group: Any, outcome: Any, length: int, now_ns: int, counter: Any) -> bool:
    """Settle a session's tokens due before `now_ns`; return whether all of them are settled now."""
    due = tokens_due(group, outcome["start_ns"], length, now_ns)
    settled = outcome["settled"]
    if due > settled:
        on_time = max(0, min(due, outcome["delivered"]) - settled)
        outcome["on_time"] += on_time
        outcome["settled"] = due
        counter["due"] += due - settled
        counter["due_on_time"] += on_time
    return due == length


@kernel
def settle_device(
    clock: Any, state: Any, sessions: Any, outcomes: Any, group: Any, now_ns: int, counter: Any
) -> None:
    """Settle every started session of a device up to `now_ns`.

    Nothing is to be done before the next due time of its tokens, which is kept.
    """
    if now_ns <= state["due_ns"]:
        return
    next_ns: Any = NEVER
    row = state["settle_from"]
    while row <= state["session"]:
        outcome = outcomes[row]
        done = settle_session(group, outcome, sessions[row]["length"], now_ns, counter)
        if not done:
            next_ns = min(next_ns, due_time_ns(group, outcome["start_ns"], outcome["settled"] + 1))
        elif row == state["settle_from"] and row < state["session"]:
            state["settle_from"] = row + 1
        row += 1
    state["due_ns"] = next_ns
    if state["session"] >= 0:
        outcome = outcomes[state["session"]]
        least = group["on_time_share"] * outcome["settled"]
        note_behind(clock, state, 1 if outcome["finished"] == 0 and outcome["on_time"] < least else 0)


@kernel
def due_time_ns(group: Any, start_ns: int, token: int) -> int:
    """Return when a session's token falls due."""
    return start_ns + group["allowance_ns"] + token * group["period_ns"]


@kernel
def note_behind(clock: Any, state: Any, behind: int) -> None:
    """Note whether a device's running session has fewer of its settled tokens on time than its class asks
    for."""
    clock["behind"] += behind - state["behind"]
    state["behind"] = behind


@kernel
def settle_all(
    clock: Any,
    devices: Any,
    states: Any,
    sessions: Any,
    outcomes: Any,
    groups: Any,
    counters: Any,
    now_ns: int,
) -> None:
    """Settle the whole fleet up to `now_ns`: counters `due` and `due_on_time` are exact there."""
    for d in range(len(devices)):
        g = devices[d]["group"]
        settle_device(clock, states[d], sessions, outcomes, groups[g], now_ns, counters[g])


@kernel
def count_gap(tbt: IntArray, gap_ns: int, tokens: int) -> None:
    """Count a delivery's time between tokens: the gap since the last delivery, shared evenly by its
    tokens."""
    at = min(gap_ns // tokens // BIN_NS, TBT_BINS - 1)
    tbt[at] += tokens


@kernel
def account_delivery(
    state: Any, outcome: Any, length: int, group: Any, counter: Any, tbt: IntArray, tokens: int, now_ns: int
) -> bool:
    """Book tokens that reach a device now; its sessions are settled up to now. Return whether the session
    is complete."""
    if outcome["first_ns"] < 0:
        outcome["first_ns"] = now_ns
    else:
        count_gap(tbt, now_ns - outcome["last_ns"], tokens)
    before = outcome["delivered"]
    due = tokens_due(group, outcome["start_ns"], length, now_ns)
    counter["delivered"] += tokens
    counter["delivered_on_time"] += before + tokens - min(max(due, before), before + tokens)
    outcome["delivered"] = before + tokens
    outcome["last_ns"] = now_ns
    state["delivered"] += tokens
    state["stall_ns"] = max(state["stall_ns"], now_ns - state["token_ns"])
    state["token_ns"] = now_ns
    if outcome["delivered"] < length:
        return False
    account_finish(outcome, length, group, counter, due)
    return True


@kernel
def account_finish(outcome: Any, length: int, group: Any, counter: Any, due: int) -> None:
    """Book a completed session: tokens not yet due are on time, as they are all there."""
    outcome["finished"] = 1
    counter["finished"] += 1
    on_time = outcome["on_time"] + length - outcome["settled"]
    if on_time >= group["on_time_share"] * length:
        counter["finished_on_time"] += 1
    if due < length:
        counter["last_on_time"] += 1
