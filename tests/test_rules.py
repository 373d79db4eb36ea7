"""Each compiled rule's decision on requests made by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from core import EASY, TIGHT, draw, pair, run

from wisp_gym.estimation import fit_estimator
from wisp_gym.pipeline import DispatchView, DrafterRule
from wisp_gym.rules import control as rules
from wisp_gym.rules.control import CONTROL, REQUEST
from wisp_gym.rules.density import density
from wisp_gym.rules.estimate import estimate_ns
from wisp_gym.rules.select import PACK, select_members
from wisp_gym.rules.static import static_wake_ns
from wisp_gym.rules.wisp import bounds_guard, is_late, is_urgent
from wisp_gym.world import template_of
from wisp_gym.world.server import attention_pairs, pass_time_ns
from wisp_gym.world.types import SERVER

NOW = 1000
ESTIMATOR = np.array([100.0, 10.0, 0.0, 0.0])
"""A pass takes 100 ns and 10 ns for each new token."""


def request(**fields: Any) -> dict[str, Any]:
    """A warm request of one new token: its own pass takes 110 ns."""
    defaults = {"arrived_ns": 0, "k": 0, "take": 1, "cached": 50, "held": 50, "reserve": 51}
    defaults |= {"served_ns": -1, "admitted_ns": 0, "expected": 1.0, "deadline_ns": 1e9}
    made = defaults | fields
    made.setdefault("new", made["take"])
    made["alone_ns"] = 100.0 + 10.0 * made["take"]
    return made


def decide(
    *listed: dict[str, Any],
    order: tuple[int, ...] | None = None,
    max_batch: int = 4,
    max_new: int = 64,
    kv_tokens: int = 100_000,
    kv_used: int = 0,
    **settings: Any,
) -> list[int]:
    """Return the members of the pass, in order; [] with a negative number, -wake, where the rule waits."""
    count = len(listed)
    requests, control, server, pack = (
        np.zeros(count, REQUEST),
        np.zeros(1, CONTROL),
        np.zeros(1, SERVER),
        np.zeros(1, PACK),
    )
    for d, fields in enumerate(listed):
        requests[d]["device"] = d
        for name, value in fields.items():
            requests[d][name] = value
    server["max_batch"], server["max_new"], server["kv_tokens"] = max_batch, max_new, kv_tokens
    control["max_requests"], control["token_budget"] = max_batch, max_new
    for name, value in settings.items():
        control[name] = value
    waiting = np.array(order if order is not None else range(count), np.int64)
    work = [np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, np.float64)]
    batch = np.zeros(max(max_batch, count), np.int64)
    wake = select_members(
        requests, waiting, count, control[0], server[0], ESTIMATOR, NOW, 0, kv_used, pack[0], *work, batch
    )
    members: list[int] = batch[: int(pack[0]["members"])].tolist()
    return members if wake < 0 else [-int(wake)]


# --- plain orders


def test_fcfs_takes_the_oldest_and_ties_go_to_the_lower_device() -> None:
    queue = [request(arrived_ns=t) for t in (30, 10, 20, 10)]
    assert decide(*queue, scheduler=rules.FCFS) == [1, 3, 2, 0]
    assert decide(*queue, scheduler=rules.FCFS, order=(3, 2, 1, 0)) == [1, 3, 2, 0]
    assert decide(*queue, scheduler=rules.FCFS, max_requests=2) == [1, 3]


def test_edf_takes_the_earliest_deadline() -> None:
    queue = [request(deadline_ns=t) for t in (3000.0, 900.0, 2000.0, 900.0)]
    assert decide(*queue, scheduler=rules.EDF) == [1, 3, 2, 0]


def test_density_takes_most_expected_tokens_per_ns() -> None:
    queue = [
        request(expected=2.0, take=1),  # 2 / 110
        request(expected=3.0, take=10),  # 3 / 200
        request(expected=2.2, take=2),  # 2.2 / 120
        request(expected=9.0, take=40),  # 9 / 500
    ]
    assert decide(*queue, scheduler=rules.DENSITY) == [2, 0, 3, 1]
    records = np.zeros(1, REQUEST)
    records["expected"], records["alone_ns"] = 2.2, 120.0
    assert density(records[0]) == 2.2 / 120


def test_random_is_a_permutation_that_its_seed_decides() -> None:
    queue = [request() for _ in range(6)]
    orders = {
        tuple(decide(*queue, scheduler=rules.RANDOM_ORDER, max_batch=6, policy_seed=s)) for s in range(50)
    }
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert len(orders) > 40
    assert {order[0] for order in orders} == set(range(6))


# --- what fits


def test_what_does_not_fit_the_engine_is_skipped_not_waited_for() -> None:
    queue = [request(arrived_ns=0, take=40), request(arrived_ns=1, take=30), request(arrived_ns=2, take=24)]
    assert decide(*queue, scheduler=rules.FCFS) == [0, 2]
    assert decide(*queue, scheduler=rules.FCFS, max_new=70) == [0, 1]


def test_the_first_of_a_pass_may_exceed_the_token_budget() -> None:
    queue = [request(arrived_ns=0, take=40), request(arrived_ns=1, take=1)]
    assert decide(*queue, scheduler=rules.FCFS, token_budget=30) == [0]
    assert decide(*reversed(queue), scheduler=rules.EDF, token_budget=30) == [0]
    assert decide(*queue, scheduler=rules.FCFS, token_budget=41) == [0, 1]


def test_a_padded_pass_has_drafts_of_one_length() -> None:
    """Drafts of 2, 8 and 0 become three of 8; a prompt stays as long as it is."""
    queue = [request(arrived_ns=0, take=3, k=2), request(arrived_ns=1, take=9, k=8), request(arrived_ns=2)]
    assert decide(*queue, scheduler=rules.FCFS, padded=1, max_new=27) == [0, 1, 2]
    assert decide(*queue, scheduler=rules.FCFS, padded=1, max_new=26) == [0, 1]
    assert decide(*queue, scheduler=rules.FCFS, padded=1, max_new=17) == [0, 2]
    assert decide(*queue, scheduler=rules.FCFS, padded=0, max_new=13) == [0, 1, 2]
    prompt = request(arrived_ns=3, take=40, k=0)
    assert decide(queue[1], prompt, scheduler=rules.FCFS, padded=1, max_new=57) == [0, 1]
    assert decide(queue[1], prompt, scheduler=rules.FCFS, padded=1, max_new=56) == [0]


def test_a_pass_reserves_memory_for_its_members() -> None:
    queue = [request(arrived_ns=t, reserve=51) for t in range(3)]
    assert decide(*queue, scheduler=rules.FCFS, kv_tokens=102, kv_used=102) == [0, 1]
    assert decide(*queue, scheduler=rules.FCFS, kv_tokens=101, kv_used=101) == [0]


# --- static


def test_static_waits_for_its_size_or_its_limit() -> None:
    static = {"scheduler": rules.STATIC, "static_size": 3, "static_limit_ns": 50}
    fresh = [request(arrived_ns=t) for t in (990, 970, 980)]
    assert decide(*fresh, **static, max_requests=3) == [1, 2, 0]
    assert decide(*fresh[:2], **static) == [-1020]  # asked again when the oldest has waited 50 ns
    assert decide(request(arrived_ns=950), **static) == [0]
    assert decide(request(arrived_ns=951), **static) == [-1001]
    assert static_wake_ns(2, 0, 49, 3, 50) == 50
    assert static_wake_ns(2, 0, 50, 3, 50) == -1
    assert static_wake_ns(3, 0, 0, 3, 50) == -1


# --- continuous


def test_rotation_serves_who_has_waited_longest_since_its_last_pass() -> None:
    queue = [
        request(arrived_ns=900, served_ns=900, admitted_ns=100),
        request(arrived_ns=800, served_ns=800, admitted_ns=300),
        request(
            arrived_ns=500, served_ns=850, admitted_ns=200
        ),  # a prompt in part: its turn is by its last pass
    ]
    assert decide(*queue, scheduler=rules.CONTINUOUS) == [1, 2, 0]


def test_run_to_completion_keeps_to_the_first_admitted() -> None:
    cold = {"cached": 0, "held": 0, "admitted_ns": -1}
    queue = [
        request(arrived_ns=10, **cold),
        request(arrived_ns=900, admitted_ns=300),
        request(arrived_ns=950, admitted_ns=200),
        request(arrived_ns=5, **cold),
    ]
    assert decide(*queue, scheduler=rules.CONTINUOUS, to_completion=1) == [2, 1, 3, 0]
    assert decide(*queue, scheduler=rules.CONTINUOUS, to_completion=0) == [3, 0, 1, 2]


def test_a_cold_session_is_admitted_only_into_memory_that_nobody_holds() -> None:
    cold = request(arrived_ns=0, cached=0, held=0, reserve=51, admitted_ns=-1)
    warm = request(arrived_ns=900, served_ns=900, held=50, reserve=51)
    assert decide(cold, scheduler=rules.CONTINUOUS, kv_tokens=151, kv_used=100) == [0]
    assert decide(cold, warm, scheduler=rules.CONTINUOUS, kv_tokens=152, kv_used=100) == [0, 1]
    assert decide(cold, warm, scheduler=rules.CONTINUOUS, kv_tokens=150, kv_used=100) == [1]
    assert decide(cold, warm, scheduler=rules.FCFS, kv_tokens=102, kv_used=102) == [0, 1]  # others may evict
    # Nobody else waits: it goes, and the pipeline evicts.
    assert decide(cold, scheduler=rules.CONTINUOUS, kv_tokens=150, kv_used=100) == [0]


# --- WISP

WISP = {"scheduler": rules.SLO_AWARE}
READINGS = (rules.LATE_LITERAL, rules.LATE_URGENT, rules.LATE_LAST)


def record(**fields: Any) -> Any:
    made = np.zeros(1, REQUEST)
    for name, value in request(**fields).items():
        made[name] = value
    return made[0]


def test_late_and_urgent_by_their_definitions() -> None:
    """Alone a pass takes 110 ns; now is 1,000."""
    assert is_late(record(deadline_ns=1109.0), NOW)
    assert not is_late(record(deadline_ns=1110.0), NOW)
    assert is_urgent(record(deadline_ns=1110.0), NOW, 0)
    assert not is_urgent(record(deadline_ns=1111.0), NOW, 0)
    assert is_urgent(record(deadline_ns=1130.0), NOW, 20)
    late = record(deadline_ns=1000.0)
    assert [bool(bounds_guard(late, NOW, reading)) for reading in READINGS] == [True, False, False]


@pytest.mark.parametrize("late", READINGS)
def test_urgent_first_by_deadline_then_by_density(late: int) -> None:
    """The margin makes a wide gap between urgent and late; the deadlines leave room for all."""
    queue = [
        request(expected=1.0, deadline_ns=50_000.0),
        request(expected=4.0, deadline_ns=40_000.0),
        request(expected=1.0, deadline_ns=9000.0),
        request(expected=9.0, deadline_ns=8000.0),
    ]
    assert decide(*queue, **WISP, late=late, margin_ns=10_000) == [3, 2, 1, 0]
    assert decide(*queue, **WISP, late=late, margin_ns=0) == [3, 1, 0, 2]


@pytest.mark.parametrize("late", READINGS)
def test_the_guard_keeps_out_whoever_would_make_a_member_late(late: int) -> None:
    """Together the first two end at 1,000 + 100 + 10 * (1 + 30) = 1,410; with the third at 1,510."""
    tight, long, third = (
        request(deadline_ns=1410.0, expected=9.0),
        request(deadline_ns=1e6, take=30, expected=8.0),
        request(deadline_ns=1e6, take=10, expected=1.0),
    )
    assert decide(tight, long, third, **WISP, late=late) == [0, 1]
    tighter = tight | {"deadline_ns": 1409.0}
    assert decide(tighter, long, third, **WISP, late=late) == [0, 2]  # skipped, the next is tried
    # A candidate's own deadline counts as well.
    own = request(deadline_ns=1399.0, take=20, expected=0.5)
    assert decide(tight | {"deadline_ns": 1e6}, long, own, **WISP, late=late) == [0, 1]


LATE = request(deadline_ns=500.0, arrived_ns=400)
LATER = request(deadline_ns=400.0, arrived_ns=600)
FINE = request(deadline_ns=1e6, expected=1.0)
RICH = request(deadline_ns=1e6, expected=2.0)


def test_literal_a_late_request_goes_only_when_nothing_else_can() -> None:
    assert decide(LATE, LATER, FINE, RICH, **WISP, late=rules.LATE_LITERAL) == [3, 2]
    assert decide(LATE, LATER, **WISP, late=rules.LATE_LITERAL) == [1]  # the earliest deadline, alone


def test_urgent_late_requests_go_first_by_deadline() -> None:
    assert decide(LATE, LATER, FINE, RICH, **WISP, late=rules.LATE_URGENT) == [1, 0, 3, 2]


def test_last_late_requests_follow_all_others_oldest_first() -> None:
    assert decide(LATE, LATER, FINE, RICH, **WISP, late=rules.LATE_LAST) == [3, 2, 0, 1]


def test_a_late_request_cannot_make_others_late() -> None:
    """Its own deadline bounds nothing, those of the members that are not late still do."""
    heavy = request(deadline_ns=500.0, take=40)
    soon = request(deadline_ns=1200.0)
    assert decide(heavy, soon, **WISP, late=rules.LATE_LAST) == [1]
    assert decide(heavy, soon, **WISP, late=rules.LATE_URGENT) == [0]  # first; then no room for the other
    assert decide(heavy, soon | {"deadline_ns": 1510.0}, **WISP, late=rules.LATE_URGENT) == [0, 1]
    assert decide(heavy, soon | {"deadline_ns": 1509.0}, **WISP, late=rules.LATE_URGENT) == [0]


def test_wisp_packs_under_the_engines_limits() -> None:
    queue = [request(expected=float(9 - i), take=30) for i in range(4)]
    for late in READINGS:
        assert decide(*queue, **WISP, late=late) == [0, 1]
        assert decide(*queue, **WISP, late=late, max_new=200, max_requests=3) == [0, 1, 2]
        assert decide(*queue, **WISP, late=late, max_new=200, kv_tokens=60) == [0]


# --- deadlines and estimates, as requests get them


class Watching:
    """First come, first served; keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def select(self, view: DispatchView) -> list[int]:
        self.seen += [(view, row.copy()) for row in view.requests]
        return np.lexsort((view.requests["device"], view.requests["arrived_ns"])).tolist()


