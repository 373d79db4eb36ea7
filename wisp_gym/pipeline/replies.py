"""What the server tells a device with a result: how to draft its next round.

A reply's message is decided when its pass starts, from what the server knows then, and reaches the device
with the tokens. Drafters that decide on the device or beforehand send none.
"""

from __future__ import annotations

from wisp_gym._jit import kernel
from wisp_gym.pipeline.state import State
from wisp_gym.rules.control import COMMANDED, GOODPUT, TABLE
from wisp_gym.rules.goodput import KEPT, best_length
from wisp_gym.rules.table import table_length
from wisp_gym.world.types import GROUPS


@kernel
def decide_replies(state: State) -> bool:
    """Decide what the replies of the pass over `state.batch[:pack.members]` carry; return whether they carry
    anything.

    A command's caps and thresholds by class are in `state` already; a drafter that decides on the server
    writes one length for all.
    """
    drafter = state.control[0]["drafter"]
    if drafter == COMMANDED:
        return True
    if drafter != TABLE and drafter != GOODPUT:
        return False
    members = state.pack[0]["members"]
    if drafter == TABLE:
        length = table_length(state.table, members)
    else:
        length = expected_best(state, members)
    for g in range(GROUPS):
        state.caps[g] = length
    return True


@kernel
def expected_best(state: State, members: int) -> int:
    """Return the draft length from which the goodput rule expects most, were these members to come again."""
    context = 0
    for i in range(members):
        context += state.requests[state.batch[i]]["context"]
    clock = state.clock[0]
    acceptance = clock["agreed"] / clock["judged"]
    return best_length(acceptance, members, context, state.estimator, state.control[0]["longest"])


@kernel
def write_reply(state: State, d: int) -> None:
    """Put the message into the reply to device d, which is to read it with the result."""
    mine, group = state.devices[d], state.requests[d]["group"]
    mine["cap"] = state.caps[group]
    mine["threshold"] = state.thresholds[group]


@kernel
def count_agreement(state: State, k: int, accepted: int) -> None:
    """Let the goodput rule's moving acceptance learn from a verified round.

    Tokens after the first mismatch say nothing, so a round that is cut short tells of accepted + 1 tokens.
    """
    clock = state.clock[0]
    if state.control[0]["drafter"] == GOODPUT and k > 0:
        clock["agreed"] = KEPT * clock["agreed"] + accepted
        clock["judged"] = KEPT * clock["judged"] + min(accepted + 1, k)
