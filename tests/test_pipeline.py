"""The pipeline: a round is the sum of its parts, chunks, memory, links, waiting, Python controllers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from core import (
    BASE,
    EASY,
    POLICIES,
    SECOND,
    TIGHT,
    Row,
    agreements,
    constant_links,
    draft_token_ns,
    draw,
    hand_made,
    link_ns,
    pair,
    requests,
    rows,
    run,
    server_like,
    small,
    with_arrays,
    without_noise,
)

from wisp_gym.pipeline import (
    DrafterRule,
    SchedulerRule,
    Simulation,
)
from wisp_gym.world import World, draw_world
from wisp_gym.world.alone import Link, session_alone
from wisp_gym.world.rng import CAUSE_SERVER, bits, key

ONE = (*EASY, "fleet.devices=1", "horizon_s=60", "server.noise_cv=0")


# --- a device alone


def pass_ns(world: World, members: list[tuple[int, int]]) -> float:
    """The noise-free time of a pass over (new, cached): the profile's formula, written out."""
    server, curve = world.arrays.server[0], world.arrays.pass_ns
    new, cached = sum(n for n, _ in members), sum(c for _, c in members)
    pairs = sum(n * (c + n / 2) for n, c in members)
    return float(
        curve[new]
        + server["base_ns"]
        + server["cached_ns"] * cached
        + server["request_ns"] * len(members)
        + server["pair_ns"] * pairs
    )


def alone_ns(world: World, new: int, cached: int) -> int:
    return math.floor(pass_ns(world, [(new, cached)]) + 0.5)


