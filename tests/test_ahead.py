"""Drafting ahead and time-outs, against timelines worked out by hand, to the ns."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from core import (
    DOWN,
    PASS,
    SECOND,
    TIGHT,
    TOKEN,
    UP,
    draw,
    even_world,
    log_hash,
    pair,
    rows,
    run,
)

from baselines import resolve
from wisp_gym.errors import InputError
from wisp_gym.pipeline import DrafterRule, Policy, SchedulerRule, Simulation
from wisp_gym.pipeline.advance import BY_RULE
from wisp_gym.pipeline.events import ARRIVAL, event_kind
from wisp_gym.pipeline.state import COUNTER, QUEUED, UPLINK, VERIFYING
from wisp_gym.rendering.spans import Kind, spans
from wisp_gym.world import World

ANSWER = UP + PASS + DOWN  # from sending to the result, 4.7 tokens
MS = 1_000_000


def play(world: World, drafter: DrafterRule, scheduler: SchedulerRule | None = None) -> Simulation:
    sim = Simulation(world, Policy("p", drafter, scheduler or SchedulerRule()), log=True)
    sim.until(60 * SECOND)
    assert (sim.state.outcomes["finished"] == 1).all()
    return sim


def ahead(k: int, **changes: Any) -> DrafterRule:
    return dataclasses.replace(DrafterRule.fixed(k), ahead=True, **changes)


def counts(sim: Simulation) -> dict[str, int]:
    return {name: int(sim.state.counters[name].sum()) for name in COUNTER.names or ()}


def deliveries(sim: Simulation) -> list[tuple[int, int]]:
    return [(row.time, row.a) for row in rows(sim, "deliver")]


FIRST = ANSWER  # the prompt's answer: token 1


def test_on_full_acceptance_the_next_draft_has_begun() -> None:
    """Length 9, all agree: rounds of 3 from tokens 1 and 5. While the first is verified (47 ms) the device
    drafts its guess of token 4 and 3.7 tokens of the next draft, which holds 3: nothing is left to draft."""
    sim = play(even_world([1] * 9), ahead(3))
    sent = FIRST + 3 * TOKEN
    answer = sent + ANSWER
    # Ahead, 1 + 3 tokens took 40 of the 47 ms: the second round is sent as the answer arrives.
    assert deliveries(sim) == [(FIRST, 1), (answer, 4), (answer + ANSWER, 4)]
    assert [(row.a, row.b, row.d) for row in rows(sim, "draft")] == [(3, 3, 0), (3, 3, 3 * TOKEN)]
    log = [(row.time, row.a, row.b, row.c, row.d) for row in rows(sim, "ahead")]
    assert log == [(answer, sent, 4, 3, 4 * TOKEN)]
    total = counts(sim)
    assert (total["drafted"], total["sent"], total["discarded"]) == (7, 6, 1)  # the guess is not sent
    assert (total["draft_ns"], total["waste_ns"]) == (7 * TOKEN, TOKEN)
    assert sim.state.counters["energy_j"].sum() == pytest.approx(2.0 * 7 * TOKEN * 1e-9)


def test_a_token_in_progress_goes_on() -> None:
    """Drafts of 6: of 1 + 6 tokens ahead 4.7 are done as the answer arrives; 2.3 are left to draft."""
    sim = play(even_world([1] * 15), ahead(6))
    sent = FIRST + 6 * TOKEN
    answer = sent + ANSWER
    left = 7 * TOKEN - ANSWER
    assert deliveries(sim) == [(FIRST, 1), (answer, 7), (answer + left + ANSWER, 7)]
    assert [(row.b, row.c, row.d) for row in rows(sim, "ahead")] == [(4, 3, ANSWER)]
    total = counts(sim)
    assert (total["drafted"], total["sent"], total["discarded"]) == (13, 12, 1)
    assert (total["draft_ns"], total["waste_ns"]) == (13 * TOKEN, TOKEN)


@pytest.mark.parametrize("wrong", [3, 4])
def test_otherwise_all_is_discarded(wrong: int) -> None:
    """A rejected token among those sent (1 to 3), or all accepted and a wrong guess of the next (4)."""
    accepts = [1] * 9
    accepts[wrong] = 0
    sim = play(even_world(accepts), ahead(3))
    sent = FIRST + 3 * TOKEN
    answer = sent + ANSWER
    got = wrong  # tokens 1 to wrong - 1 agree, the target gives token `wrong`
    assert deliveries(sim)[:2] == [(FIRST, 1), (answer, got if wrong == 3 else 4)]
    log = [(row.time, row.a, row.b, row.c, row.d) for row in rows(sim, "ahead")]
    assert log[0] == (answer, sent, 4, -1, 4 * TOKEN)
    second = rows(sim, "draft")[1]
    assert (second.time, second.d) == (answer, 0)
    third = deliveries(sim)[2][0]
    assert third == answer + second.a * TOKEN + ANSWER
    total = counts(sim)
    assert total["discarded"] >= 4
    assert total["drafted"] == total["sent"] + total["discarded"]
    assert total["waste_ns"] == total["discarded"] * TOKEN  # the first rejected token is none


def test_nothing_is_drafted_ahead_where_no_draft_can_follow() -> None:
    """Length 6: after a round of 3 the target's own token leaves one, which it supplies itself."""
    sim = play(even_world([1] * 6), ahead(3))
    assert not rows(sim, "ahead")
    assert counts(sim)["discarded"] == 0


