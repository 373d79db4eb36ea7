"""One step of every row of a bank in one call of compiled code: act, run to the next decision, look."""

from __future__ import annotations

import math
from typing import Any

from wisp_gym._jit import kernel
from wisp_gym.envs.action import carry_out, keep_half
from wisp_gym.envs.bank import ACT, REST, RESUME, Bank, state_of, world_of
from wisp_gym.envs.observation import share_behind, update_memory, write_last_action, write_observation
from wisp_gym.envs.reward import named_reward, read_terms
from wisp_gym.pipeline.advance import ASK_SCHEDULER, DONE, FULL, GO_ON, advance
from wisp_gym.pipeline.state import State
from wisp_gym.world.types import WorldArrays


@kernel
def look(
    bank: Bank,
    i: int,
    world: WorldArrays,
    state: State,
    over: bool,
    settings: Any,
    obs: Any,
    terms: Any,
    out: Any,
) -> None:
    """Write what row i's step gave: observation, terms, reward, time passed.

    :param settings: SETTINGS record
    :param obs: the row's  # (SIZE,)
    :param terms: the row's  # (15,)
    :param out: the row's OUT record
    """
    row = bank.rows[i]
    memory, recent = bank.memory[i, 0], bank.recent[i]
    update_memory(world, state, memory, recent)
    now_ns = state.clock[0]["now_ns"]
    dt_s = 1e-9 * (now_ns - row["before_ns"])
    behind = share_behind(world, state)
    read_terms(state.counters, bank.before[i], row["demand_tps"], dt_s, behind, terms)
    write_observation(world, state, memory, recent, bank.sums, bank.least, obs)
    write_last_action(bank.taken[i], obs)
    row["before_ns"] = now_ns
    out["reward"] = named_reward(terms, settings["reward"])
    out["dt"], out["discount"] = dt_s, math.exp(-dt_s / settings["tau_s"])
    out["cost"], out["forced"], out["over"] = behind, row["forced"], 1 if over else 0


@kernel
def step_rows(
    bank: Bank,
    actions: Any,
    kept: Any,
    thresholds: Any,
    settings: Any,
    obs: Any,
    terms: Any,
    out: Any,
) -> int:
    """Carry out one action in every row that has something to do, and run it to its next decision.

    A row rests after its step; one that ran out of room for events or log waits to resume.

    :param actions: EdgeCloud-v0's  # (n, 8)
    :param kept: 1 where a component is the agent's  # (8,)
    :param thresholds: stop threshold by stop level  # (6,)
    :param settings: how long an action holds, the discount's time constant, the reward  # (1,) SETTINGS
    :param obs: filled  # (n, SIZE)
    :param terms: filled  # (n, 15)
    :param out: filled  # (n,) OUT
    :return: rows that have to resume
    """
    full = 0
    for i in range(len(bank.rows)):
        row = bank.rows[i]
        if row["todo"] == REST:
            continue
        world, state, taken = world_of(bank, i), state_of(bank, i), bank.taken[i]
        asked = row["todo"] == ACT and row["idle"] == 0
        if row["todo"] == ACT:
            keep_half(actions[i], kept, taken)
            row["forced"] = 0
        code = DONE
        while True:
            answer = GO_ON
            if asked:
                answer, forced = carry_out(state, world.server[0], thresholds, taken)
                row["forced"] = 1 if forced else row["forced"]
            code = advance(world, state, row["horizon_ns"], row["horizon_ns"], answer)
            asked = code == ASK_SCHEDULER
            if not asked or state.clock[0]["now_ns"] - row["before_ns"] >= settings[0]["hold_ns"]:
                break
        if code == FULL:
            row["todo"] = RESUME
            full += 1
            continue
        row["todo"] = REST
        look(bank, i, world, state, code == DONE, settings[0], obs[i], terms[i], out[i])
    return full


@kernel
def observe_row(bank: Bank, i: int, obs: Any) -> None:
    """Write row i's observation as it stands.  `obs` is the row's  # (SIZE,)"""
    world, state = world_of(bank, i), state_of(bank, i)
    write_observation(world, state, bank.memory[i, 0], bank.recent[i], bank.sums, bank.least, obs)
    write_last_action(bank.taken[i], obs)