def prompt_ns(world: World, prompt: int) -> int:
    """Prefill in chunks of half of what a pass takes."""
    total = done = 0
    while done < prompt:
        chunk = min(prompt - done, (int(world.arrays.server[0]["max_new"]) + 1) // 2)
        total += alone_ns(world, chunk, done)
        done += chunk
    return total


def deliveries_alone(world: World, k: int, checked: bool) -> list[tuple[int, int, int]]:
    """Follow device 0 by hand: (time, session, tokens) of every delivery, in integers and from the tables."""
    device, sessions = world.arrays.devices[0], world.arrays.sessions
    period = int(world.arrays.groups[device["group"]]["period_ns"])
    block = int(world.arrays.server[0]["block"])
    result = []
    start = int(sessions[0]["start_ns"])
    for s in range(int(device["sessions"])):
        prompt, length = int(sessions[s]["prompt"]), int(sessions[s]["length"])
        now = start + link_ns(world, 0, start, up=True) + prompt_ns(world, prompt)
        now += link_ns(world, 0, now, up=False)
        result.append((now, s, 1))
        committed = 1
        now = max(now, start + prompt * int(device["prefill_ns"])) if length > 1 else now
        while committed < length:
            drafted = min(k, length - committed - 1)
            now += drafted * draft_token_ns(world, 0, checked)
            now += link_ns(world, 0, now, up=True)
            cached = (prompt + committed - 1) // block * block
            now += alone_ns(world, prompt + committed - cached + drafted, cached)
            now += link_ns(world, 0, now, up=False)
            tokens = agreements(world, s, committed, drafted) + 1
            result.append((now, s, tokens))
            committed += tokens
        start = max(now, start + length * period) + int(sessions[s]["think_ns"])
    return result


@pytest.mark.parametrize("k", [0, 1, 5, 8])
@pytest.mark.parametrize("extra", [(), ("server.block=16",), ("server.max_new_tokens=64",)])
def test_alone_a_round_is_the_sum_of_its_parts_to_the_ns(k: int, extra: tuple[str, ...]) -> None:
    world = draw((*ONE, *extra), seed=4)
    sim = run(world, pair("fixed", DrafterRule.fixed(k)))
    seen = [(row.time, row.session, row.a) for row in rows(sim, "deliver")]
    by_hand = [d for d in deliveries_alone(world, k, checked=False) if d[0] < world.horizon_ns]
    assert seen == by_hand
    assert len({session for _, session, _ in seen}) >= 3


def test_a_stop_rule_costs_its_checks() -> None:
    world = draw(ONE, seed=4)
    checks = {"stop": True, "confidence": False}  # WISP's network takes time, a comparison does not
    for score, checked in checks.items():
        rule = DrafterRule(caps=(4, 4, 4, 4), score=score, threshold=-1e9)  # stops at no token
        seen = [(row.time, row.session, row.a) for row in rows(run(world, pair(score, rule)), "deliver")]
        assert seen == [d for d in deliveries_alone(world, 4, checked) if d[0] < world.horizon_ns]
    assert world.arrays.devices[0]["check_ns"] > 0


def test_the_probe_of_who_holds_a_class_is_the_pipeline() -> None:
    """`session_alone` decides who is in a fleet; on constant links it times a session as we do."""
    world = constant_links(draw(ONE, seed=4), 9_000_000, 13_000_001)
    arrays, device = world.arrays, world.arrays.devices[0]
    sim = run(world, pair("fixed", DrafterRule.fixed(5)))
    links = Link(arrays.up_ns[0], arrays.down_ns[0], arrays.refresh[0])
    checked = 0
    for s, outcome in enumerate(sim.state.outcomes):
        if outcome["finished"] != 1:
            continue
        session = arrays.sessions[s]
        group = arrays.groups[device["group"]]
        stream = arrays.accepts[session["offset"] : session["offset"] + session["length"]]
        duration, on_time = session_alone(
            arrays.server[0],
            arrays.pass_ns,
            links,
            0,
            stream,
            int(session["prompt"]),
            int(device["draft_ns"]),
            int(device["prefill_ns"]),
            int(group["period_ns"]),
            int(group["allowance_ns"]),
            5,
        )
        assert duration == outcome["last_ns"] - outcome["start_ns"]
        assert on_time == outcome["on_time"] + session["length"] - outcome["settled"]
        checked += 1
    assert checked >= 3


@pytest.mark.parametrize("policy", POLICIES)
def test_a_pass_takes_what_the_profile_says_times_its_noise(
    simulate: Callable[[str, str], Simulation], policy: str
) -> None:
    sim = simulate("tight", policy)
    scheduler = sim.policy.scheduler
    assert isinstance(scheduler, SchedulerRule)
    members: dict[int, list[Row]] = defaultdict(list)
    for row in rows(sim, "member"):
        members[row.a].append(row)
    arrays = sim.world.arrays
    draw_key = np.uint64(key(arrays.seed[0], CAUSE_SERVER, 0, 0))
    for row in rows(sim, "pass"):
        batch = members[row.a]
        takes = [member.c for member in batch]
        longest = max(member.b for member in batch)
        padding = sum(longest - member.b for member in batch) if scheduler.padded else 0
        new = sum(takes) + padding
        exact = pass_ns(sim.world, [(member.c, member.d) for member in batch])
        exact += float(arrays.pass_ns[new] - arrays.pass_ns[sum(takes)])
        factor = float(arrays.noise[int(np.uint64(bits(draw_key, row.a))) >> 52])
        assert abs((row.c - row.time) - exact * factor) <= 0.51


# --- order of events, links, prompts


def test_events_of_one_instant_come_before_the_decision() -> None:
    """Three requests arrive at the same nanosecond: one pass takes them all, in the order of devices."""
    base = constant_links(draw_world(small(*BASE), 0, devices=3, horizon_s=0.01), 5_000_000, 7_000_000)
    world = without_noise(hand_made(base, 10, [4, 4, 4], [1000, 1000, 1000], [1] * 12))
    sim = Simulation(world, pair("none", DrafterRule.none()), log=True)
    sim.until(20 * SECOND)
    passes = rows(sim, "pass")
    assert (passes[0].time, passes[0].b) == (5_001_000, 3)
    assert [row.device for row in rows(sim, "member")][:3] == [0, 1, 2]
    verified = [row for row in rows(sim, "verify", "deliver") if row.time <= passes[0].c + 7_000_000][:6]
    assert [(row.kind, row.device) for row in verified] == [
        *[("verify", d) for d in range(3)],
        *[("deliver", d) for d in range(3)],
    ]


def test_a_request_arriving_as_the_gpu_turns_free_joins_the_next_pass() -> None:
    base = constant_links(draw_world(small(*BASE), 0, devices=3, horizon_s=0.01), 5_000_000, 7_000_000)
    base = without_noise(base)
    end = 5_000_000 + alone_ns(base, 10, 0)
    world = hand_made(base, 10, [1, 1, 1], [0, end - 5_000_000, end - 5_000_000 + 1], [1] * 3)
    sim = Simulation(world, pair("none", DrafterRule.none()), log=True)
    sim.until(20 * SECOND)
    members = [(row.a, row.device, row.time) for row in rows(sim, "member")]
    assert members[:2] == [(0, 0, 5_000_000), (1, 1, end)]
    assert members[2][:2] == (2, 2)


def test_a_long_prompt_goes_in_chunks_and_keeps_its_place_in_the_queue() -> None:
    base = draw_world(small(*BASE, "server.max_new_tokens=64", "server.max_batch=2"), 0, 2, horizon_s=0.01)
    base = without_noise(constant_links(base, 0, 0))
    world = hand_made(base, 150, [2, 2], [0, 1], [1] * 4)
    sim = Simulation(world, pair("none", DrafterRule.none()), log=True)
    sim.until(60 * SECOND)
    of_first = [(row.a, row.c, row.d) for row in rows(sim, "member") if row.device == 0]
    chunks = [(0, 32, 0), (1, 32, 32), (2, 32, 64), (3, 32, 96), (4, 22, 128)]
    assert of_first == [*chunks, (of_first[-1][0], 1, 150)]
    # The second prompt comes 1 ns later: it misses the first pass and shares the others, behind the first.
    assert [row.device for row in rows(sim, "member")][:5] == [0, 0, 1, 0, 1]
    firsts = [row for row in rows(sim, "deliver") if row.b == 1]
    shared = [[(32, 32), (32, 0)], [(32, 64), (32, 32)], [(32, 96), (32, 64)], [(22, 128), (32, 96)]]
    together = sum(math.floor(pass_ns(base, members) + 0.5) for members in shared)
    assert firsts[0].time == alone_ns(base, 32, 0) + together
    assert sim.state.counters["rounds"].sum() == 4
    assert sim.state.counters["requests"].sum() == 12


def test_links_are_first_in_first_out() -> None:
    """Results sent later never overtake: with a slow link before a fast one, deliveries keep their order."""
    world = draw((*EASY, "fleet.devices=6", "fleet.networks=[{network: 4g-poor, share: 1}]"), seed=2)
    sim = run(world, POLICIES["centralized"]())  # several results of one session are on the way at once
    sent: dict[int, list[int]] = defaultdict(list)
    held_back = 0
    for row in rows(sim, "verify", "deliver"):
        if row.kind == "verify":
            sent[row.device].append(row.time)
            continue
        at = sent[row.device].pop(0)
        assert row.time >= at + link_ns(world, row.device, at, up=False)
        held_back += row.time > at + link_ns(world, row.device, at, up=False)
    assert held_back > 10
    for device in range(6):
        counts = [row.b for row in rows(sim, "deliver") if row.device == device and row.session == 0]
        assert counts == sorted(counts)


# --- KV memory


def test_eviction_takes_the_least_recently_used() -> None:
    sim = run(draw(TIGHT, seed=5), POLICIES["random"]())
    served: dict[int, int] = defaultdict(lambda: -1)
    held: dict[int, int] = defaultdict(int)
    sessions, block = sim.world.arrays.sessions, int(sim.world.arrays.server[0]["block"])
    evictions = rows(sim, "evict")
    log = rows(sim, "evict", "pass", "member", "verify")
    ends = {row.a: row.c for row in rows(sim, "pass")}
    for at, row in enumerate(log):
        if row.kind == "member":
            served[row.device] = ends[row.a]
            held[row.device] = max(1, held[row.device])
        elif row.kind == "verify":
            done = row.c == sessions[row.session]["length"]
            context = int(sessions[row.session]["prompt"]) + row.c
            held[row.device] = 0 if done else (context - 1) // block * block
        elif row.kind == "evict":
            number = next(later.a for later in log[at:] if later.kind == "pass")
            batch = {m.device for m in log[at:] if m.kind == "member" and m.a == number}
            assert row.device not in batch
            others = [d for d, tokens in held.items() if tokens > 0 and d not in batch and d != row.device]
            assert all(served[row.device] <= served[other] for other in others)
            held[row.device] = 0
    assert len(evictions) > 5


@pytest.mark.parametrize("kv_tokens", [280, 300])
def test_continuous_batching_runs_by_admission_and_gives_up_its_youngest(kv_tokens: int) -> None:
    """Admission is the end of the first pass since a session was cold, kept here from the log alone."""
    world = draw((*TIGHT, f"server.kv_tokens={kv_tokens}", "server.block=1"), seed=5)
    sim = run(world, POLICIES["centralized-rtc"]())
    ends = {row.a: row.c for row in rows(sim, "pass")}
    admitted: dict[int, int] = {}
    batch: dict[int, list[Row]] = defaultdict(list)
    ordered = evictions = 0
    log = rows(sim, "evict", "member", "verify")
    for at, row in enumerate(log):
        if row.kind == "verify" and row.c == world.arrays.sessions[row.session]["length"]:
            admitted.pop(row.session)
        elif row.kind == "evict":
            number = next(later.a for later in log[at:] if later.kind == "member")
            taken = {m.session for m in log[at:] if m.kind == "member" and m.a == number}
            outside = {s: when for s, when in admitted.items() if s not in taken}
            assert admitted.pop(row.session) == max(outside.values())
            evictions += 1
        elif row.kind == "member":
            warm = [m for m in batch[row.a] if m.session in admitted and m.d > 0]
            if row.d > 0:
                assert len(warm) == len(batch[row.a])  # no cold one went before
                assert not warm or admitted[warm[-1].session] <= admitted[row.session]
                ordered += len(warm)
            batch[row.a].append(row)
            admitted.setdefault(row.session, ends[row.a])
    assert ordered > 100
    assert evictions > 0


def test_an_evicted_session_is_cold_and_computed_again() -> None:
    sim = run(draw(TIGHT, seed=5), POLICIES["sled"]())
    sessions = sim.world.arrays.sessions
    committed: dict[int, int] = defaultdict(int)
    evicted: set[int] = set()
    again = 0
    for row in rows(sim, "evict", "member", "verify"):
        if row.kind == "evict":
            evicted.add(row.session)
        elif row.kind == "verify":
            committed[row.session] = row.c
        elif row.session in evicted:
            context = int(sessions[row.session]["prompt"]) + committed[row.session]
            assert row.d == 0
            assert row.c == min(context + row.b, 32)
            evicted.remove(row.session)
            again += 1
    assert again > 5


def test_memory_is_freed_at_a_sessions_end() -> None:
    base = draw_world(small(*BASE), 0, devices=2, horizon_s=0.01)
    sim = Simulation(
        hand_made(base, 10, [3, 3], [0, 0], [1] * 6), pair("fixed", DrafterRule.fixed(2)), log=True
    )
    sim.until(60 * SECOND)
    assert (sim.state.outcomes["finished"] == 1).all()
    assert sim.state.clock[0]["kv_used"] == 0


# --- static batches


def test_static_batches_wait_for_their_size_or_the_limit() -> None:
    limit_ns = 50_000_000
    sim = run(draw((*EASY, "fleet.devices=10"), seed=3), POLICIES["sled"]())
    queued = defaultdict(list)
    for request in requests(sim):
        for at, number in zip(request.queued, request.passes, strict=False):
            queued[number].append(at)
    for row in rows(sim, "pass"):
        oldest = min(queued[row.a])
        assert row.b == 4 or row.time >= oldest + limit_ns
        assert row.b <= 4
    for row in rows(sim, "wait"):
        assert row.time < row.a <= row.time + limit_ns


def test_a_static_batch_that_never_fills_goes_at_the_limit() -> None:
    base = without_noise(constant_links(draw_world(small(*BASE), 0, 1, horizon_s=0.01), 0, 0))
    rule = SchedulerRule("static", static_size=8, static_limit_s=0.3)
    sim = Simulation(
        hand_made(base, 10, [3], [0], [1] * 3), pair("static", DrafterRule.none(), rule), log=True
    )
    sim.until(20 * SECOND)
    assert sim.state.outcomes[0]["finished"] == 1
    assert rows(sim, "pass")[0].time == 300_000_000
    assert next((row.time, row.a) for row in rows(sim, "wait")) == (0, 300_000_000)


def test_a_free_server_costs_nothing_but_the_rest() -> None:
    """No cost at the server, no noise, no network: a session takes its drafting, to the ns."""
    base = constant_links(draw(ONE, seed=4), 0, 0)
    base = with_arrays(base, pass_ns=np.zeros_like(base.arrays.pass_ns))
    world = with_arrays(base, server=server_like(base, base_ns=0, cached_ns=0, request_ns=0, pair_ns=0))
    sim = run(world, pair("fixed", DrafterRule.fixed(3)))
    device = world.arrays.devices[0]
    for s, outcome in enumerate(sim.state.outcomes):
        if outcome["finished"]:
            drafted = sum(row.a for row in rows(sim, "draft") if row.session == s)
            prefill = int(world.arrays.sessions[s]["prompt"] * device["prefill_ns"])
            assert outcome["last_ns"] - outcome["start_ns"] == prefill + drafted * device["draft_ns"]
    assert (sim.state.outcomes["finished"] == 1).sum() >= 3
