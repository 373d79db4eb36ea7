"""Controllers in Python: what they are asked, what they may answer, what comes of it."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from core import (
    EASY,
    SECOND,
    TIGHT,
    agreements,
    draft_token_ns,
    draw,
    log_hash,
    pair,
    requests,
    rows,
    run,
)

from wisp_gym.errors import InputError
from wisp_gym.pipeline import (
    DispatchView,
    Drafter,
    DrafterRule,
    RoundView,
    Scheduler,
    SchedulerRule,
    Simulation,
    Stream,
    Wait,
)
from wisp_gym.world import World


class Answering:
    """A scheduler with one answer."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def select(self, view: DispatchView) -> Any:
        return self.answer(view) if callable(self.answer) else self.answer


class Drafting:
    """A drafter with one answer to each question."""

    def __init__(self, limit: Any = (3, -math.inf), score: Any = None) -> None:
        self.answer, self.scores = limit, score
        self.views: list[RoundView] = []

    def score(self, stream: Stream) -> Any:
        return np.zeros(len(stream), np.float32) if self.scores is None else self.scores(stream)

    def limit(self, view: RoundView) -> Any:
        self.views.append(view)
        return self.answer(view) if callable(self.answer) else self.answer


TINY = (*EASY, "fleet.devices=5")


@pytest.fixture(scope="module")
def tiny() -> World:
    return draw(TINY)


def test_the_protocols_are_what_the_classes_follow() -> None:
    assert isinstance(Answering([0]), Scheduler)
    assert isinstance(Drafting(), Drafter)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        [0, 0],
        [-1],
        [99],
        [0.0],
        [True],
        [[0]],
        [[1], [2, 3]],
        "abc",
        [None],
        np.array([np.nan]),
        Wait(-1),
        Wait(0),
        Wait(2**63),
        Wait(math.nan),  # type: ignore[arg-type]
        Wait(math.inf),  # type: ignore[arg-type]
        Wait("later"),  # type: ignore[arg-type]
        Wait(None),  # type: ignore[arg-type]
        pytest.param(lambda view: Wait(view.now_ns), id="until now"),
        pytest.param(lambda view: Wait(view.now_ns + 0.5), id="until a part of a nanosecond"),
    ],
    ids=lambda answer: "a wait" if callable(answer) else repr(answer),  # the same in every process
)
def test_a_schedulers_bad_answer_is_refused(tiny: World, answer: Any) -> None:
    sim = Simulation(tiny, pair("bad", DrafterRule.fixed(2), Answering(answer)))
    with pytest.raises(InputError, match=r"^Scheduler\.select: .*allowed"):
        sim.run()


@pytest.mark.parametrize(
    "limit",
    [
        None,
        3,
        (3,),
        (3, 0.0, 1),
        (-1, 0.0),
        (33, 0.0),
        (3.0, 0.0),
        (True, 0.0),
        ("3", 0.0),
        (math.nan, 0.0),
        (3, math.nan),
        (3, None),
        (3, "low"),
    ],
    ids=repr,
)
def test_a_drafters_bad_limit_is_refused(tiny: World, limit: Any) -> None:
    sim = Simulation(tiny, pair("bad", Drafting(limit)))
    with pytest.raises(InputError, match=r"^Drafter\.limit: .*allowed"):
        sim.run()


@pytest.mark.parametrize(
    "score",
    [
        lambda stream: None,
        lambda stream: 0.0,
        lambda stream: np.zeros(len(stream) + 1),
        lambda stream: np.zeros((len(stream), 1)),
        lambda stream: np.full(len(stream), np.nan),
        lambda stream: ["low"] * len(stream),
        lambda stream: [[1], [1, 2]],
        lambda stream: np.zeros(len(stream)) * 1j,
    ],
)
def test_a_drafters_bad_scores_are_refused(tiny: World, score: Any) -> None:
    with pytest.raises(InputError, match=r"^Drafter\.score: .*allowed"):
        Simulation(tiny, pair("bad", Drafting((3, 0.5), score)))


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "lifo"},
        {"late": "never"},
        {"max_requests": 0},
        {"token_budget": -5},
        {"static_size": 0},
        {"margin_s": math.nan},
        {"margin_s": -1.0},
        {"static_limit_s": math.inf},
    ],
    ids=repr,
)
def test_impossible_scheduler_settings_are_refused(tiny: World, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="allowed"):
        Simulation(tiny, pair("bad", DrafterRule.none(), SchedulerRule(**settings)))


