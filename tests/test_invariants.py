"""What holds for every controller in every world: tests/checks.py, on fixed worlds under every policy and on
random cases; test_limits.py and test_same_seed.py hold the rest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from checks import CHECKS, check_tokens_are_conserved
from core import (
    POLICIES,
    SECOND,
    TIGHT,
    draw,
    log_hash,
    pair,
    requests,
    rows,
    run,
    small,
    wisp,
    world_hash,
)
from hypothesis import given, settings
from recount import Recount
from strategies import Case, cases
from test_world import assert_nested

from wisp_gym.envs import AgentScheduler
from wisp_gym.envs.action import SIZES
from wisp_gym.metrics import measure
from wisp_gym.pipeline import DrafterRule, SchedulerRule, Simulation
from wisp_gym.world import World, draw_world, world_seed

Simulate = Callable[[str, str], Simulation]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("setting", ["easy", "tight", "led"])
def test_every_invariant_under_every_policy(simulate: Simulate, setting: str, policy: str) -> None:
    sim = simulate(setting, policy)
    for check in CHECKS:
        check(sim)
    assert sim.state.counters["rounds"].sum() > 100
    assert sim.state.outcomes["finished"].sum() > 5
    assert max(row.b for row in rows(sim, "pass")) > 1


@settings(max_examples=120)
@given(cases())
def test_every_invariant_in_random_cases(case: Case) -> None:
    """Worlds and controllers that nobody chose; the world is the same afterwards."""
    world = case.world()
    before = world_hash(world)
    sim = run(world, case.policy(), case.policy_seed)
    for check in CHECKS:
        check(sim)
    assert world_hash(world) == before


@settings(max_examples=30)
@given(cases())
def test_every_invariant_under_an_agent_that_acts_at_random(case: Case) -> None:
    """The same worlds under EdgeCloud-v0's actions; every metric is what the log says."""
    random = np.random.default_rng(case.seed)
    agent = AgentScheduler(lambda observation: random.integers(0, SIZES), "agent")
    sim = run(case.world(), agent.policy())
    for check in CHECKS:
        check(sim)
    assert Recount(sim).metrics() == pytest.approx(measure(sim), rel=1e-9, abs=1e-9, nan_ok=True)


def test_a_check_fails_where_a_counter_is_off(worlds: dict[str, World]) -> None:
    """The checks are not silent: one rejected token counted as accepted, one event a ns late."""
    sim = run(worlds["easy"], POLICIES["wisp-last-timeline"]())
    check_tokens_are_conserved(sim)
    sim.state.counters["accepted"][0] += 1
    with pytest.raises(AssertionError):
        check_tokens_are_conserved(sim)
    whole = rows(sim)
    at = next(i for i, row in enumerate(whole) if row.kind == "deliver" and row.time > SECOND)
    broken = 0
    for check in CHECKS:
        fresh = run(worlds["easy"], POLICIES["wisp-last-timeline"]())
        fresh.state.log[at:, 0] += 1
        try:
            check(fresh)
        except AssertionError:
            broken += 1
    assert broken >= 2


# --- 1: tokens are conserved


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


# --- 2 and 3: decisions change the trajectory, never the world


def test_no_policy_changes_the_world() -> None:
    world = draw(TIGHT, seed=7)
    before = world_hash(world)
    for make in POLICIES.values():
        run(world, make())
        assert world_hash(world) == before
    assert world_hash(draw(TIGHT, seed=7)) == before


@pytest.mark.parametrize("policy", POLICIES)
def test_what_happens_does_not_depend_on_what_comes_after(policy: str) -> None:
    """Worlds nest over time, so a trajectory up to T is the same in a world that goes on."""
    tight = small(*TIGHT)
    seed = world_seed("test", 3)
    short = Simulation(draw_world(tight, seed, horizon_s=12), POLICIES[policy](), log=True)
    long = Simulation(draw_world(tight, seed, horizon_s=20), POLICIES[policy](), log=True)
    short.until(12 * SECOND)
    long.until(12 * SECOND)

    assert told(short, 12 * SECOND) == told(long, 12 * SECOND)
    assert len(told(short, 12 * SECOND)) > 300


def told(sim: Simulation, until_ns: int) -> list[tuple[int, ...]]:
    """What happened to devices up to a time, sessions counted from each device's first."""
    first = sim.world.arrays.devices["first_session"]
    return [
        (row.time, row.device, max(-1, row.session - int(first[row.device])), row.a, row.b, row.c)
        for row in rows(sim)
        if row.device >= 0 and not (row.kind == "start" and row.a >= until_ns)
    ]


@settings(max_examples=60)
@given(cases())
def test_worlds_and_what_happens_in_them_nest_in_random_cases(case: Case) -> None:
    """A world cut short is the beginning of the whole one, and so is what happens in it; in a closed loop the
    first devices are a smaller world."""
    whole, scenario = case.world(), case.scenario()
    half_ns = whole.horizon_ns // 2
    short = case.world(horizon_s=half_ns / 1e9)
    assert_nested(short, whole, short.devices)
    if not scenario.open_loop:
        fewer = case.world(devices=(whole.devices + 1) // 2)
        assert_nested(fewer, whole, fewer.devices)
    early, late = (Simulation(world, case.policy(), case.policy_seed, log=True) for world in (short, whole))
    early.until(half_ns)
    late.until(half_ns)
    assert told(early, half_ns) == told(late, half_ns)


@settings(max_examples=60)
@given(cases())
def test_drafting_and_not_drafting_diverge_where_a_draft_fits(case: Case) -> None:
    """Opposite drafters in one world: the same events if and only if no round has room for a draft."""
    scheduler = case.policy().scheduler
    world = case.world()
    none, some = (run(world, pair("k", DrafterRule.fixed(k), scheduler)) for k in (0, 4))
    room = False
    tokens: dict[int, int] = {}
    for row in rows(none, "verify", "draft"):
        if row.kind == "verify":
            tokens[row.session] = row.c
        else:
            room |= int(world.arrays.sessions[row.session]["length"]) - tokens[row.session] > 1
    assert (log_hash(none) != log_hash(some)) == room


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


# --- 4 and 5: there is something to check


def test_the_tight_world_evicts_and_chunks(simulate: Simulate) -> None:
    """The tests above would say little if nothing were ever short."""
    for name in POLICIES:
        sim = simulate("tight", name)
        assert any(len(request.passes) > 1 for request in requests(sim))
    evicting = [name for name in POLICIES if simulate("tight", name).state.totals[0]["evictions"] > 0]
    assert {"wisp-urgent", "sled", "random"} <= set(evicting)
    assert all(simulate("easy", name).state.totals[0]["evictions"] == 0 for name in POLICIES)


def test_static_batches_do_idle(simulate: Simulate) -> None:
    assert rows(simulate("easy", "sled"), "wait")
