"""What WISP's paper leaves open, as options: each changes decisions in the way that it says."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from core import EASY, draw, log_hash, pair, run

from baselines import resolve
from baselines.settings import SAFETY_MARGIN_S
from baselines.wisp_python import PythonWispDrafter, PythonWispScheduler
from wisp_gym.errors import InputError
from wisp_gym.pipeline import DispatchView, DrafterRule, Policy, SchedulerRule
from wisp_gym.pipeline.state import DEVICE_STATE
from wisp_gym.rules import control as rules
from wisp_gym.rules.expected import PRIOR_ROUNDS, expected_accepted
from wisp_gym.world import World

CROWDED = (*EASY, "fleet.devices=48", "server.noise_cv=0.1")


class Watching:
    """First come, first served, noting what its requests carry."""

    def __init__(self, rule: SchedulerRule) -> None:
        self.requests_as = rule
        self.requests: list[Any] = []

    def select(self, view: DispatchView) -> list[int]:
        self.requests += [request.copy() for request in view.requests]
        return list(range(len(view.requests)))


def watched(world: World, **readings: Any) -> Watching:
    watching = Watching(SchedulerRule("slo-aware", **readings))
    run(world, pair("watching", DrafterRule.predictor(), watching))
    return watching


def rule_of(name: str) -> SchedulerRule:
    rule = resolve(name).scheduler
    assert isinstance(rule, SchedulerRule)
    return rule


@pytest.mark.parametrize("name", ["wisp", "predictor+slo-aware"])
def test_every_option_is_read(name: str) -> None:
    plain = rule_of(name)
    assert (plain.margin_s, plain.expected) == (SAFETY_MARGIN_S, "fleet")
    rule = rule_of(f"{name}:expected=session,margin=0.05,late=urgent,deadline=timeline")
    assert (rule.late, rule.deadline, rule.margin_s, rule.expected) == ("urgent", "timeline", 0.05, "session")


def test_a_name_spells_what_is_not_the_default() -> None:
    assert resolve("wisp").name == "wisp:late=last"
    assert resolve("wisp:margin=0.3,expected=fleet").name == "wisp:late=last"
    full = "wisp:late=urgent,deadline=round,margin=0.05,expected=profile"
    assert resolve(full).name == full


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("margin=-1", "wisp:margin=-1: '-1' must be a number from 0 to 60"),
        ("margin=nan", "must be a number from 0 to 60"),
        ("margin=", "must be a number"),
        ("expected=device", "unknown wisp:expected 'device'"),
        ("margin=1,margin=2", "margin is given twice"),
        ("slack=1", "unknown option of wisp 'slack=1'"),
    ],
)
def test_bad_options_give_one_line(options: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        resolve(f"wisp:{options}")
    assert says in str(error.value)


OPTIONS = (
    "late=literal",
    "late=urgent",
    "deadline=timeline",
    "margin=0.02",
    "margin=0.5",
    "expected=profile",
    "expected=session",
)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_changes_decisions(option: str) -> None:
    world = draw(CROWDED, seed=11)
    assert log_hash(run(world, resolve(f"wisp:{option}"))) != log_hash(run(world, resolve("wisp")))


def test_profile_is_what_the_acceptance_profile_says() -> None:
    world = draw(CROWDED, seed=11)
    for request in watched(world, expected="profile").requests:
        assert request["expected"] == world.arrays.expected[request["k"]]


def test_fleet_moves_with_all_sessions_and_is_one_number_per_length_at_a_time() -> None:
    seen = [request for request in watched(draw(CROWDED, seed=11)).requests if request["k"] == 4]
    assert len({request["expected"] for request in seen}) > 10
    by_arrival: dict[int, set[float]] = {}
    for request in seen:
        by_arrival.setdefault(int(request["arrived_ns"]), set()).add(float(request["expected"]))
    assert all(len(values) == 1 for values in by_arrival.values())


def test_session_tells_good_drafters_from_bad_ones_by_what_was_accepted_so_far() -> None:
    """Recomputed from the log: what the server has verified of the session, nothing that is to come."""
    world = draw(CROWDED, seed=11)
    watching = Watching(SchedulerRule("slo-aware", expected="session"))
    sim = run(world, pair("watching", DrafterRule.predictor(), watching))
    seen = np.zeros((2, rules.MAX_DRAFT + 1))
    seen[0], seen[1] = PRIOR_ROUNDS * world.arrays.expected, PRIOR_ROUNDS
    taken: dict[int, tuple[float, float]] = {}
    sent: dict[int, int] = {}
    expected: dict[tuple[int, int], float] = {}
    arrivals = {(int(r["session"]), int(r["committed"])): r for r in watching.requests}
    committed: dict[int, int] = {}
    order = sorted(arrivals.values(), key=lambda r: int(r["arrived_ns"]))
    at = 0
    for time, kind, _, session, _, b, c, _ in sim.events.tolist():
        while at < len(order) and int(order[at]["arrived_ns"]) < time:
            s, k = int(order[at]["session"]), int(order[at]["k"])
            got, foreseen = taken.get(s, (0.0, 0.0))
            if k:
                mean = seen[0, k] / seen[1, k]
                prior = PRIOR_ROUNDS * mean
                expected[s, int(order[at]["committed"])] = min(k, mean * (prior + got) / (prior + foreseen))
            at += 1
        if kind == 2:  # member
            sent[session] = b
        elif kind == 4:  # verify: accepted
            k = sent[session]
            got, foreseen = taken.get(session, (0.0, 0.0))
            taken[session] = (got + b, foreseen + seen[0, k] / seen[1, k])
            seen[0, k] += b
            seen[1, k] += 1
            committed[session] = c
    ratios = [float(arrivals[key]["expected"]) / value for key, value in expected.items() if key in arrivals]
    assert len(ratios) > 100
    assert np.mean(np.isclose(ratios, 1.0)) > 0.9  # an arrival at the very instant of a pass's end may differ


def test_session_reading_in_numbers() -> None:
    profile, seen = np.arange(33.0), np.ones((2, 33))
    seen[0, 4], seen[1, 4] = 200.0, 100.0  # two of four accepted
    device = np.zeros(1, DEVICE_STATE)[0]
    read = (profile, seen, device, 4)
    assert expected_accepted(*read, rules.EXPECTED_PROFILE) == 4.0
    assert expected_accepted(*read, rules.EXPECTED_FLEET) == 2.0
    assert expected_accepted(*read, rules.EXPECTED_SESSION) == 2.0
    device["taken"], device["foreseen"] = 60, 20.0  # this session does better: (40 + 60) / (40 + 20)
    assert expected_accepted(*read, rules.EXPECTED_SESSION) == pytest.approx(2.0 * 100 / 60)
    device["taken"] = 10**6  # never more than was sent
    assert expected_accepted(*read, rules.EXPECTED_SESSION) == 4.0
    assert expected_accepted(profile, seen, device, 0, rules.EXPECTED_SESSION) == 0.0


def test_a_larger_margin_makes_more_requests_urgent() -> None:
    """Urgent ones go by deadline: with a huge margin WISP's order is earliest deadline first."""
    world = draw((*EASY, "fleet.devices=48"), seed=11)

    class Counting(PythonWispScheduler):
        urgent = total = 0

        def select(self, view: DispatchView) -> list[int]:
            slack = view.requests["deadline_ns"] - view.requests["alone_ns"] - view.now_ns
            self.urgent += int((slack <= self.margin_ns).sum())
            self.total += len(slack)
            return super().select(view)

    shares = []
    for margin_s in (0.0, 0.1, 5.0):
        counting = Counting("last", margin_s)
        run(world, pair("counting", DrafterRule.predictor(), counting))
        shares.append(counting.urgent / counting.total)
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 0.99


