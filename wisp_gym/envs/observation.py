"""What the agent sees: a summary of what the server knows, of one size for every scenario and number of
devices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel
from wisp_gym.envs.action import SIZES, wisp_action
from wisp_gym.envs.features import ACTION_AT, GROUP_SIZE, SERVER_AT, SIZE
from wisp_gym.pipeline.accounting import settle_all
from wisp_gym.pipeline.simulation import Simulation
from wisp_gym.pipeline.state import IDLE, QUEUED, UPLINK, State
from wisp_gym.rules.wisp import is_late
from wisp_gym.world.types import GROUPS, WorldArrays

RECENT_S = 10.0
"""Time constant of the recent averages."""

SUMS = 11
"""What is added up for each class, see `add_device`."""

_SCALE = np.array(SIZES, np.float32) - np.float32(1)

MEMORY = np.dtype(
    [
        ("seen_ns", "i8"),  # up to when the averages are
        ("passes", "i8"),
        ("busy_ns", "f8"),  # of the running sum
        ("busy", "f8"),  # recent sums, all decaying with RECENT_S
        ("time", "f8"),
    ]
)
RECENT = np.dtype(
    [
        ("accepted_before", "f8"),
        ("verified_before", "f8"),
        ("on_time_before", "f8"),
        ("committed_before", "f8"),
        ("accepted", "f8"),
        ("verified", "f8"),
        ("on_time", "f8"),
        ("committed", "f8"),
    ]
)


@kernel
def decay_into(recent: Any, counter: Any, keep: float) -> None:
    """Move one class's recent sums on by what was counted since the last time."""
    recent["accepted"] = keep * recent["accepted"] + counter["accepted"] - recent["accepted_before"]
    recent["verified"] = keep * recent["verified"] + counter["verified"] - recent["verified_before"]
    recent["on_time"] = keep * recent["on_time"] + counter["forecast_on_time"] - recent["on_time_before"]
    recent["committed"] = keep * recent["committed"] + counter["committed"] - recent["committed_before"]
    recent["accepted_before"], recent["verified_before"] = counter["accepted"], counter["verified"]
    recent["on_time_before"] = counter["forecast_on_time"]
    recent["committed_before"] = counter["committed"]


@kernel
def update_memory(world: WorldArrays, state: State, memory: Any, recent: Any) -> None:
    """Settle the fleet up to now and move the recent averages on."""
    clock, totals = state.clock[0], state.totals[0]
    now_ns = clock["now_ns"]
    settle_all(
        clock,
        world.devices,
        state.devices,
        world.sessions,
        state.outcomes,
        world.groups,
        state.counters,
        now_ns,
    )
    elapsed = 1e-9 * (now_ns - memory["seen_ns"])
    keep = math.exp(-elapsed / RECENT_S)
    for g in range(GROUPS):
        decay_into(recent[g], state.counters[g], keep)
    memory["busy"] = keep * memory["busy"] + 1e-9 * (totals["busy_ns"] - memory["busy_ns"])
    memory["time"] = keep * memory["time"] + elapsed
    memory["busy_ns"] = totals["busy_ns"]
    memory["seen_ns"] = now_ns


@kernel
def share(part: float, whole: float) -> float:
    """Return part / whole between 0 and 1, 0 when there is no whole."""
    return min(max(part / whole, 0.0), 1.0) if whole > 0.0 else 0.0


@kernel
def squash(count: float, half: float) -> float:
    """Return count / (count + half)."""
    return count / (count + half)


@kernel
def fleet_size(world: WorldArrays) -> float:
    """Return the number of devices; of an arrival profile, its nominal sessions at the peak."""
    size = 0.0
    for g in range(GROUPS):
        size += world.groups[g]["devices"]
    return size


@kernel
def add_device(world: WorldArrays, state: State, d: int, sums: Any, least: Any) -> None:
    """Add what the server knows of one device to its class's sums (columns below)."""
    mine, g = state.devices[d], world.devices[d]["group"]
    if mine["phase"] == IDLE or mine["session"] < 0:
        return
    if mine["committed"] == 0 and mine["phase"] == UPLINK:
        return  # the server has not heard of this session
    if mine["committed"] >= world.sessions[mine["session"]]["length"]:
        return  # complete, and only its last tokens are on their way
    now_ns = state.clock[0]["now_ns"]
    group = world.groups[g]
    sums[g, 0] += 1.0
    start_ns = state.outcomes[mine["session"]]["start_ns"]
    due_ns = start_ns + group["allowance_ns"] + (mine["committed"] + 1) * group["period_ns"]
    lead_s = 1e-9 * (due_ns - now_ns - world.devices[d]["back_ns"])
    sums[g, 1] += lead_s
    if lead_s < 0.0:
        sums[g, 2] += 1.0
    if mine["phase"] != QUEUED:
        sums[g, 3] += 1.0
        sums[g, 4] += min(mine["cap"], 32)
        return
    request = state.requests[d]
    slack_s = 1e-9 * (request["deadline_ns"] - request["alone_ns"] - now_ns)
    sums[g, 5] += 1.0
    sums[g, 6] += slack_s
    least[g] = min(least[g], slack_s)
    sums[g, 7] += request["k"]
    sums[g, 8] += 1.0 if request["cached"] == 0 else 0.0
    sums[g, 9] += 1.0 if is_late(request, now_ns) else 0.0
    sums[g, 10] += request["take"]