def test_the_stop_rule_ends_drafting_ahead() -> None:
    """Scores fall below the threshold at position 2 (the first draft's end) and at 5: 4 is left unasked, as
    it is a guess."""
    world = even_world([1] * 12)
    signals = np.zeros((4, 12), np.float32)
    signals[0] = [0.9, 0.9, 0.1, 0.1, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]
    world = dataclasses.replace(world, signals=signals, off_signals=signals)
    rule = dataclasses.replace(DrafterRule.confidence(0.5), ahead=True)
    sim = play(world, rule)
    first, second, _ = rows(sim, "draft")
    assert (first.a, second.a, second.d) == (2, 2, 2 * TOKEN)  # positions 1-2; the guess of 3; 4-5
    assert rows(sim, "ahead")[0].b == 3
    assert second.time == FIRST + 2 * TOKEN + ANSWER


# --- time-outs

SLOW = 200_000_000  # a pass that takes longer than the time-out


def test_a_waiting_request_is_replaced_in_its_place() -> None:
    """Three devices, one request a pass. Device 0's rounds wait behind the prompts of the others."""
    world = even_world([1] * 12, SLOW, 3, [0, 1, 2])
    sim = play(world, ahead(3, timeout_s=0.1), SchedulerRule(max_requests=1))
    # Prompts' passes: 3 to 203, to 403, to 603 ms. Device 0 has token 1 at 207 and sends 3 tokens at 237;
    # they arrive at 240 and wait. The time-out at 337 merges 1 + 3 tokens drafted ahead.
    retry = rows(sim, "retry")[0]
    assert (retry.time, retry.device, retry.a, retry.b, retry.c) == (337 * MS, 0, 7, 4, 237 * MS)
    void = rows(sim, "supersede")[0]
    assert (void.time, void.device, void.a, void.b) == (340 * MS, 0, 3, 1)
    # The next time-out, at 437, has 4 more: 11 would be too many, as the session has 12 tokens and the target
    # gives its last. It merges the guess and two: 7 + 3 = 10.
    again = rows(sim, "retry")[1]
    assert (again.time, again.device, again.a, again.b, again.c) == (437 * MS, 0, 10, 3, 337 * MS)
    member = next(row for row in rows(sim, "member") if row.device == 0 and row.b > 0)
    assert (member.time, member.b, member.c) == (603 * MS, 10, 11)  # one pass for the rest of the session
    assert [row.b for row in rows(sim, "verify") if row.device == 0] == [0, 10]
    assert sim.state.requests[0]["arrived_ns"] == 240 * MS
    assert next(row.time for row in rows(sim, "deliver") if row.device == 0 and row.b == 12) == 807 * MS


