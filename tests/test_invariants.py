"""What holds for every controller in every world; test_limits.py and test_same_seed.py hold the rest."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from core import (
    POLICIES,
    SECOND,
    TIGHT,
    WORK_CONSERVING,
    agreements,
    draw,
    link_ns,
    log_hash,
    pair,
    requests,
    rows,
    run,
    small,
    whole_output,
    wisp,
    world_hash,
)

from wisp_gym.metrics import measure
from wisp_gym.pipeline import DrafterRule, SchedulerRule, Simulation
from wisp_gym.pipeline.state import COUNTER
from wisp_gym.world import World, draw_world, world_seed

Simulate = Callable[[str, str], Simulation]

every_run = pytest.mark.parametrize(
    ("setting", "policy"), [(setting, policy) for setting in ("easy", "tight") for policy in POLICIES]
)


# --- 1: tokens are conserved


@every_run
def test_every_drafted_token_is_accounted_for(simulate: Simulate, setting: str, policy: str) -> None:
    sim = simulate(setting, policy)
    total = {name: int(sim.state.counters[name].sum()) for name in COUNTER.names or ()}
    drafts, all_requests = rows(sim, "draft"), requests(sim)
    retries, void = rows(sim, "retry"), rows(sim, "supersede")
    verified = [request for request in all_requests if request.accepted >= 0]
    in_flight = sum(request.k for request in all_requests if request.accepted < 0)
    for device in range(sim.world.devices):  # repeated requests that have not arrived
        arrived = sum(row.device == device for row in void)
        in_flight += sum([row.a for row in retries if row.device == device][arrived:])
    assert total["drafted"] == drafted_in_log(sim)
    assert total["sent"] == sum(row.b for row in drafts) + sum(row.a for row in retries)
    assert total["superseded"] == sum(row.a for row in void)
    assert total["drafted"] + total["resent"] == total["sent"] + total["dropped"] + total["discarded"]
    assert total["verified"] == sum(request.k for request in verified)
    assert total["sent"] == total["verified"] + total["superseded"] + in_flight
    assert total["accepted"] == sum(request.accepted for request in verified)
    assert total["verified"] == total["accepted"] + total["rejected"]
    assert total["rounds"] == len(verified) > 100
    assert total["committed"] == total["accepted"] + total["rounds"]


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


def test_without_a_time_out_nothing_is_sent_twice(simulate: Simulate) -> None:
    for name in POLICIES:
        sim = simulate("tight", name)
        twice = int(sim.state.counters["resent"].sum())
        assert twice <= int(sim.state.counters["superseded"].sum()) + int(sim.state.counters["sent"].sum())
        assert (twice > 0) == ("retry" in name or name == "predictor-ahead")


def test_the_suspect_rule_drops_tokens_and_the_others_do_not(simulate: Simulate) -> None:
    dropped = {name: int(simulate("easy", name).state.counters["dropped"].sum()) for name in POLICIES}
    assert dropped.pop("confidence-drop") > 0
    assert set(dropped.values()) == {0}


@every_run
def test_a_round_accepts_the_leading_run_of_agreements(simulate: Simulate, setting: str, policy: str) -> None:
    sim = simulate(setting, policy)
    for request in requests(sim):
        length = int(sim.world.arrays.sessions[request.session]["length"])
        assert request.k == 0 or request.k <= length - request.committed - 1
        if request.accepted >= 0:
            assert request.accepted == agreements(sim.world, request.session, request.committed, request.k)


@every_run
def test_finished_sessions_deliver_their_length(simulate: Simulate, setting: str, policy: str) -> None:
    sim = simulate(setting, policy)
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
    finished = np.flatnonzero(outcomes["finished"] == 1)
    assert len(finished) > 5
    for row_of in range(len(sessions)):
        assert outcomes[row_of]["delivered"] == delivered[row_of] <= sessions[row_of]["length"]
    assert all(delivered[i] == sessions[i]["length"] for i in finished)
    assert {s for s, n in delivered.items() if n == sessions[s]["length"]} == set(finished.tolist())


# --- 2 and 3: decisions change the trajectory, never the world


def test_no_policy_changes_the_world() -> None:
    world = draw(TIGHT, seed=7)
    before = world_hash(world)
    for make in POLICIES.values():
        run(world, make())
        assert world_hash(world) == before
    assert world_hash(draw(TIGHT, seed=7)) == before


@every_run
def test_downlink_delays_are_those_of_the_slot_whoever_decides(
    simulate: Simulate, setting: str, policy: str
) -> None:
    sim = simulate(setting, policy)
    sent: dict[int, list[int]] = defaultdict(list)
    last: dict[int, int] = defaultdict(int)
    for row in rows(sim, "verify", "deliver"):
        if row.kind == "verify":
            sent[row.device].append(row.time)
        else:
            at = sent[row.device].pop(0)
            due = max(at + link_ns(sim.world, row.device, at, up=False), last[row.device])
            assert row.time == due
            last[row.device] = due


@pytest.mark.parametrize("setting", ["easy", "tight"])
def test_first_starts_and_lengths_are_the_worlds(simulate: Simulate, setting: str) -> None:
    for name in POLICIES:
        sim = simulate(setting, name)
        sessions, devices = sim.world.arrays.sessions, sim.world.arrays.devices
        starts = rows(sim, "start")
        assert {row.device for row in starts} == set(range(len(devices)))
        for row in starts:
            session = sessions[row.session]
            assert (row.device, row.b, row.c) == (session["device"], session["prompt"], session["length"])
            if row.session == devices[row.device]["first_session"]:
                assert row.a == session["start_ns"]


@pytest.mark.parametrize("policy", POLICIES)
def test_what_happens_does_not_depend_on_what_comes_after(policy: str) -> None:
    """Worlds nest over time, so a trajectory up to T is the same in a world that goes on."""
    if policy == "random":
        return  # its own randomness is addressed by the row of a session, which the horizon moves
    tight = small(*TIGHT)
    seed = world_seed("test", 3)
    short = Simulation(draw_world(tight, seed, horizon_s=12), POLICIES[policy](), log=True)
    long = Simulation(draw_world(tight, seed, horizon_s=20), POLICIES[policy](), log=True)
    short.until(12 * SECOND)
    long.until(12 * SECOND)

    def told(sim: Simulation) -> list[tuple[int, ...]]:
        first = sim.world.arrays.devices["first_session"]
        return [
            (row.time, row.device, max(-1, row.session - int(first[row.device])), row.a, row.b, row.c)
            for row in rows(sim)
            if row.device >= 0 and not (row.kind == "start" and row.a >= 12 * SECOND)
        ]

    assert told(short) == told(long)
    assert len(told(short)) > 300


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pair("none", DrafterRule.none()), pair("long", DrafterRule.fixed(8))),
        (pair("fcfs", DrafterRule.fixed(4)), pair("wisp", DrafterRule.fixed(4), SchedulerRule("slo-aware"))),
        (wisp("urgent"), wisp("last")),
        (wisp("last", "round"), wisp("last", "timeline")),
        (POLICIES["centralized"](), POLICIES["centralized-rtc"]()),
    ],
)
def test_opposite_controllers_diverge(worlds: dict[str, World], one: object, other: object) -> None:
    first, second = run(worlds["tight"], one), run(worlds["tight"], other)  # type: ignore[arg-type]
    assert log_hash(first) != log_hash(second)
    assert repr(measure(first)) != repr(measure(second))


# --- 4: time, the GPU, the engine's limits, memory


@every_run
def test_time_never_runs_backwards_and_passes_do_not_overlap(
    simulate: Simulate, setting: str, policy: str
) -> None:
    sim = simulate(setting, policy)
    assert (np.diff(sim.events[:, 0]) >= 0).all()
    passes = rows(sim, "pass")
    assert [row.a for row in passes] == list(range(len(passes)))
    assert all(row.c > row.time for row in passes)
    assert all(after.time >= before.c for before, after in itertools.pairwise(passes))
    ends = {row.a: row.c for row in passes}
    verified = rows(sim, "verify")
    assert all(row.time == ends[row.a] for row in verified)


@every_run
def test_no_pass_exceeds_the_engine(simulate: Simulate, setting: str, policy: str) -> None:
    sim = simulate(setting, policy)
    scheduler, server = sim.policy.scheduler, sim.world.arrays.server[0]
    assert isinstance(scheduler, SchedulerRule)
    members: dict[int, list[int]] = defaultdict(list)
    drafts: dict[int, list[int]] = defaultdict(list)
    for row in rows(sim, "member"):
        members[row.a].append(row.c)
        drafts[row.a].append(row.b)
        assert row.c >= 1
    largest = 0
    for row in rows(sim, "pass"):
        takes = members[row.a]
        assert row.b == len(takes) <= server["max_batch"]
        longest = max(drafts[row.a])
        new = sum(takes) + scheduler.padded * sum(longest - k for k in drafts[row.a])
        assert new <= server["max_new"]
        if scheduler.token_budget is not None and len(takes) > 1:
            assert new <= scheduler.token_budget
        largest = max(largest, len(takes))
    assert largest > 1


@every_run
def test_kv_memory_is_never_overdrawn(simulate: Simulate, setting: str, policy: str) -> None:
    """A ledger kept from the log alone: reserved at a pass, trimmed to blocks after it, freed at the end."""
    sim = simulate(setting, policy)
    server, sessions = sim.world.arrays.server[0], sim.world.arrays.sessions
    block, capacity = int(server["block"]), int(server["kv_tokens"])
    held: dict[int, int] = defaultdict(int)
    committed: dict[int, int] = defaultdict(int)
    joining = peak = 0
    for row in rows(sim, "pass", "member", "verify", "evict"):
        if row.kind == "pass":
            joining = row.b
        elif row.kind == "evict":
            assert row.a == held[row.device] > 0
            held[row.device] = 0
        elif row.kind == "member":
            joining -= 1
            held[row.device] = int(sessions[row.session]["prompt"]) + committed[row.session] + row.b
            assert row.d <= held[row.device]
        else:
            committed[row.session] = row.c
            context = int(sessions[row.session]["prompt"]) + row.c
            done = row.c == sessions[row.session]["length"]
            held[row.device] = 0 if done else (context - 1) // block * block
        if whole_output(sim) and held[row.device] > 0:
            held[row.device] = int(sessions[row.session]["prompt"] + sessions[row.session]["length"])
        used = sum(held.values())
        assert joining > 0 or used <= capacity
        peak = max(peak, used)
    assert sum(held.values()) == sim.state.clock[0]["kv_used"] <= capacity
    assert peak > 0.3 * capacity if setting == "tight" else peak > 0


def test_the_tight_world_evicts_and_chunks(simulate: Simulate) -> None:
    """The tests above would say little if nothing were ever short."""
    for name in POLICIES:
        sim = simulate("tight", name)
        assert any(len(request.passes) > 1 for request in requests(sim))
    evicting = [name for name in POLICIES if simulate("tight", name).state.totals[0]["evictions"] > 0]
    assert {"wisp-urgent", "sled", "random"} <= set(evicting)
    assert all(simulate("easy", name).state.totals[0]["evictions"] == 0 for name in POLICIES)


# --- 5: the GPU does not idle while requests wait


@pytest.mark.parametrize("setting", ["easy", "tight"])
@pytest.mark.parametrize("policy", WORK_CONSERVING)
def test_work_conserving_schedulers_never_idle_while_requests_wait(
    simulate: Simulate, setting: str, policy: str
) -> None:
    sim = simulate(setting, policy)
    spans = []  # of waiting: from joining the queue to the pass
    passes = {row.a: (row.time, row.c) for row in rows(sim, "pass")}
    for request in requests(sim):
        waits = list(zip(request.queued, request.passes, strict=False))
        assert all(queued <= passes[number][0] for queued, number in waits)
        spans += [(queued, passes[number][0]) for queued, number in waits]
        if len(request.queued) > len(request.passes) and request.queued[-1] < sim.now_ns:
            spans.append((request.queued[-1], sim.now_ns))
    free = 0
    idle_s = 0.0
    for start, end in [*(passes[number] for number in sorted(passes)), (sim.now_ns, sim.now_ns)]:
        assert all(max(queued, free) >= min(served, start) for queued, served in spans)
        idle_s += max(0, start - free) / SECOND
        free = end
    assert not rows(sim, "wait")
    assert setting == "tight" or idle_s > 0.1


def test_static_batches_do_idle(simulate: Simulate) -> None:
    assert rows(simulate("easy", "sled"), "wait")
