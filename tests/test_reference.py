"""The compiled kernel against a second simulator (tests/reference), whose events, queues and passes are its
own.

Both are given the world (its tables, those of link delays and noise among them, lengths, token streams), the
stop scores, the stream law and Bayes filter, the estimator's coefficients and the policy's fields: a mistake
in one of these would be in both.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from core import EASY, POLICIES, TIGHT, draw, pair, rows, run, with_arrays
from hypothesis import given, settings
from reference import difference, disagreement, simulate
from remade import Remade
from strategies import Case, cases

from wisp_gym.envs import AgentScheduler
from wisp_gym.envs.action import SIZES
from wisp_gym.metrics import measure
from wisp_gym.pipeline import DrafterRule, SchedulerRule

WORLDS = {"easy": EASY, "tight": TIGHT}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", POLICIES)
def test_both_simulators_agree_under_every_rule(name: str, world: str) -> None:
    assert difference(draw(WORLDS[world]), POLICIES[name](), 5) is None


@settings(max_examples=150)
@given(cases())
def test_both_simulators_agree_on_random_cases(case: Case) -> None:
    assert difference(case.world(), case.policy(), case.policy_seed) is None


def test_a_scheduler_that_waits_is_asked_again_when_a_waiting_request_grows() -> None:
    again = dataclasses.replace(DrafterRule.fixed(3), ahead=True, timeout_s=0.05)
    scheduler = SchedulerRule("static", static_size=6, static_limit_s=0.3)
    world, policy = draw(), pair("grows", again, scheduler)
    assert difference(world, policy) is None
    waits, grown = rows(run(world, policy), "wait"), rows(run(world, policy), "supersede")
    assert {row.time for row in waits} & {row.time for row in grown if row.b == 1}


@settings(max_examples=50)
@given(cases())
def test_a_streamed_run_agrees_with_the_reference_on_the_whole_world(case: Case) -> None:
    """Token streams drawn as the kernel needs them are those that the reference reads."""
    streamed = case.world(whole=False)
    assert streamed.streamed or len(streamed.arrays.sessions) == 0
    kernel = run(streamed, case.policy(), case.policy_seed)
    assert disagreement(simulate(case.world(), case.policy(), case.policy_seed), kernel) is None


@settings(max_examples=50)
@given(cases())
def test_both_simulators_carry_out_an_agents_actions_alike(case: Case) -> None:
    """The kernel asks an agent that acts at random; the reference is given what it did."""
    random, actions = np.random.default_rng(case.seed), []

    def act(observation: object) -> object:
        actions.append(random.integers(0, SIZES))
        return actions[-1]

    world = case.world()
    kernel = run(world, AgentScheduler(act, "agent").policy())
    begins = pair("agent", DrafterRule.predictor(), SchedulerRule("slo-aware"))
    left = iter(actions)
    assert disagreement(simulate(world, begins, actions=left), kernel) is None
    assert not list(left)


@pytest.mark.parametrize("most", [64, 65, 77, 2047])
def test_a_request_takes_at_most_half_a_pass_rounded_up(most: int) -> None:
    long = "workload.prompt_tokens={median: 3000, sigma: 0, min: 3000, max: 3000}"
    world = draw((*EASY, long, f"server.max_new_tokens={most}"))
    assert difference(world, POLICIES["density"]()) is None
    assert max(row.c for row in rows(run(world, POLICIES["density"]()), "member")) == (most + 1) // 2


def test_both_simulators_agree_where_sessions_stall() -> None:
    """Passes of seconds: devices without a token for over 30 s, gaps beyond the last bin of 20 s."""
    world = Remade(slow=60).world(draw((*EASY, "fleet.devices=12", "server.max_batch=1", "horizon_s=90")))
    policy = POLICIES["confidence-retry"]()
    assert difference(world, policy) is None
    sim = run(world, policy)
    assert measure(sim)["stalled_30s_share"] > 0
    assert sim.state.tbt[:, -1].sum() > 0
    assert any(row.b == 1 for row in rows(sim, "supersede"))


@pytest.mark.parametrize("link_steps", [0, 1])
@pytest.mark.parametrize(
    "name", ["wisp-literal", "sled-ahead", "centralized", "confidence-retry", "random", "ucb"]
)
def test_both_simulators_agree_where_everything_happens_at_once(name: str, link_steps: int) -> None:
    drawn = draw((*TIGHT, "fleet.devices=12", "horizon_s=12", "workload.lead_s=2"))
    world = Remade(step_ms=50, link_steps=link_steps).world(drawn)
    assert difference(world, POLICIES[name]()) is None
    kinds: dict[int, set[str]] = {}
    for row in rows(run(world, POLICIES[name]()), "deliver", "verify"):
        kinds.setdefault(row.time, set()).add(row.kind)
    assert sum(len(there) == 2 for there in kinds.values()) > 10


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
