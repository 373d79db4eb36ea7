"""Invariants of a finished run, read off its event log and its world: each raises where one is broken.

What they read is what the log says and what the world's tables say; nothing is asked of the kernel but its
counters, which are compared. Conditions are in each check: one that does not apply passes.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable

import numpy as np
from core import (
    Row,
    agreements,
    is_checked,
    link_ns,
    requests,
    round_from_ns,
    rows,
    server_loop,
    whole_output,
)

from wisp_gym.pipeline import SchedulerRule, Simulation
from wisp_gym.pipeline.state import COUNTER

NEVER_NS = 2**62


def by_rules(sim: Simulation) -> bool:
    """Say whether a compiled scheduler decides, and not an agent."""
    return isinstance(sim.policy.scheduler, SchedulerRule)


def padded(sim: Simulation) -> bool:
    """Say whether the drafts of a pass are padded to the longest."""
    scheduler = sim.policy.scheduler
    return isinstance(scheduler, SchedulerRule) and scheduler.padded


def drafted_in_log(sim: Simulation) -> int:
    """Return the tokens drafted: by rounds, less what they had from drafting ahead, and ahead."""
    total = 0
    kept: dict[int, int] = defaultdict(int)
    for row in rows(sim, "draft", "retry", "ahead"):
        if row.kind == "ahead":
            kept[row.device] = max(0, row.c)
        elif row.kind == "draft":
            total -= min(row.a, kept.pop(row.device, 0))
        total += row.a if row.kind == "draft" else row.b
    return total


def check_tokens_are_conserved(sim: Simulation) -> None:
    """drafted + resent = sent + dropped + discarded + kept for the next draft at the end; sent = verified +
    superseded + in flight; verified = accepted + rejected; committed = accepted + verified rounds."""
    total = {name: int(sim.state.counters[name].sum()) for name in COUNTER.names or ()}
    all_requests = requests(sim)
    verified = [request for request in all_requests if request.accepted >= 0]
    in_flight = sum(request.k for request in all_requests if request.accepted < 0)
    retries, void = rows(sim, "retry"), rows(sim, "supersede")
    arrived = defaultdict(int)
    for row in void:
        arrived[row.device] += 1
    for row in retries:  # repeated requests that have not arrived
        arrived[row.device] -= 1
        in_flight += row.a if arrived[row.device] < 0 else 0
    kept = int((sim.state.devices["ahead"] - sim.state.devices["ahead_sent"]).sum())
    assert total["drafted"] == drafted_in_log(sim)
    assert total["sent"] == sum(row.b for row in rows(sim, "draft")) + sum(row.a for row in retries)
    assert total["superseded"] == sum(row.a for row in void)
    assert total["drafted"] + total["resent"] == (
        total["sent"] + total["dropped"] + total["discarded"] + kept
    )
    assert total["verified"] == sum(request.k for request in verified)
    assert total["sent"] == total["verified"] + total["superseded"] + in_flight
    assert total["accepted"] == sum(request.accepted for request in verified)
    assert total["verified"] == total["accepted"] + total["rejected"]
    assert total["rounds"] == len(verified)
    assert total["committed"] == total["accepted"] + total["rounds"]
    assert total["resent"] == 0 or retries


def check_rounds_accept_the_leading_run(sim: Simulation) -> None:
    """A round of k from a position accepts the agreements there up to the first mismatch; k leaves the last
    token to the target."""
    for request in requests(sim):
        length = int(sim.world.arrays.sessions[request.session]["length"])
        assert request.k == 0 or request.k <= length - request.committed - 1
        if request.accepted >= 0:
            assert request.accepted == agreements(sim.world, request.session, request.committed, request.k)


def check_finished_sessions_deliver_their_length(sim: Simulation) -> None:
    """What is delivered was committed before; a session is finished when its length is delivered."""
    delivered: dict[int, int] = defaultdict(int)
    committed: dict[int, int] = defaultdict(int)
    for row in rows(sim, "verify", "deliver"):
        if row.kind == "verify":
            committed[row.session] += row.b + 1
            assert row.c == committed[row.session]
        else:
            delivered[row.session] += row.a
            assert row.b == delivered[row.session] <= committed[row.session]
    sessions, outcomes = sim.world.arrays.sessions, sim.state.outcomes
    for session in range(len(sessions)):
        assert committed[session] <= sessions[session]["length"]
        assert outcomes[session]["delivered"] == delivered[session]
        assert (outcomes[session]["finished"] == 1) == (delivered[session] == sessions[session]["length"])


def check_sessions_start_when_they_should(sim: Simulation) -> None:
    """The first of a device at its given start; the next after the last delivery and the reading, and a
    pause; none at or after the horizon."""
    sessions, devices = sim.world.arrays.sessions, sim.world.arrays.devices
    begun: dict[int, Row] = {}
    ended: dict[int, int] = {}
    for row in rows(sim, "start", "deliver"):
        if row.kind == "deliver":
            if row.b == sessions[row.session]["length"]:
                ended[row.session] = row.time
            continue
        session = sessions[row.session]
        assert (row.device, row.b, row.c) == (session["device"], session["prompt"], session["length"])
        begun[row.session] = row
    for d in range(len(devices)):
        first, count = int(devices[d]["first_session"]), int(devices[d]["sessions"])
        for session in range(first, first + count):
            if session == first:
                due = int(sessions[session]["start_ns"])
            elif session - 1 in ended:
                read = -int(sim.world.arrays.groups[devices[d]["group"]]["lead_ns"])
                read = (
                    round_from_ns(sim.world, session - 1, begun[session - 1].a, begun[session - 1].c) - read
                )
                due = max(ended[session - 1], read) + int(sessions[session - 1]["think_ns"])
            else:
                due = sim.world.horizon_ns
            assert (session in begun) == (due < sim.world.horizon_ns)
            assert session not in begun or begun[session].a == due


def check_downlinks(sim: Simulation) -> None:
    """A result takes its slot's delay, first in, first out."""
    sent: dict[int, list[int]] = defaultdict(list)
    last: dict[int, int] = defaultdict(int)
    for row in rows(sim, "verify", "deliver"):
        if row.kind == "verify":
            sent[row.device].append(row.time)
        else:
            at = sent[row.device].pop(0)
            last[row.device] = max(at + link_ns(sim.world, row.device, at, up=False), last[row.device])
            assert row.time == last[row.device]
    for device, times in sent.items():  # still on the way
        for at in times:
            assert max(at + link_ns(sim.world, device, at, up=False), last[device]) >= sim.now_ns