@pytest.mark.parametrize("expected", ["profile", "session"])
@pytest.mark.parametrize("deadline", ["round", "timeline"])
def test_python_wisp_follows_the_readings(expected: Any, deadline: Any) -> None:
    world = draw(CROWDED, seed=11)
    rule = SchedulerRule("slo-aware", deadline=deadline, expected=expected, margin_s=0.05)
    compiled = run(world, Policy("compiled", DrafterRule.predictor(), rule))
    drafter = PythonWispDrafter(world.scenario.profiles.predictor)
    scheduler = PythonWispScheduler("last", 0.05, deadline, expected)
    assert np.array_equal(compiled.events, run(world, Policy("python", drafter, scheduler)).events)


def test_a_scheduler_that_says_nothing_sees_the_scenarios_readings() -> None:
    world = draw(CROWDED, seed=11)
    silent, spoken = PythonWispScheduler(), PythonWispScheduler("last", expected="session")
    del silent.requests_as
    one = log_hash(run(world, pair("silent", DrafterRule.predictor(), silent)))
    assert one == log_hash(run(world, pair("wisp", DrafterRule.predictor(), SchedulerRule("slo-aware"))))
    assert one != log_hash(run(world, pair("spoken", DrafterRule.predictor(), spoken)))


def test_unknown_readings_are_refused_in_code_too() -> None:
    with pytest.raises(InputError, match="expected: 'device'; allowed: profile, fleet, session"):
        dataclasses.replace(SchedulerRule("slo-aware"), expected="device")  # type: ignore[arg-type]
