"""Flow control and whole outputs: how far a session may lead its reader, and what it holds meanwhile."""

from __future__ import annotations

import dataclasses

import pytest
from core import EASY, SECOND, Row, draw, log_hash, pair, rows, run, wisp

from wisp_gym.pipeline import DrafterRule, Policy, SchedulerRule, Simulation
from wisp_gym.pipeline.state import COUNTER
from wisp_gym.world import World

LEAD_S = 2
LED = (*EASY, f"workload.lead_s={LEAD_S}")


def centralized(whole_output: bool = True) -> Policy:
    return pair(
        "centralized",
        DrafterRule.none(server_loop=True),
        SchedulerRule("continuous", whole_output=whole_output),
    )


def due_ns(world: World, session: int, start_ns: int, tokens: int) -> int:
    """When the reader takes a token: start + j / rate."""
    group = world.arrays.devices[int(world.arrays.sessions[session]["device"])]["group"]
    return start_ns + tokens * int(world.arrays.groups[group]["period_ns"])


def begins(sim: Simulation) -> list[tuple[Row, int, int]]:
    """Return each round's first row, its session's start and the tokens the session had: a draft on a device,
    a membership on the server."""
    starts = {row.session: row.a for row in rows(sim, "start")}
    had: dict[int, int] = {}
    found = []
    for row in rows(sim, "deliver", "verify", "draft", "member"):
        loop = isinstance(sim.policy.drafter, DrafterRule) and sim.policy.drafter.server_loop
        if row.kind == ("verify" if loop else "deliver"):
            had[row.session] = row.c if loop else row.b
        elif row.kind == ("member" if loop else "draft") and had.get(row.session, 0) > 0:
            found.append((row, starts[row.session], had[row.session]))
    return found


@pytest.mark.parametrize("policy", [wisp("last"), centralized()], ids=["wisp", "centralized"])
def test_no_round_begins_further_ahead_of_the_reader_than_the_lead(policy: Policy) -> None:
    sim = run(draw(LED), policy)
    leads = [due_ns(sim.world, row.session, start, had) - row.time for row, start, had in begins(sim)]
    assert max(leads) <= LEAD_S * SECOND
    free = run(draw(EASY), policy)
    assert max(due_ns(free.world, r.session, start, had) - r.time for r, start, had in begins(free)) > (
        LEAD_S * SECOND
    )


@pytest.mark.parametrize("policy", [wisp("last"), centralized()], ids=["wisp", "centralized"])
def test_a_session_held_back_goes_on_at_the_very_instant_its_lead_allows(policy: Policy) -> None:
    """On a device, the round that had to wait begins when the reader is just the lead behind."""
    sim = run(draw((*LED, "fleet.devices=1")), policy)
    lead_ns = int(sim.world.arrays.groups[0]["lead_ns"])
    on_server = policy.name == "centralized"
    waits = 0
    for row, start, had in begins(sim):
        allowed = due_ns(sim.world, row.session, start, had) - lead_ns
        if row.time == allowed:
            waits += 1
        else:
            assert row.time > allowed or on_server
    assert waits > 5


def test_a_lead_longer_than_any_session_changes_nothing() -> None:
    policy = wisp("urgent")
    assert log_hash(run(draw((*EASY, "workload.lead_s=100000")), policy)) == log_hash(run(draw(EASY), policy))


def test_sessions_that_lead_hold_their_memory() -> None:
    """With flow control the same tokens are spread over the reading, so more is held at a time."""
    free, led = (run(draw(overrides), centralized()) for overrides in (EASY, LED))
    held = [float(sim.state.totals[0]["kv_ns"]) for sim in (free, led)]
    assert held[1] > 1.5 * held[0]


def test_whole_outputs_are_admitted_once_and_never_evicted() -> None:
    """Memory for about four whole sessions: a session's prompt is computed once, and what is held never
    exceeds the memory; admitted for what they have, sessions are evicted."""
    tight = (*EASY, "server.kv_tokens=420", "workload.lead_s=1")
    sim = run(draw(tight), centralized())
    assert sim.state.totals[0]["evictions"] == 0
    assert sim.state.counters["cold"].sum() == len({row.session for row in rows(sim, "member")})
    sessions = sim.world.arrays.sessions
    held: dict[int, int] = {}
    for row in rows(sim, "member", "verify"):
        held[row.session] = int(sessions[row.session]["prompt"] + sessions[row.session]["length"])
        assert sum(held.values()) <= 420
        if row.kind == "verify" and row.c == sessions[row.session]["length"]:
            del held[row.session]
    assert run(draw(tight), centralized(False)).state.totals[0]["evictions"] > 0


def test_a_server_full_of_readers_waits_for_them() -> None:
    """Those admitted are ahead of their readers and nobody else fits: the server waits and goes on when one
    comes back, and in the end every device is served."""
    tight = (*EASY, "server.kv_tokens=300", "workload.lead_s=1")
    sim = run(draw(tight), centralized())
    assert any(row.a == 2**62 for row in rows(sim, "wait"))
    assert len({row.session for row in rows(sim, "verify")}) > 4


@pytest.mark.parametrize("lead_s", [0.0, 0.4, 3.0])
def test_tokens_drafted_ahead_of_a_round_that_waits_are_kept(lead_s: float) -> None:
    """drafted + resent = sent + dropped + discarded + kept for the next draft at the end."""
    drafter = dataclasses.replace(DrafterRule.fixed(4), ahead=True, timeout_s=0.2)
    sim = run(draw((*EASY, f"workload.lead_s={lead_s}")), pair("ahead", drafter))
    total = {name: int(sim.state.counters[name].sum()) for name in COUNTER.names or ()}
    kept = int((sim.state.devices["ahead"] - sim.state.devices["ahead_sent"]).sum())
    assert total["drafted"] + total["resent"] == total["sent"] + total["dropped"] + total["discarded"] + kept
