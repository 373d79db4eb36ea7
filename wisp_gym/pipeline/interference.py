"""Verification interference (VI): how much a pass's other members delay each one.

raw:   T(batch) - T({i}), what sharing the pass costs at all
mix:   T(batch) - T(as many copies of i), not below 0: what unlike members cost, without noise
queue: time waited behind a running pass's mix excess, which is its last part: what its heaviest member
adds for its lightest
"""

from __future__ import annotations

from wisp_gym._jit import kernel
from wisp_gym.pipeline.state import State
from wisp_gym.world.server import attention_pairs, pass_time_ns
from wisp_gym.world.types import WorldArrays


@kernel
def measure_interference(world: WorldArrays, state: State, batch_ns: float) -> float:
    """Book raw and mix interference of the pass that starts, and return its mix excess, ns.

    :param batch_ns: the pass's noise-free time
    """
    server, members = world.server[0], state.pack[0]["members"]
    excess = 0.0
    for i in range(members):
        request = state.requests[state.batch[i]]
        take, cached = request["take"], request["cached"]
        pairs = attention_pairs(take, cached)
        alone = pass_time_ns(server, world.pass_ns, take, cached, pairs, 1)
        copies = pass_time_ns(
            server, world.pass_ns, members * take, members * cached, members * pairs, members
        )
        mix = max(0.0, batch_ns - copies)
        counter = state.counters[request["group"]]
        counter["vi_raw_ns"] += batch_ns - alone
        counter["vi_mix_ns"] += mix
        excess = max(excess, mix)
    return excess


@kernel
def count_queue_interference(state: State) -> None:
    """Book, as a pass ends, what each waiting request has waited of the pass's mix excess."""
    clock = state.clock[0]
    excess = clock["pass_excess_ns"]
    if excess <= 0.0:
        return
    for i in range(clock["waiting"]):
        d = state.waiting[i]
        waited = float(clock["now_ns"] - state.devices[d]["queued_ns"])
        state.counters[state.requests[d]["group"]]["vi_queue_ns"] += min(waited, excess)
