"""Rounds of the drafters that know more than the signals say: the oracle's and the Bayesian one's."""

from __future__ import annotations

from typing import Any

from wisp_gym._jit import kernel
from wisp_gym.pipeline.state import State
from wisp_gym.rules.bayes import (
    OFF_MEAN,
    OFF_VAR,
    begin_belief,
    foresee,
    move_on,
    normal_density,
    observe,
    seen_logit,
)
from wisp_gym.rules.oracle import agreeing_run
from wisp_gym.world.types import WorldArrays


@kernel
def oracle_cap(world: WorldArrays, state: State, d: int) -> Any:
    """Return how many tokens the oracle drafts: the run of agreements ahead, at most its cap."""
    mine = state.devices[d]
    session = world.sessions[mine["session"]]
    most = min(mine["cap"], session["length"] - mine["committed"])
    return agreeing_run(world.accepts, session["offset"] + mine["committed"], most)


@kernel
def learn_round(world: WorldArrays, state: State, d: int) -> None:
    """Take what became of a device's last round into its belief, which then stands before the next position.

    A prompt counts as a round without a draft: the target filled the session's first position.
    """
    mine, belief, law = state.devices[d], state.belief[d], state.law
    k, accepted = mine["last_k"], mine["last_accepted"]
    at = mine["committed"] - accepted - 1
    if at == 0:
        begin_belief(belief, law)
    offset = world.sessions[mine["session"]]["offset"]
    for j in range(accepted + 1):
        if j < k:
            seen = seen_logit(state.scores[offset + at + j], law)
            observe(belief, law, seen, 1 if j < accepted else 0)
        move_on(belief, law)


@kernel
def draft_by_belief(
    world: WorldArrays, state: State, d: int, at: int, limit: int, least: float
) -> tuple[int, int, bool]:
    """Draft from stream position `at` while the next token is accepted with probability `least` or more.

    :return: tokens drafted; of them the leading run of agreements; False, as no token is a suspect
    """
    learn_round(world, state, d)
    law, belief = state.law, state.belief[len(state.devices)]
    for i in range(len(belief)):
        belief[i] = state.belief[d, i]
    drafted = 0
    accepted = 0
    on_path = True
    on, off = 1.0, 0.0  # P(all drafted so far agree), given the signals, and the rest
    while drafted < limit and on * foresee(belief, law) >= least:
        seen = seen_logit(state.scores[at + drafted] if on_path else state.off_scores[at + drafted], law)
        density, agrees = observe(belief, law, seen, 1)
        elsewhere = off * normal_density(seen - law[OFF_MEAN], law[OFF_VAR])
        on *= density / (on * density + elsewhere) * agrees
        off = 1.0 - on
        move_on(belief, law)
        on_path = on_path and world.accepts[at + drafted] == 1
        if on_path:
            accepted += 1
        drafted += 1
    return drafted, accepted, False