def check_rounds_begin_when_they_may(sim: Simulation) -> None:
    """On a device: when the last result is there, the prompt is prefilled, and the reader close enough; and
    then at once. A drafter that calls a network at every token does so in every round."""
    if server_loop(sim.policy):
        return
    devices, sessions = sim.world.arrays.devices, sim.world.arrays.sessions
    starts: dict[int, int] = {}
    ready: dict[int, tuple[int, int]] = {}  # by device: session, from when its next round may begin
    for row in rows(sim, "start", "deliver", "draft"):
        if row.kind == "start":
            starts[row.session] = row.a
        elif row.kind == "draft":
            assert ready.pop(row.device) == (row.session, row.time)
            assert not by_rules(sim) or (row.c == 1) == is_checked(sim.policy)
        elif row.b < sessions[row.session]["length"]:
            start = starts[row.session]
            prefilled = start + int(sessions[row.session]["prompt"] * devices[row.device]["prefill_ns"])
            from_ns = round_from_ns(sim.world, row.session, start, row.b)
            ready[row.device] = row.session, max(row.time, prefilled, from_ns)
    assert all(time >= sim.now_ns for _, time in ready.values())


def check_time_and_passes(sim: Simulation) -> None:
    """Time never runs backwards; passes are numbered and do not overlap; results come at their ends."""
    assert (np.diff(sim.events[:, 0]) >= 0).all()
    passes = rows(sim, "pass")
    assert [row.a for row in passes] == list(range(len(passes)))
    assert all(row.c > row.time for row in passes)
    assert all(after.time >= before.c for before, after in itertools.pairwise(passes))
    ends = {row.a: row.c for row in passes}
    assert all(row.time == ends[row.a] for row in rows(sim, "verify"))


def _limits(sim: Simulation) -> tuple[int, int]:
    """Return the most requests of a pass under the policy, and its token budget."""
    scheduler, server = sim.policy.scheduler, sim.world.arrays.server[0]
    if not isinstance(scheduler, SchedulerRule):
        return int(server["max_batch"]), int(server["max_new"])
    limits = [int(server["max_batch"]), scheduler.max_requests]
    limits += [scheduler.static_size] if scheduler.kind == "static" else []
    most = min(limit for limit in limits if limit is not None)
    return most, min(scheduler.token_budget or 2**40, int(server["max_new"]))


def check_no_pass_exceeds_the_engine(sim: Simulation) -> None:
    """Requests, new tokens with their padding, the budget (after the first member), chunks."""
    server = sim.world.arrays.server[0]
    most, budget = _limits(sim)
    chunk = (int(server["max_new"]) + 1) // 2
    takes: dict[int, list[int]] = defaultdict(list)
    drafts: dict[int, list[int]] = defaultdict(list)
    members: dict[int, set[int]] = defaultdict(set)
    for row in rows(sim, "member"):
        takes[row.a].append(row.c)
        drafts[row.a].append(row.b)
        members[row.a].add(row.device)
        assert 1 <= row.c <= chunk
    for row in rows(sim, "pass"):
        assert 1 <= row.b == len(takes[row.a]) == len(members[row.a]) <= most
        longest = max(drafts[row.a])
        new = sum(takes[row.a]) + padded(sim) * sum(longest - k for k in drafts[row.a])
        assert new <= server["max_new"]
        assert new <= budget or row.b == 1