@kernel
def write_group(
    world: WorldArrays, state: State, g: int, sums: Any, least: Any, recent: Any, obs: Any
) -> None:
    """Write one class's entries, in the order of features.GROUP_ENTRIES."""
    group = world.groups[g]
    devices = float(group["devices"])
    if devices == 0.0:
        return
    active, queued, away = sums[g, 0], sums[g, 5], sums[g, 3]
    row = obs[g * GROUP_SIZE : (g + 1) * GROUP_SIZE]
    row[0] = share(devices, fleet_size(world))
    row[1] = min(group["rate_tps"] / 10.0, 2.0)
    row[2] = share(active, devices)
    row[3] = share(queued, devices)
    row[4] = share(away, devices)
    row[5] = share(sums[g, 8], queued)
    row[6] = share(sums[g, 9], queued)
    row[7] = min(sums[g, 7] / queued / 8.0, 4.0) if queued > 0.0 else 0.0
    row[8] = math.tanh(sums[g, 6] / queued) if queued > 0.0 else 0.0
    row[9] = math.tanh(least[g]) if queued > 0.0 else 0.0
    row[10] = math.tanh(sums[g, 1] / active) if active > 0.0 else 0.0
    row[11] = share(sums[g, 2], active)
    row[12] = min(sums[g, 4] / away / 8.0, 4.0) if away > 0.0 else 0.0
    row[13] = share(recent[g]["accepted"], recent[g]["verified"])
    row[14] = share(recent[g]["on_time"], recent[g]["committed"])
    demand = devices * group["rate_tps"] * RECENT_S
    row[15] = min(recent[g]["committed"] / demand, 2.0)
    row[16] = math.tanh(1e-9 * (state.clock[0]["now_ns"] - state.reports[g]))


@kernel
def write_server(world: WorldArrays, state: State, memory: Any, sums: Any, obs: Any) -> None:
    """Write the server's entries, in the order of features.SERVER_ENTRIES."""
    clock, server = state.clock[0], world.server[0]
    limit = float(server["max_batch"])
    tokens, away, load = 0.0, 0.0, 0.0
    for g in range(GROUPS):
        tokens += sums[g, 10]
        away += sums[g, 3]
        load += world.groups[g]["devices"] * world.groups[g]["rate_tps"]
    row = obs[SERVER_AT:ACTION_AT]
    row[0] = squash(clock["waiting"], limit)
    row[1] = squash(tokens, 256.0)
    row[2] = squash(away, limit)
    row[3] = share(clock["kv_used"], server["kv_tokens"])
    waited_s = 1e-9 * (clock["now_ns"] - clock["wait_since_ns"]) if clock["waits"] > 0 else 0.0
    row[4] = min(waited_s / 0.05, 2.0)
    row[5] = share(clock["batch_size"], limit)
    row[6] = min(1e-9 * (clock["pass_end_ns"] - clock["pass_start_ns"]) / 0.1, 4.0)
    row[7] = share(memory["busy"], memory["time"])
    row[8] = squash(limit, 16.0)
    row[9] = min(1e-9 * (world.pass_ns[1] + server["base_ns"]) / 0.1, 4.0)
    row[10] = min(load / 1000.0, 4.0)
    row[11] = squash(fleet_size(world), 64.0)


@kernel
def write_observation(
    world: WorldArrays, state: State, memory: Any, recent: Any, sums: Any, least: Any, obs: Any
) -> None:
    """Write all entries but the last action.  `sums` (4, 11) and `least` (4,) are workspace."""
    sums[:] = 0.0
    least[:] = 1.0e9
    obs[:] = 0.0
    for d in range(len(world.devices)):
        add_device(world, state, d, sums, least)
    for g in range(GROUPS):
        write_group(world, state, g, sums, least, recent, obs)
    write_server(world, state, memory, sums, obs)


@kernel
def write_last_action(taken: Any, obs: Any) -> None:
    """Write the last action over its greatest value.  `taken` (8,), `obs` (SIZE,)"""
    for i in range(len(_SCALE)):
        obs[ACTION_AT + i] = np.float32(taken[i]) / _SCALE[i]


@kernel
def share_behind(world: WorldArrays, state: State) -> float:
    """Return the share of devices whose running session has fewer of its settled tokens on time than its
    class asks for."""
    return share(state.clock[0]["behind"], fleet_size(world))


class Observer:
    """Watches one simulation from decision to decision.

    :param simulation: what to watch
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.memory: npt.NDArray[Any] = np.zeros(1, MEMORY)
        self.recent: npt.NDArray[Any] = np.zeros(GROUPS, RECENT)
        self.last = wisp_action()
        self._sums = np.zeros((GROUPS, SUMS))
        self._least = np.zeros(GROUPS)

    def update(self) -> None:
        """Settle all tokens due before now and move the recent averages on."""
        simulation = self.simulation
        update_memory(simulation.world.arrays, simulation.state, self.memory[0], self.recent)

    def remember(self, action: npt.NDArray[np.int64]) -> None:
        """Keep the action just taken; the next observation holds it."""
        self.last = action

    def observe(self) -> npt.NDArray[np.float32]:
        """Return the observation now, entries as listed in features.py.  # (SIZE,)"""
        obs = np.empty(SIZE, np.float32)
        world, state = self.simulation.world.arrays, self.simulation.state
        write_observation(world, state, self.memory[0], self.recent, self._sums, self._least, obs)
        write_last_action(self.last, obs)
        return obs