def test_a_request_in_a_pass_is_not_replaced() -> None:
    """Alone, with slow passes: what is asked again at 100 ms is ignored, its tokens are of use."""
    sim = play(even_world([1] * 12, SLOW), ahead(3, timeout_s=0.1))
    sent = UP + SLOW + DOWN + 3 * TOKEN
    answer = sent + UP + SLOW + DOWN
    retries = [(row.time, row.a, row.b) for row in rows(sim, "retry")][:2]
    assert retries == [(sent + 100 * MS, 7, 4), (sent + 200 * MS, 10, 3)]
    void = [(row.time, row.a, row.b) for row in rows(sim, "supersede")][:2]
    assert void == [(sent + 103 * MS, 7, 0), (sent + 203 * MS, 10, 0)]
    # Of 7 tokens ahead the first was the guess; the next draft takes 3 of the other 6.
    log = rows(sim, "ahead")[0]
    assert (log.time, log.b, log.c, log.d) == (answer, 0, 6, 0)
    second = rows(sim, "draft")[1]
    assert (second.time, second.a, second.b, second.d) == (answer, 3, 3, 3 * TOKEN)
    total = counts(sim)
    assert total["drafted"] + total["resent"] == total["sent"] + total["discarded"]
    assert total["sent"] == total["verified"] + total["superseded"]
    assert total["accepted"] == total["verified"]
    assert total["draft_ns"] == total["drafted"] * TOKEN


def test_a_device_asks_again_no_more_often_than_it_may() -> None:
    for retries in (0, 1, 2):
        sim = play(even_world([1] * 4, 10 * SLOW), ahead(1, timeout_s=0.1, retries=retries))
        rounds = len(rows(sim, "draft"))
        assert len(rows(sim, "retry")) == retries * rounds > 0 or retries == 0


def test_an_answer_at_the_instant_of_the_time_out_comes_first() -> None:
    sim = play(even_world([1] * 9), ahead(3, timeout_s=1e-9 * ANSWER))
    assert not rows(sim, "retry")
    earlier = play(even_world([1] * 9), ahead(3, timeout_s=1e-9 * (ANSWER - 1)))
    assert len(rows(earlier, "retry")) == 2


def test_a_repeated_request_never_has_more_than_the_longest_draft() -> None:
    sim = play(even_world([1] * 60, 20 * SLOW), ahead(8, timeout_s=0.2, retries=9))
    assert max(row.a for row in rows(sim, "retry")) == 32
    assert max(row.b for row in rows(sim, "member")) <= 32


def test_without_drafting_ahead_a_retry_only_repeats() -> None:
    world = even_world([1, 0, 1, 1, 0, 1, 1, 1, 1], SLOW, 2, [0, 1])
    rule = DrafterRule.fixed(3)
    plain, asking = (play(world, dataclasses.replace(rule, timeout_s=t)) for t in (None, 0.05))
    assert deliveries(plain) == deliveries(asking)
    total = counts(asking)
    assert total["resent"] == total["superseded"] > 0
    assert counts(plain) | {"bytes": 0} | {
        name: total[name] for name in ("sent", "resent", "superseded")
    } == {
        **total,
        "bytes": 0,
        "network_ns": counts(plain)["network_ns"],
    }


class ByRule:
    """A commander that leaves every dispatch to WISP's scheduler, and caps as they are."""

    def command(self, simulation: Simulation) -> None:
        simulation.answer = BY_RULE


def test_commanded_devices_do_not_draft_ahead() -> None:
    """What an environment's agent says of drafts travels on replies; devices wait for them."""
    world = draw()
    rules = (
        DrafterRule.predictor(),
        dataclasses.replace(DrafterRule.predictor(), ahead=True, timeout_s=0.05),
    )
    one, other = (run(world, Policy("commanded", rule, ByRule())) for rule in rules)
    assert log_hash(one) == log_hash(other)
    assert log_hash(run(world, pair("rule", rules[1], SchedulerRule("slo-aware")))) != log_hash(one)


