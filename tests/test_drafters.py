"""How each drafter decides: against its rule in plain Python, on streams made by hand and on whole logs."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from core import (
    BASE,
    EASY,
    SECOND,
    TIGHT,
    Row,
    constant_links,
    draw,
    hand_made,
    pair,
    rows,
    run,
    server_like,
    small,
    with_arrays,
    without_noise,
)
from numpy.typing import NDArray

from wisp_gym.pipeline import DrafterRule, Simulation
from wisp_gym.pipeline.scores import compiled_scores
from wisp_gym.pipeline.state import PRIOR_ROUNDS
from wisp_gym.rules.entropy import adaedl_nats, svip_nats
from wisp_gym.rules.goodput import KEPT, best_length
from wisp_gym.rules.table import by_batch_size
from wisp_gym.rules.ucb import learn_round, pick_arm
from wisp_gym.world import World, draw_world

CAP = 8
Stop = Callable[[list[float]], bool]


def one_session(length: int, accepts: Sequence[int]) -> World:
    """Return a world of one device with one session, without noise."""
    base = draw_world(small(*BASE), 0, devices=1, horizon_s=0.01)
    base = without_noise(constant_links(base, 20_000_000, 20_000_000))
    base = with_arrays(base, server=server_like(base, kv_tokens=10**7, cached_ns=0, pair_ns=0))
    return hand_made(base, 1, [length], [0], list(accepts))


def finished(world: World, drafter: DrafterRule) -> Simulation:
    sim = Simulation(world, pair("one", drafter), log=True)
    sim.until(10**6 * SECOND)
    assert sim.state.outcomes["finished"].all()
    return sim


def drafted(sim: Simulation) -> list[int]:
    return [row.a for row in rows(sim, "draft")]


def walk(accepts: Sequence[int], on: Sequence[float], off: Sequence[float], stop: Stop) -> list[int]:
    """Return how much each round of a session drafts, by a rule that sees the round's values so far."""
    committed, lengths = 1, []  # the prefill commits the first token
    while committed < len(accepts):
        seen: list[float] = []
        accepted = 0
        while len(seen) < min(CAP, len(accepts) - committed - 1):
            at = committed + len(seen)
            on_path = accepted == len(seen)
            seen.append(on[at] if on_path else off[at])
            accepted += int(on_path and accepts[at])
            if stop(seen):
                break
        lengths.append(len(seen))
        committed += accepted + 1
    return lengths


def uneven(length: int) -> tuple[World, list[int]]:
    """Return a session with signals of all sorts, and its agreements."""
    draws = np.random.default_rng(7)
    accepts = (draws.random(length) < 0.7).astype(int).tolist()
    confidence, off = draws.random((2, length), np.float32) * 0.98 + 0.01
    entropy, off_entropy = draws.exponential(0.5, (2, length)).astype(np.float32)
    margin, spread = 0.9 * confidence, np.full(length, 4.0, np.float32)
    world = dataclasses.replace(
        one_session(length, accepts),
        signals=np.stack([confidence, entropy, margin, spread]).astype(np.float32),
        off_signals=np.stack([off, off_entropy, 0.9 * off, spread]).astype(np.float32),
    )
    return world, accepts


# --- entropy


def test_entropy_stops_where_svip_does() -> None:
    world, accepts = uneven(400)
    stop: Stop = lambda seen: math.sqrt(0.15 * seen[-1]) > 0.3  # noqa: E731
    entropy, off = world.signals[1].tolist(), world.off_signals[1].tolist()
    lengths = drafted(finished(world, DrafterRule.entropy(svip_nats(), CAP)))
    assert lengths == walk(accepts, entropy, off, stop)
    assert {1, 2, 3, CAP} <= set(lengths)


def test_entropy_stops_where_adaedl_does() -> None:
    world, accepts = uneven(400)
    stop: Stop = lambda seen: 1 - math.sqrt(0.2 * seen[-1]) < 0.6  # noqa: E731
    entropy, off = world.signals[1].tolist(), world.off_signals[1].tolist()
    lengths = drafted(finished(world, DrafterRule.entropy(adaedl_nats(0.6), CAP)))
    assert lengths == walk(accepts, entropy, off, stop)
    assert lengths != drafted(finished(world, DrafterRule.entropy(svip_nats(), CAP)))


# --- specdec++


@pytest.mark.parametrize("h", [0.3, 0.7, 0.95])
def test_specdec_stops_where_a_rejection_has_become_likely(h: float) -> None:
    world, accepts = uneven(400)
    logits, off_logits = (scores.tolist() for scores in compiled_scores(world, "observed"))

    def rejection_likely(seen: list[float]) -> bool:
        return 1 - math.prod(1 / (1 + math.exp(-logit)) for logit in seen) > h

    lengths = drafted(finished(world, DrafterRule.specdec(h, CAP)))
    assert lengths == walk(accepts, logits, off_logits, rejection_likely)
    assert len(set(lengths)) >= 4