class Memory:
    """A ledger of the KV memory kept from the log alone: reserved at a pass, trimmed to whole blocks after
    it, freed at the end of a session."""

    def __init__(self, sim: Simulation) -> None:
        self.sessions, server = sim.world.arrays.sessions, sim.world.arrays.server[0]
        # A session that never leaves the engine keeps every token; others are found again in whole blocks.
        self.block = 1 if server_loop(sim.policy) else int(server["block"])
        self.whole = whole_output(sim)
        self.held: dict[int, int] = defaultdict(int)
        self.cached: dict[int, int] = defaultdict(int)
        self.committed: dict[int, int] = defaultdict(int)
        self.used = 0

    def _hold(self, device: int, tokens: int) -> None:
        self.used += tokens - self.held[device]
        self.held[device] = tokens

    def context(self, session: int) -> int:
        """Prompt and committed tokens."""
        return int(self.sessions[session]["prompt"]) + self.committed[session]

    def apply(self, row: Row) -> None:
        """Book a member, a verified round or an eviction."""
        if row.kind == "evict":
            self._hold(row.device, 0)
            self.cached[row.device] = 0
        elif row.kind == "member":
            whole = int(self.sessions[row.session]["prompt"] + self.sessions[row.session]["length"])
            self._hold(row.device, whole if self.whole else self.context(row.session) + row.b)
            self.cached[row.device] += row.c
        elif row.kind == "verify":
            self.committed[row.session] = row.c
            done = row.c == self.sessions[row.session]["length"]
            kept = 0 if done else (self.context(row.session) - 1) // self.block * self.block
            self.cached[row.device] = kept
            if done or not self.whole:
                self._hold(row.device, kept)


def check_memory_is_never_overdrawn(sim: Simulation) -> None:
    """By the ledger; a member computes what is not cached, whole or in chunks; nobody in a pass is evicted;
    whole outputs are never evicted."""
    server, ledger = sim.world.arrays.server[0], Memory(sim)
    capacity, chunk = int(server["kv_tokens"]), (int(server["max_new"]) + 1) // 2
    joining, end = 0, -1
    running: set[int] = set()
    for row in rows(sim, "pass", "member", "verify", "evict"):
        if row.kind == "pass":
            joining, end, running = row.b, row.c, set()
        elif row.kind == "evict":
            assert not ledger.whole
            assert row.a == ledger.held[row.device] > 0
            assert row.device not in running or row.time >= end
        elif row.kind == "member":
            joining -= 1
            running.add(row.device)
            assert row.d == ledger.cached[row.device]
            assert row.c == min(ledger.context(row.session) + row.b - row.d, chunk)
        ledger.apply(row)
        assert joining > 0 or ledger.used <= capacity
    assert ledger.used == sim.state.clock[0]["kv_used"] <= capacity


def check_the_gpu_does_not_idle(sim: Simulation) -> None:
    """Work conserving schedulers never idle while a request waits; a static batch is never waited for longer
    than its limit; only whole outputs wait for others otherwise. An agent may wait."""
    scheduler = sim.policy.scheduler
    if not isinstance(scheduler, SchedulerRule):
        return
    waits = rows(sim, "wait")
    if whole_output(sim):
        assert all(row.a == NEVER_NS for row in waits)
        return
    static = scheduler.kind == "static"
    assert static or not waits
    allowed = round(1e9 * scheduler.static_limit_s) if static else 0
    passes = {row.a: row for row in rows(sim, "pass")}
    free = [0, *(row.c for row in passes.values())]  # from when the GPU was free ...
    begun = [*(row.time for row in passes.values()), sim.now_ns]  # ... and until when
    for request in requests(sim):
        for i, queued in enumerate(request.queued):
            served = passes[request.passes[i]].time if i < len(request.passes) else sim.now_ns
            assert queued <= served or i == len(request.passes)
            at = bisect_left(begun, queued)  # the first idle time that ends after it joined
            while at < len(begun) and begun[at] <= served:
                assert begun[at] - max(free[at], queued) <= allowed
                at += 1


CHECKS: tuple[Callable[[Simulation], None], ...] = (
    check_tokens_are_conserved,
    check_rounds_accept_the_leading_run,
    check_finished_sessions_deliver_their_length,
    check_sessions_start_when_they_should,
    check_downlinks,
    check_rounds_begin_when_they_may,
    check_time_and_passes,
    check_no_pass_exceeds_the_engine,
    check_memory_is_never_overdrawn,
    check_the_gpu_does_not_idle,
)