def test_the_engine_is_the_largest_static_batch() -> None:
    world = draw(TIGHT)
    sim = run(world, resolve("fixed:3+static:engine"))
    limit = int(world.arrays.server[0]["max_batch"])
    assert sim.state.control[0]["static_size"] == limit
    assert max(row.b for row in rows(sim, "pass")) == limit


def test_the_lane_shows_what_was_drafted_ahead() -> None:
    sim = play(even_world([1] * 9), ahead(3))
    work = [span for span in spans(sim) if span.lane == 0 and span.kind in (Kind.USEFUL, Kind.WASTED)]
    sent = FIRST + 3 * TOKEN
    assert [(span.kind, span.start_ns, span.end_ns, span.k) for span in work] == [
        (Kind.USEFUL, FIRST, sent, 3),
        (Kind.WASTED, sent, sent + TOKEN, 1),
        (Kind.USEFUL, sent + TOKEN, sent + 4 * TOKEN, 3),
    ]


# --- whatever the settings


@pytest.mark.parametrize("seed", range(8))
def test_alone_drafting_ahead_never_costs_time(seed: int) -> None:
    """Streams at random: the same rounds with the same outcome, none of them later."""
    random = np.random.default_rng(seed)
    world = even_world((random.random(80) < 0.8).astype(int).tolist())
    k = int(random.integers(1, 9))
    plain, eager = play(world, DrafterRule.fixed(k)), play(world, ahead(k))
    for one, other in zip(rows(plain, "draft", "deliver"), rows(eager, "draft", "deliver"), strict=True):
        assert (one.kind, one.a, one.b) == (other.kind, other.a, other.b)
        assert other.time <= one.time
    assert deliveries(eager)[-1][0] < deliveries(plain)[-1][0]


def in_flight(sim: Simulation) -> int:
    """Return the tokens in requests that are on the uplink, in the queue or in a pass."""
    state, total = sim.state, 0
    total += int(state.devices["k"][np.isin(state.devices["phase"], (UPLINK, QUEUED, VERIFYING))].sum())
    for _, key, message in state.events[: int(state.clock[0]["events"])].tolist():
        if event_kind(key) == ARRIVAL:
            total += message % 64
    return total


@pytest.mark.parametrize("seed", range(12))
def test_tokens_are_conserved_under_any_settings(seed: int, worlds: dict[str, World]) -> None:
    random = np.random.default_rng(seed)
    cap, score = int(random.integers(1, 20)), random.choice([None, "confidence", "stop"])
    rule = DrafterRule(
        caps=(cap, 1, cap, 5),
        score=None if score is None else str(score),  # type: ignore[arg-type]
        threshold=float(random.random()) if score else -np.inf,
        ahead=bool(random.random() < 0.8),
        timeout_s=float(random.uniform(0.005, 0.4)),
        retries=int(random.integers(0, 9)),
    )
    scheduler = SchedulerRule("static", static_size=int(random.integers(1, 9)), padded=True)
    sim = Simulation(worlds["tight"], pair("any", rule, scheduler))
    for time_s in (1, 4, 9, 25):
        sim.until(time_s * SECOND)
        total = counts(sim)
        assert total["drafted"] + total["resent"] >= total["sent"] + total["dropped"] + total["discarded"]
        assert total["sent"] == total["verified"] + total["superseded"] + in_flight(sim)
        assert total["verified"] == total["accepted"] + total["rejected"]
        assert 0 <= total["waste_ns"] <= total["draft_ns"]
        held = sim.state.devices["ahead"] - sim.state.devices["ahead_sent"]
        missing = total["drafted"] + total["resent"] - total["sent"] - total["discarded"]
        assert missing == held.sum()
    assert total["committed"] > 50


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ahead": True, "drop_suspect": True}, "drop_suspect"),
        ({"ahead": True, "server_loop": True}, "server_loop"),
        ({"timeout_s": 0.0}, "timeout_s: 0.0"),
        ({"timeout_s": float("nan")}, "timeout_s: nan"),
        ({"retries": -1}, "retries: -1"),
    ],
)
def test_wrong_settings_are_one_line(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as raised:
        DrafterRule(**changes)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)