@pytest.mark.parametrize(
    "settings",
    [
        {"caps": (1, 2, 3)},
        {"caps": (33, 0, 0, 0)},
        {"caps": (-1, 0, 0, 0)},
        {"caps": (1.5, 1, 1, 1)},
        {"kind": "greedy"},
        {"score": "luck", "threshold": 0.5},
        {"score": "confidence", "threshold": math.nan},
        {"kind": "table"},
        {"kind": "table", "table": ((4, 3), (4, 1))},
        {"kind": "table", "table": ((0, 3),)},
        {"kind": "table", "table": ((8, 33),)},
        {"kind": "table", "table": ((8, 2.5),)},
        {"kind": "ucb"},
        {"kind": "ucb", "caps": (8, 8, 8, 8), "explore": math.inf},
        {"kind": "ucb", "caps": (8, 8, 8, 8), "explore": -0.1},
        {"caps": (5, 5, 5, 5), "score": "stop", "recall": 0.995},
        {"caps": (5, 5, 5, 5), "score": "stop", "recall": 1.5},
    ],
    ids=repr,
)
def test_impossible_drafter_settings_are_refused(tiny: World, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"allowed|known"):
        Simulation(tiny, pair("bad", DrafterRule(**settings)))


def test_a_python_drafter_decides_each_round(tiny: World) -> None:
    drafter = Drafting(lambda view: (2 + 3 * (view.device % 2), -math.inf))
    sim = run(tiny, pair("odd and even", drafter))
    for row in rows(sim, "draft"):
        assert row.b <= 2 + 3 * (row.device % 2)
    longest = {d: max(row.b for row in rows(sim, "draft") if row.device == d) for d in range(5)}
    assert longest == {0: 2, 1: 5, 2: 2, 3: 5, 4: 2}
    same = Simulation(tiny, pair("3", Drafting()), log=True).run()
    assert log_hash(same) == log_hash(run(tiny, pair("fixed", DrafterRule.fixed(3))))


def test_a_round_view_is_what_the_device_knows(tiny: World) -> None:
    drafter = Drafting()
    sim = run(tiny, pair("watch", drafter))
    drafts, arrays = rows(sim, "draft"), tiny.arrays
    assert len(drafts) == len(drafter.views)
    last: dict[int, tuple[int, int, int]] = {}
    events = iter(rows(sim, "start", "draft", "verify", "deliver"))
    views = iter(drafter.views)
    delivered: dict[int, int] = defaultdict(int)
    sent: dict[int, int] = {}
    for row in events:
        if row.kind == "start":
            last[row.device], delivered[row.session] = (0, 0, 0), 0
            sent[row.device] = row.a
        elif row.kind == "verify":
            last[row.device] = (row.session, last[row.device][1], row.b)
        elif row.kind == "deliver":
            delivered[row.session] = row.b
        else:
            view = next(views)
            session = arrays.sessions[row.session]
            group = int(arrays.devices[row.device]["group"])
            assert (view.device, view.group) == (row.device, group)
            assert view.now_s == pytest.approx(row.time / SECOND, abs=1e-9)
            assert view.rate_tps == arrays.groups[group]["rate_tps"]
            assert view.committed == delivered[row.session]
            assert view.committed < session["length"]
            assert (view.last_k, view.last_accepted) == last[row.device][1:]
            assert view.round_trip_s == pytest.approx((row.time - sent[row.device]) / SECOND, abs=2e-9)
            last[row.device] = (row.session, row.b, 0)
            sent[row.device] = row.time + row.a * draft_token_ns(tiny, row.device, checked=False)


def test_scores_stop_a_draft_on_and_off_the_path(tiny: World) -> None:
    """A score that falls at every third position of a session ends a draft there, sent with its suspect."""
    drafter = Drafting((8, 0.5), lambda stream: np.arange(len(stream)) % 3 != 2)
    with pytest.raises(InputError, match=r"Drafter\.score"):  # truth values are no scores
        Simulation(tiny, pair("third", drafter))
    drafter = Drafting((8, 0.5), lambda stream: (np.arange(len(stream)) % 3 != 2).astype(np.float32))
    sim = run(tiny, pair("third", drafter))
    committed: dict[int, int] = defaultdict(int)
    seen = set()
    for row in rows(sim, "draft", "verify"):
        if row.kind == "verify":
            committed[row.session] = row.c
            continue
        at, length = committed[row.session], int(tiny.arrays.sessions[row.session]["length"])
        assert row.a == row.b == min(3 - at % 3, length - at - 1)
        seen.add(row.a)
    assert {1, 2, 3} <= seen


def test_a_stop_score_reads_the_true_prefix_up_to_the_first_mismatch_then_the_other(tiny: World) -> None:
    """On the path nothing is below the threshold, off it everything: a draft ends one after its mismatch."""
    calls: list[int] = []

    def alternate(stream: Stream) -> Any:  # asked on the true prefix for all sessions, then off it
        calls.append(len(stream))
        sessions = len(tiny.arrays.sessions)
        return np.full(len(stream), 1.0 if len(calls) <= sessions else 0.0)

    sim = run(tiny, pair("off", Drafting((8, 0.5), alternate)))
    assert len(calls) == 2 * len(tiny.arrays.sessions)
    committed: dict[int, int] = defaultdict(int)
    mismatches = 0
    for row in rows(sim, "draft", "verify"):
        if row.kind == "verify":
            committed[row.session] = row.c
            continue
        at, length = committed[row.session], int(tiny.arrays.sessions[row.session]["length"])
        limit = min(8, length - at - 1)
        run_of = agreements(tiny, row.session, at, limit)
        assert row.a == min(run_of + 2, limit)
        mismatches += row.a == run_of + 2
    assert mismatches > 20