def test_specdec_at_its_ends() -> None:
    world, accepts = uneven(200)
    assert set(drafted(finished(world, DrafterRule.specdec(0.0, CAP)))) <= {0, 1}
    never: Stop = lambda seen: False  # noqa: E731
    nothing = [0.0] * len(accepts)
    assert drafted(finished(world, DrafterRule.specdec(1.0, CAP))) == walk(accepts, nothing, nothing, never)


def test_the_probability_of_agreement_is_calibrated() -> None:
    world = draw((*EASY, "fleet.devices=40", "horizon_s=150"), seed=3)
    probability = compiled_scores(world, "agreement")[0]
    agrees = world.arrays.accepts
    edges = np.quantile(probability, np.linspace(0, 1, 11)[1:-1])
    tenth = np.searchsorted(edges, probability)
    assert len(agrees) > 10_000
    for i in range(10):
        assert abs(probability[tenth == i].mean() - agrees[tenth == i].mean()) < 0.07, i


# --- what replies carry


def carried(sim: Simulation) -> list[tuple[Row, int]]:
    """Return every round's draft with the number of the last pass that its session was in."""
    last: dict[int, int] = {}
    result = []
    for row in rows(sim, "member", "draft"):
        if row.kind == "member":
            last[row.device] = row.a
        else:
            result.append((row, last[row.device]))
    return result


def room(sim: Simulation, at: list[tuple[Row, int]]) -> list[int]:
    """Return for each draft how many tokens its session still allows."""
    committed: dict[int, int] = defaultdict(int)
    sessions, rooms = sim.world.arrays.sessions, []
    for row in rows(sim, "verify", "draft"):
        if row.kind == "verify":
            committed[row.session] = row.c
        else:
            rooms.append(int(sessions[row.session]["length"]) - committed[row.session] - 1)
    assert len(rooms) == len(at)
    return rooms


def test_a_table_has_a_length_for_every_size() -> None:
    assert by_batch_size(((2, 5), (4, 2)), 6).tolist() == [5, 5, 5, 2, 2, 0, 0]
    assert by_batch_size(((64, 3), (128, 1)), 16).tolist() == [3] * 17
    wide = by_batch_size(((64, 3), (128, 1)), 200)
    assert [int(wide[n]) for n in (1, 64, 65, 128, 129, 200)] == [3, 3, 1, 1, 0, 0]


def test_the_table_is_read_by_the_size_of_the_last_pass() -> None:
    sim = run(draw(TIGHT), pair("table", DrafterRule.by_batch(((2, 5), (4, 2)))))
    members = {row.a: row.b for row in rows(sim, "pass")}
    length = {1: 5, 2: 5, 3: 2, 4: 2, 5: 0, 6: 0}
    at = carried(sim)
    for (row, number), left in zip(at, room(sim, at), strict=True):
        assert row.a == min(length[members[number]], left)
    assert {5, 2, 0} <= {row.a for row, _ in at}


# --- goodput


def committed_on_average(acceptance: float, k: int) -> float:
    return k + 1 if acceptance == 1 else (1 - acceptance ** (k + 1)) / (1 - acceptance)


def most_goodput(acceptance: float, contexts: list[int], law: NDArray[np.float64], longest: int) -> int:
    """Return the k of most expected committed tokens per second, by its definition."""

    def goodput(k: int) -> float:
        new, cached = len(contexts) * (k + 1), sum(contexts)
        pairs = sum((k + 1) * (k + 1 + context) for context in contexts)
        time_ns = law[0] + law[1] * new + law[2] * pairs + law[3] * cached
        return float(len(contexts) * committed_on_average(acceptance, k) / time_ns)

    return max(range(longest + 1), key=goodput)


@pytest.mark.parametrize("acceptance", [0.05, 0.4, 0.75, 0.95])
def test_goodput_takes_the_length_of_most_tokens_per_second(acceptance: float) -> None:
    law = np.array([4e7, 2e5, 80.0, 300.0])
    chosen = []
    for members in (1, 4, 16, 64, 250):
        contexts = [100 + 7 * i for i in range(members)]
        best = best_length(acceptance, members, sum(contexts), law, CAP)
        assert best == most_goodput(acceptance, contexts, law, CAP)
        chosen.append(best)
    assert chosen == sorted(chosen, reverse=True)
    assert chosen[0] > chosen[-1]


def test_goodput_drafts_nothing_where_that_costs_and_all_where_it_is_free() -> None:
    per_token, per_pass = np.array([0.0, 1e6, 0.0, 0.0]), np.array([1e7, 0.0, 0.0, 0.0])
    assert best_length(0.9, 10, 1000, per_token, CAP) == 0
    assert best_length(0.9, 10, 1000, per_pass, CAP) == CAP
    assert best_length(0.0, 10, 1000, per_pass, CAP) == 0


@pytest.mark.parametrize("setting", [EASY, TIGHT])
def test_every_reply_carries_the_argmax_of_what_the_server_knew(setting: tuple[str, ...]) -> None:
    world = draw(setting)
    law = np.array([3e7, 3e6, 0.0, 0.0])  # steep, so that the best length varies
    sim = Simulation(world, pair("goodput", DrafterRule.goodput(CAP)), log=True)
    sim.state.estimator[:], kept = law, sim.state.estimator.copy()
    try:
        sim.run()
    finally:
        sim.state.estimator[:] = kept  # shared by all simulations of the scenario
    chosen = expected_replies(sim, law)
    at = carried(sim)
    for (row, number), left in zip(at, room(sim, at), strict=True):
        assert row.a == min(chosen[number], left)
    assert len(set(chosen.values())) >= 3