@pytest.mark.parametrize("reading", ["round", "timeline"])
def test_deadlines_are_what_the_readings_say(reading: str) -> None:
    world = draw((*EASY, f"classes.deadline={reading}"), seed=6)
    watching = Watching()
    run(world, pair("watch", DrafterRule.fixed(4), watching))
    kinds = {"prompt": 0, "round": 0}
    for _, seen in watching.seen:
        device, session = world.arrays.devices[seen["device"]], world.arrays.sessions[seen["session"]]
        group = world.arrays.groups[device["group"]]
        tokens = seen["expected"] + 1
        if seen["committed"] == 0:  # a prompt's first token is due by the timeline under both readings
            kinds["prompt"] += 1
            assert seen["expected"] == 0
            expected = seen["start_ns"] + group["allowance_ns"] + group["period_ns"]
        elif reading == "round":
            kinds["round"] += 1
            expected = seen["round_ns"] + tokens * group["period_ns"]
        else:
            kinds["round"] += 1
            due = seen["committed"] + tokens
            expected = seen["start_ns"] + group["allowance_ns"] + due * group["period_ns"]
        assert seen["deadline_ns"] == pytest.approx(expected - device["back_ns"], abs=1)
        assert seen["context"] == session["prompt"] + seen["committed"]
        assert seen["reserve"] == seen["context"] + seen["k"]
        assert seen["new"] == seen["context"] - seen["cached"] + seen["k"]
    assert min(kinds.values()) > 10


