"""Centralized serving: who runs, who queues for memory, in which order; worked out by hand.

Every pass takes 40 ms, a prompt has 4 tokens, links take 3 and 4 ms.
"""

from __future__ import annotations

from collections import defaultdict

import pytest
from core import DOWN, PASS, SECOND, UP, even_world, rows

from baselines import resolve
from wisp_gym.pipeline import Simulation
from wisp_gym.world import World

FORMS = ("centralized", "centralized:rtc")


def serve(world: World, form: str) -> Simulation:
    sim = Simulation(world, resolve(form), log=True)
    sim.until(60 * SECOND)
    assert (sim.state.outcomes["finished"] == 1).all()
    return sim


def batches(sim: Simulation) -> list[list[int]]:
    """Return the devices of each pass."""
    members: dict[int, list[int]] = defaultdict(list)
    for row in rows(sim, "member"):
        members[row.a].append(row.device)
    return [members[number] for number in range(len(members))]


@pytest.mark.parametrize("form", FORMS)
def test_a_session_alone_gets_a_token_a_pass_and_only_its_delivery_crosses_the_network(form: str) -> None:
    sim = serve(even_world([1] * 5), form)
    expected = [(UP + (i + 1) * PASS + DOWN, 1) for i in range(5)]
    assert [(row.time, row.a) for row in rows(sim, "deliver")] == expected
    assert [(row.b, row.c, row.d) for row in rows(sim, "member")] == [
        (0, 4, 0),
        *[(0, 1, 4 + i) for i in range(4)],
    ]
    assert sim.state.counters["drafted"].sum() == sim.state.counters["draft_ns"].sum() == 0
    assert sim.state.counters["energy_j"].sum() == 0


def test_rotation_serves_whoever_waits_longest() -> None:
    """Four sessions of four tokens, two to a pass: they take turns and end together."""
    sim = serve(even_world([1] * 4, devices=4, starts=[0, 1, 2, 3], max_batch=2), "centralized")
    # Device 0 arrives first and goes alone; then everyone in the order of waiting, ties by index.
    assert batches(sim) == [[0], [1, 2], [3, 0], [1, 2], [0, 3], [1, 2], [0, 3], [1, 2], [3]]
    assert sim.state.totals[0]["evictions"] == 0


def test_run_to_completion_keeps_to_those_admitted_first() -> None:
    sim = serve(even_world([1] * 4, devices=4, starts=[0, 1, 2, 3], max_batch=2), "centralized:rtc")
    assert batches(sim) == [[0], [0, 1], [0, 1], [0, 1], [1, 2], [2, 3], [2, 3], [2, 3], [3]]


@pytest.mark.parametrize("form", FORMS)
def test_memory_bounds_who_runs_and_the_rest_queue(form: str) -> None:
    """A session of two tokens is admitted for 6: memory for 12 takes two. The third, who has waited
    longest when the first two want their second token, stays cold until they are through."""
    sim = serve(even_world([1] * 2, devices=5, starts=[0, 0, 1, 2, 3], kv_tokens=12), form)
    assert batches(sim) == [[0, 1], [0, 1], [2, 3], [2, 3], [4], [4]]
    assert sim.state.totals[0]["evictions"] == 0
    assert all(row.d == 0 for row in rows(sim, "member") if row.c == 4)  # prompts; nobody pays twice
    assert [row.c for row in rows(sim, "member")] == [4, 4, 1, 1, 4, 4, 1, 1, 4, 1]


def test_where_sessions_outgrow_the_memory_the_youngest_starts_again() -> None:
    """With `grow`, admission looks at what a session holds now, as vLLM does. Two
    sessions of six tokens and memory for 11: at two tokens each only one fits beside what the other holds;
    then the one admitted last gives its memory up, and computes its six tokens again at the end."""
    sim = serve(even_world([1] * 6, devices=2, starts=[0, 0], kv_tokens=11), "centralized:rtc,grow")
    assert batches(sim) == [[0, 1], [0, 1], [0], [0], [0], [0], [1], [1], [1], [1]]
    evictions = [(row.time, row.device, row.a) for row in rows(sim, "evict")]
    assert evictions == [(UP + 3 * PASS, 1, 5)]
    assert [(row.c, row.d) for row in rows(sim, "member") if row.a == 6] == [(6, 0)]


def test_nobody_in_a_pass_is_evicted_nor_anybody_for_prompts_alone() -> None:
    """Memory is taken for sessions that run and have grown; whose it is, test_pipeline.py holds."""
    for form in ("centralized:grow", "centralized:rtc,grow"):
        sim = serve(
            even_world([1] * 9, devices=6, starts=[0, 1, 2, 3, 4, 5], kv_tokens=40, max_batch=4), form
        )
        assert sim.state.totals[0]["evictions"] > 0
        log = rows(sim, "evict", "member", "pass")
        for at, row in enumerate(log):
            if row.kind == "evict":
                batch = next(later.a for later in log[at:] if later.kind == "pass")
                members = [later for later in log[at:] if later.kind == "member" and later.a == batch]
                assert row.device not in {member.device for member in members}
                assert any(member.d > 0 for member in members)
