"""The compiled kernel against a second simulator that shares none of its code (tests/reference)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from core import (
    EASY,
    POLICIES,
    TIGHT,
    TOKEN,
    constant_links,
    draw,
    pair,
    rows,
    run,
    server_like,
    with_arrays,
    without_noise,
)
from reference import difference, disagreement, simulate
from strategies import draw_case

from wisp_gym.pipeline import DrafterRule, SchedulerRule
from wisp_gym.world import World

WORLDS = {"easy": EASY, "tight": TIGHT}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", POLICIES)
def test_both_simulators_agree_under_every_rule(name: str, world: str) -> None:
    assert difference(draw(WORLDS[world]), POLICIES[name](), 5) is None


@pytest.mark.parametrize("number", range(5000, 5016))
def test_both_simulators_agree_on_random_cases(number: int) -> None:
    case = draw_case(number)
    assert difference(case.world(), case.policy(), case.policy_seed) is None


def test_a_scheduler_that_waits_is_asked_again_when_a_waiting_request_grows() -> None:
    again = dataclasses.replace(DrafterRule.fixed(3), ahead=True, timeout_s=0.05)
    scheduler = SchedulerRule("static", static_size=6, static_limit_s=0.3)
    world, policy = draw(), pair("grows", again, scheduler)
    assert difference(world, policy) is None
    waits, grown = rows(run(world, policy), "wait"), rows(run(world, policy), "supersede")
    assert {row.time for row in waits} & {row.time for row in grown if row.b == 1}


def in_step(world: World, link_ns: int) -> World:
    """A world in which everything takes a multiple of 10 ms, so that much happens at the same instant."""
    arrays = world.arrays
    devices, sessions = arrays.devices.copy(), arrays.sessions.copy()
    devices["draft_ns"], devices["check_ns"], devices["prefill_ns"] = TOKEN, 0, TOKEN // 10
    sessions["prompt"] = (sessions["prompt"] // 10 + 1) * 10
    for field in ("think_ns", "start_ns"):
        sessions[field] = np.where(sessions[field] > 0, sessions[field] // TOKEN * TOKEN, sessions[field])
    free = server_like(world, base_ns=0, cached_ns=0, request_ns=0, pair_ns=0, max_batch=3)
    groups = arrays.groups.copy()
    groups["period_ns"] = groups["period_ns"] // TOKEN * TOKEN
    changed = with_arrays(
        world,
        devices=devices,
        sessions=sessions,
        groups=groups,
        server=free,
        pass_ns=np.full_like(arrays.pass_ns, 4.0 * TOKEN),
    )
    return without_noise(constant_links(changed, link_ns, link_ns))


@pytest.mark.parametrize("link_ns", [0, TOKEN])
@pytest.mark.parametrize(
    "name", ["wisp-literal", "sled-ahead", "centralized", "confidence-retry", "random", "ucb"]
)
def test_both_simulators_agree_where_everything_happens_at_once(name: str, link_ns: int) -> None:
    world = in_step(draw((*TIGHT, "fleet.devices=12", "horizon_s=12", "workload.lead_s=2")), link_ns)
    assert difference(world, POLICIES[name]()) is None
    times = [row.time for row in rows(run(world, POLICIES[name]()), "verify")]
    assert len(set(times)) < len(times)


def test_what_was_asked_again_for_one_session_never_joins_the_next_ones_prompt() -> None:
    """Slow links first in, first out: a repeated request and the next prompt arrive at the same instant."""
    short = "{median: 3, sigma: 0.3, min: 2, max: 5}"
    quick = "{median: 0.01, sigma: 0.1, min: 0.005, max: 0.02}"
    base = draw(
        (
            *EASY,
            f"workload.output_tokens={short}",
            f"workload.think_s={quick}",
            "classes.rates_tps=[100, 101, 102, 103]",
        )
    )
    up_ns = np.random.default_rng(1).integers(10**6, 3 * 10**8, base.arrays.up_ns.shape)
    world = with_arrays(base, up_ns=up_ns, refresh=np.full_like(base.arrays.refresh, 2**64 - 1))
    policy = pair("again", dataclasses.replace(DrafterRule.fixed(3), timeout_s=0.02, retries=20))
    sim = run(world, policy)
    prompts: dict[int, int] = {}
    for row in rows(sim, "member"):
        prompts.setdefault(row.session, row.b)
    assert len(prompts) > 50
    assert set(prompts.values()) == {0}
    assert difference(world, policy) is None


def test_a_difference_is_found_wherever_it_is() -> None:
    world, policy = draw(), POLICIES["wisp-last-timeline"]()
    ours, kernel = simulate(world, policy), run(world, policy)
    assert disagreement(ours, kernel) is None
    other = run(
        world, pair("other", policy.drafter, SchedulerRule("slo-aware", late="urgent", max_requests=2))
    )
    assert "log row" in str(disagreement(ours, other))
    kernel.state.counters[1]["waste_ns"] += 1
    assert "counter waste_ns of class 1" in str(disagreement(ours, kernel))
    kernel.state.outcomes[3]["first_ns"] += 1
    assert "session 3, first_ns" in str(disagreement(ours, kernel))
    kernel.state.outcomes[3]["first_ns"] -= 1
    kernel.state.counters[1]["waste_ns"] -= 1
    kernel.state.tbt[:, 0] += 1000
    assert "metric tbt" in str(disagreement(ours, kernel))