def test_a_requests_own_pass_is_the_estimators() -> None:
    world = draw(TIGHT, seed=6)
    watching = Watching()
    run(world, pair("watch", DrafterRule.fixed(4), watching))
    chunked = 0
    for view, seen in watching.seen:
        c0, c1, c2, c3 = view.estimator
        take, cached = int(seen["take"]), int(seen["cached"])
        assert take == min(int(seen["new"]), (view.max_new + 1) // 2)
        expected = c0 + c1 * take + c2 * take * (take + cached) + c3 * cached
        assert seen["alone_ns"] == pytest.approx(expected)
        chunked += take < seen["new"]
    assert chunked > 10


def test_expected_tokens_start_from_the_profile_and_follow_what_was_seen() -> None:
    world = draw(EASY, seed=6)
    prior = world.scenario.profiles.acceptance.expected_accepted[4]
    watching = Watching()
    sim = run(world, pair("watch", DrafterRule.fixed(4), watching))
    fours = [seen["expected"] for _, seen in watching.seen if seen["k"] == 4]
    assert fours[0] == pytest.approx(prior)
    accepted, count = sim.state.seen[:, 4]
    assert accepted / count != pytest.approx(prior, abs=1e-6)
    assert fours[-1] == pytest.approx(accepted / count, abs=0.05)


def test_the_estimator_is_four_terms_near_the_profiles_curve() -> None:
    """Mean absolute error below 10 % on batches it was not fitted to; steps it cannot follow."""
    template = template_of(draw(EASY).scenario)
    server = template.server[0]
    coefficients, _ = fit_estimator(server, template.pass_ns, template.noise, 80)
    assert coefficients.shape == (4,)
    random = np.random.default_rng(0)
    errors = []
    for _ in range(200):
        members = [
            (int(random.integers(1, 10)), int(random.integers(20, 160)))
            for _ in range(random.integers(1, server["max_batch"] + 1))
        ]
        new, cached = sum(n for n, _ in members), sum(c for _, c in members)
        exact = pass_time_ns(
            server,
            template.pass_ns,
            new,
            cached,
            sum(attention_pairs(n, c) for n, c in members),
            len(members),
        )
        guess = estimate_ns(
            coefficients, float(new), float(sum(n * (n + c) for n, c in members)), float(cached)
        )
        errors.append(abs(guess - exact) / exact)
    assert np.mean(errors) < 0.10
    assert math.isclose(estimate_ns(coefficients, 0.0, 0.0, 0.0), coefficients[0])