def test_a_python_scheduler_serves_in_its_order(tiny: World) -> None:
    """Last come, first served, one at a time."""
    sim = run(tiny, pair("lifo", DrafterRule.fixed(2), Answering(lambda view: [len(view.requests) - 1])))
    arrived = {(r.session, r.passes[0]): r.queued[0] for r in requests(sim) if r.passes}
    waits: list[tuple[int, int]] = [
        (r.queued[0], next(p.time for p in rows(sim, "pass") if p.a == r.passes[0]))
        for r in requests(sim)
        if r.passes
    ]
    assert len(arrived) > 50
    for row in rows(sim, "pass"):
        assert row.b == 1
    for queued, served in waits:
        overtaken = [q for q, s in waits if queued < q < served and s > served]
        assert not overtaken  # nobody who came later and was there waits longer


def test_a_dispatch_view_is_the_queue_in_order_of_arrival(tiny: World) -> None:
    seen: list[DispatchView] = []

    def select(view: DispatchView) -> list[int]:
        seen.append(view)
        return [0]

    sim = run(tiny, pair("watch", DrafterRule.fixed(2), Answering(select)))
    server = tiny.arrays.server[0]
    assert len(seen) == len(rows(sim, "pass"))
    for view, row in zip(seen, rows(sim, "pass"), strict=True):
        assert (view.now_ns, view.batch_no) == (row.time, row.a)
        arrived = view.requests["arrived_ns"]
        assert (np.diff(arrived) >= 0).all()
        assert (arrived <= view.now_ns).all()
        assert view.max_requests == server["max_batch"]
        assert view.max_new == server["max_new"]
        assert 0 <= view.kv_used <= view.kv_tokens == server["kv_tokens"]
        assert (
            view.requests["new"] == view.requests["context"] - view.requests["cached"] + view.requests["k"]
        ).all()
        assert view.waited_ns == 0


def test_a_view_may_be_scribbled_on(tiny: World) -> None:
    def select(view: DispatchView) -> list[int]:
        view.requests["k"] = 99
        view.requests["deadline_ns"] = 0
        return list(range(len(view.requests)))

    fcfs = run(tiny, pair("fcfs", DrafterRule.fixed(2)))
    assert log_hash(run(tiny, pair("rude", DrafterRule.fixed(2), Answering(select)))) == log_hash(fcfs)


CHUNKED = (*TIGHT, "server.max_batch=4")


def in_order(view: DispatchView) -> list[int]:
    """First come, first served."""
    return np.lexsort((view.requests["device"], view.requests["arrived_ns"])).tolist()


def test_what_does_not_fit_is_skipped() -> None:
    world = draw(CHUNKED, seed=3)
    python = run(world, pair("all", DrafterRule.fixed(2), Answering(in_order)))
    assert log_hash(python) == log_hash(run(world, pair("fcfs", DrafterRule.fixed(2))))
    assert max(row.b for row in rows(python, "pass")) == 4


def test_the_view_is_in_order_of_arrival_even_with_chunks() -> None:
    world = draw(CHUNKED, seed=3)
    as_listed = Answering(lambda view: list(range(len(view.requests))))
    fcfs = run(world, pair("fcfs", DrafterRule.fixed(2)))
    assert log_hash(run(world, pair("listed", DrafterRule.fixed(2), as_listed))) == log_hash(fcfs)


class Patient:
    """Waits 20 ms before every pass."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def select(self, view: DispatchView) -> list[int] | Wait:
        self.asked.append((view.now_ns, view.waited_ns))
        return Wait(view.now_ns + 20_000_000 - view.waited_ns) if view.waited_ns < 20_000_000 else [0]


def test_a_wait_ends_at_its_time_or_at_the_next_arrival(tiny: World) -> None:
    scheduler = Patient()
    sim = run(tiny, pair("patient", DrafterRule.fixed(2), scheduler))
    arrivals = {at for request in requests(sim) for at in request.queued}
    waits, passes = rows(sim, "wait"), rows(sim, "pass")
    asked = [now for now, _ in scheduler.asked]
    assert asked == sorted(row.time for row in waits + passes)
    assert len(asked) == len(set(asked))  # always later than the last time
    early = 0
    for i, wait in enumerate(waits):
        again = next((now for now in asked if now > wait.time), sim.now_ns)
        arrived = [at for at in arrivals if wait.time < at <= wait.a]
        assert again == min([wait.a, *arrived, sim.now_ns]), i
        early += again < wait.a
    assert 0 < early < len(waits)
    first = {row.time for row in passes}
    assert all(waited == 20_000_000 for now, waited in scheduler.asked if now in first)


def test_waiting_for_ever_ends_at_the_horizon(tiny: World) -> None:
    sim = run(tiny, pair("never", DrafterRule.fixed(2), Answering(lambda view: Wait(view.now_ns + 10**15))))
    assert sim.now_ns == tiny.horizon_ns
    assert not rows(sim, "pass", "deliver")
    assert sim.state.counters["due"].sum() > 0
    assert sim.state.counters["due_on_time"].sum() == 0