def expected_replies(sim: Simulation, law: NDArray[np.float64]) -> dict[int, int]:
    """Return the length each pass's replies carry, from the log alone."""
    agreed, judged = PRIOR_ROUNDS * float(sim.world.arrays.expected[1]), PRIOR_ROUNDS
    committed: dict[int, int] = defaultdict(int)
    sent: dict[int, int] = {}
    chosen: dict[int, int] = {}
    contexts: list[int] = []
    size = 0
    for row in rows(sim, "pass", "member", "verify"):
        if row.kind == "pass":
            contexts, size = [], row.b
        elif row.kind == "member":
            sent[row.device] = row.b
            prompt = int(sim.world.arrays.sessions[row.session]["prompt"])
            contexts.append(prompt + committed[row.session])
            if len(contexts) == size:
                chosen[row.a] = most_goodput(agreed / judged, contexts, law, CAP)
        else:
            committed[row.session] = row.c
            k, accepted = sent[row.device], row.b
            if k > 0:
                agreed = KEPT * agreed + accepted
                judged = KEPT * judged + accepted + (accepted < k)
    return chosen


# --- ucb


def test_ucb_tries_each_length_once_and_then_weighs_what_it_does_not_know() -> None:
    sums = np.zeros((3, 3))
    for length, tokens in ((1, 1), (2, 2), (3, 2)):
        assert pick_arm(sums, 0.2) == length
        learn_round(sums, length, 100, tokens)
    assert pick_arm(sums, 0.0) == 2  # 50 ns a token
    learn_round(sums, 2, 100, 1)
    learn_round(sums, 2, 100, 3)  # as good as before, better known
    assert pick_arm(sums, 0.0) == 2  # of two that are level, the shorter one
    assert pick_arm(sums, 10.0) == 1  # fewest tokens to go by
    learn_round(sums, 0, 100, 1)  # a prompt teaches nothing
    assert sums[:, 2].tolist() == [1, 3, 1]


def test_every_device_follows_its_own_bandit() -> None:
    """The rule as published, on ratios of sums, from what the log says that the device saw."""
    sim = run(draw(EASY), pair("ucb", DrafterRule.ucb(0.2, 4)))
    bandits: dict[int, list[list[float]]] = defaultdict(lambda: [[0.0, 0.0, 0.0] for _ in range(4)])
    begun: dict[int, tuple[int, int, int]] = {}
    at = carried(sim)
    rooms = iter(room(sim, at))
    for row in rows(sim, "draft", "deliver"):
        arms = bandits[row.device]
        if row.kind == "draft":
            k = python_arm(arms)
            assert row.a == min(k, next(rooms))
            begun[row.device] = row.time, k, row.a
        elif row.device in begun:
            time, k, drafted_tokens = begun.pop(row.device)
            if drafted_tokens == k:
                arms[k - 1][0] += row.time - time
                arms[k - 1][1] += row.a
                arms[k - 1][2] += 1
    assert min(sum(arm[2] for arm in arms) for arms in bandits.values()) > 10


def python_arm(arms: list[list[float]], explore: float = 0.2) -> int:
    for i, (_, _, count) in enumerate(arms):
        if count == 0:
            return i + 1
    rounds = sum(count for _, _, count in arms)
    beta = explore * sum(time for time, _, _ in arms) / rounds
    cost = [(time - beta * math.sqrt(n * math.log(rounds + 1))) / tokens for time, tokens, n in arms]
    return cost.index(min(cost)) + 1


@pytest.mark.parametrize(("p", "way_ns", "best"), [(0.3, 5_000_000, 1), (0.95, 2_000_000_000, 6)])
def test_ucb_finds_the_best_length_for_its_delay(p: float, way_ns: int, best: int) -> None:
    """Poor agreement on a short way: draft little; good agreement on a long one: draft all it may."""
    length = 6000
    accepts = (np.random.default_rng(11).random(length) < p).astype(int).tolist()
    world = constant_links(one_session(length, accepts), way_ns, way_ns)
    fixed_ns = [last_delivery(finished(world, DrafterRule.fixed(k))) for k in range(1, 7)]
    assert fixed_ns.index(min(fixed_ns)) + 1 == best
    sim = finished(world, DrafterRule.ucb(0.2, 6))
    lengths = drafted(sim)
    late = lengths[len(lengths) // 2 :]
    assert max(set(late), key=late.count) == best
    assert late.count(best) > 0.6 * len(late)
    assert last_delivery(sim) < 1.1 * min(fixed_ns)
    assert last_delivery(sim) < 0.9 * max(fixed_ns)


def last_delivery(sim: Simulation) -> int:
    return int(sim.state.outcomes["last_ns"][0])
