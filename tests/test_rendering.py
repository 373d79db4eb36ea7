"""Spans, frames and the environment's pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import gymnasium
import numpy as np
import pytest
from core import (
    POLICIES,
    SECOND,
    draft_token_ns,
    is_checked,
    requests,
    rows,
    run,
    without_noise,
)
from edge import SMALL, make, simulation_of

from wisp_gym import scenario
from wisp_gym.envs import wisp_action
from wisp_gym.errors import InputError
from wisp_gym.metrics import measure
from wisp_gym.pipeline import DrafterRule, Policy, SchedulerRule, Simulation, Stream
from wisp_gym.pipeline.log import LOG_DRAFT, recent_rows
from wisp_gym.rendering import GPU, Kind, Span, frame, palette, spans
from wisp_gym.rendering.lanes import choose_devices
from wisp_gym.rendering.series import keeping_up, kv_steps, queue_steps
from wisp_gym.rendering.spans import RESULT
from wisp_gym.world import World, draw_world, world_seed

Simulate = Callable[[str, str], Simulation]

SOME = ("wisp-urgent", "sled", "centralized", "confidence-drop", "random")
every_run = pytest.mark.parametrize(
    ("setting", "policy"), [(setting, policy) for setting in ("easy", "tight") for policy in SOME]
)


def total_ns(listed: list[Span], *kinds: Kind) -> int:
    return sum(span.end_ns - span.start_ns for span in listed if span.kind in kinds)


# --- spans


@every_run
def test_what_the_spans_add_up_to_is_what_the_metrics_say(
    simulate: Simulate, setting: str, policy: str
) -> None:
    sim = simulate(setting, policy)
    begin, end = sim.world.warmup_ns, sim.world.horizon_ns
    listed, metrics = spans(sim, begin, end), measure(sim)
    assert total_ns(listed, Kind.PASS) == pytest.approx(metrics["gpu_busy_share"] * (end - begin))
    whole = spans(sim)
    begun = [s for s in whole if s.kind in (Kind.USEFUL, Kind.WASTED)]
    drafted = sum(row.a for row in rows(sim, "draft"))
    pending = sum(s.k for s in whole if s.kind == Kind.DRAFT)
    assert sum(s.k for s in begun) + pending == drafted
    assert (total_ns(whole, Kind.WASTED) > 0) == (policy != "centralized")


@every_run
def test_a_requests_way_is_what_the_log_says(simulate: Simulate, setting: str, policy: str) -> None:
    """Queue and pass of every request, rebuilt from the log and the world's tables."""
    sim = simulate(setting, policy)
    passes = {row.a: row for row in rows(sim, "pass")}
    expected: dict[tuple[int, Kind], list[tuple[int, int]]] = defaultdict(list)
    for request in requests(sim):
        for i, queued in enumerate(request.queued):
            until = passes[request.passes[i]].time if i < len(request.passes) else sim.now_ns
            if min(until, sim.now_ns) > queued:
                expected[request.device, Kind.QUEUE].append((queued, until))
        for number in request.passes:
            ends = min(passes[number].c, sim.now_ns)
            expected[request.device, Kind.PASS].append((passes[number].time, ends))
    found: dict[tuple[int, Kind], list[tuple[int, int]]] = defaultdict(list)
    for span in spans(sim):
        if span.lane == GPU:
            continue
        if span.kind == Kind.QUEUE:
            found[span.lane, span.kind].append((span.start_ns, span.end_ns))
        elif span.kind == Kind.VERIFY:
            found[span.lane, Kind.PASS].append((span.start_ns, span.end_ns))
        elif span.kind == Kind.SHARED:  # goes on where its own share ends
            start, own = found[span.lane, Kind.PASS][-1]
            assert own == span.start_ns
            found[span.lane, Kind.PASS][-1] = (start, span.end_ns)
    assert {key: sorted(value) for key, value in found.items()} == {
        key: sorted(value) for key, value in expected.items()
    }


@every_run
def test_spans_of_a_lane_do_not_overlap(simulate: Simulate, setting: str, policy: str) -> None:
    sim = simulate(setting, policy)
    ends: dict[tuple[int, int], int] = {}
    for span in spans(sim):
        assert 0 <= span.start_ns < span.end_ns <= sim.now_ns
        if span.track != RESULT:
            assert span.start_ns >= ends.get((span.lane, span.track), 0), span
            ends[span.lane, span.track] = span.end_ns


@every_run
def test_wasted_time_is_the_metrics(simulate: Simulate, setting: str, policy: str) -> None:
    """Up to the drafts that are not verified yet."""
    sim = simulate(setting, policy)
    listed = spans(sim)
    missing = int(sim.state.counters["waste_ns"].sum()) - total_ns(listed, Kind.WASTED)
    checked = is_checked(sim.policy)
    pending = sum(
        span.k * draft_token_ns(sim.world, span.lane, checked) for span in listed if span.kind == Kind.DRAFT
    )
    assert 0 <= missing <= pending


@pytest.mark.parametrize("policy", ["wisp-urgent", "centralized", "random"])
def test_interference_is_what_the_others_add(worlds: dict[str, World], policy: str) -> None:
    """Without noise the rest of a pass is T(batch) - T({i}), as the pass table has it."""
    sim = run(without_noise(worlds["tight"]), POLICIES[policy]())
    server, curve = sim.world.arrays.server[0], sim.world.arrays.pass_ns
    passes = {row.a: row for row in rows(sim, "pass")}
    expected = {}
    for row in rows(sim, "member"):
        if passes[row.a].c < sim.now_ns:
            pairs = row.c * (row.d + row.c / 2)
            alone = curve[row.c] + server["base_ns"] + server["request_ns"]
            alone += server["cached_ns"] * row.d + server["pair_ns"] * pairs
            expected[row.device, row.a] = max(0.0, passes[row.a].c - passes[row.a].time - alone)
    found = {
        (span.lane, span.batch): span.end_ns - span.start_ns
        for span in spans(sim)
        if span.kind == Kind.SHARED and span.end_ns < sim.now_ns
    }
    assert len(found) > 200
    assert found.keys() <= expected.keys()
    for key, shared in expected.items():
        assert found.get(key, 0) == pytest.approx(shared, abs=1.0)


def test_a_window_is_a_cut_of_the_whole(simulate: Simulate) -> None:
    """Reading only what a window needs changes nothing in it."""
    for policy in ("wisp-urgent", "centralized", "sled"):
        sim = simulate("tight", policy)
        begin, end = 15 * SECOND, 19 * SECOND
        whole = [
            s._replace(start_ns=max(s.start_ns, begin), end_ns=min(s.end_ns, end))
            for s in spans(sim)
            if s.start_ns < end and s.end_ns > begin
        ]
        part = spans(sim, begin, end)
        assert len(part) > 100
        assert sorted(part) == sorted(whole)


def test_no_log_no_spans(worlds: dict[str, World]) -> None:
    sim = Simulation(worlds["easy"], Policy("x", DrafterRule.fixed(2), SchedulerRule()))
    with pytest.raises(RuntimeError, match="log=True"):
        spans(sim)


class Careless:
    """Drafts three tokens; every other round without looking at a score."""

    def __init__(self) -> None:
        self.rounds = 0

    def score(self, stream: Stream) -> np.ndarray:
        return np.ones(len(stream.signals), np.float32)

    def limit(self, view: object) -> tuple[int, float]:
        self.rounds += 1
        return 3, (0.5 if self.rounds % 2 else -np.inf)


def test_a_round_without_the_stop_rule_takes_less_time(worlds: dict[str, World]) -> None:
    sim = run(worlds["easy"], Policy("careless", Careless(), SchedulerRule()))
    drafts = [row for row in sim.events if row[1] == LOG_DRAFT]
    assert {int(row[6]) for row in drafts} == {0, 1}
    listed = spans(sim)
    under_way = {span.lane for span in listed if span.kind == Kind.DRAFT}
    last = {int(row[2]): row for row in drafts if row[2] in under_way}
    pending = sum(
        int(row[4]) * draft_token_ns(sim.world, device, checked=row[6] == 1) for device, row in last.items()
    )
    spent = total_ns(listed, Kind.USEFUL, Kind.WASTED)
    assert spent + pending == int(sim.state.counters["draft_ns"].sum())


# --- the last seconds of a log


def test_a_short_log_tells_the_same_of_the_last_seconds(worlds: dict[str, World]) -> None:
    policy = Policy("wisp", DrafterRule.predictor(), SchedulerRule("slo-aware"))
    whole = run(worlds["tight"], policy)
    short = Simulation(worlds["tight"], policy, log=True, log_s=6.0)
    for second in range(1, 26):
        short.until(second * SECOND)
        short._forget(6.0)
    assert len(short.events) < len(whole.events) / 2
    begin = 24 * SECOND
    assert spans(short, begin) == spans(whole, begin)
    times = np.arange(begin, 25 * SECOND, SECOND // 10)
    ours, theirs = (keeping_up(sim.events, sim.world, times) for sim in (short, whole))
    np.testing.assert_array_equal(ours, theirs)


def test_recent_rows_keep_how_things_stood() -> None:
    listed = np.array(
        [
            # time, kind, device, session, a, b, c, d
            [1, 0, 0, 0, 1, 9, 9, 0],
            [2, 3, -1, -1, 5, 1, 4, 0],  # pass 5
            [2, 2, 0, 0, 5, 0, 9, 0],  # device 0 in pass 5
            [5, 3, -1, -1, 6, 1, 7, 0],  # pass 6
            [6, 1, 1, 1, 3, 3, 0, 0],
            [7, 1, 1, 1, 2, 2, 0, 0],
            [9, 5, 0, 0, 1, 1, 0, 0],
        ]
    )
    kept = recent_rows(listed, 8)
    assert kept.tolist() == listed[[0, 1, 2, 3, 5, 6]].tolist()
    assert recent_rows(listed, 0).tolist() == listed.tolist()


def test_recent_rows_forget_what_is_delivered() -> None:
    """Device 0 has all of its 2 tokens, device 1 one of 2."""
    listed = np.array(
        [
            [0, 0, 0, 0, 0, 9, 2, 0],
            [0, 0, 1, 1, 0, 9, 2, 0],
            [5, 5, 0, 0, 2, 2, 0, 0],
            [6, 5, 1, 1, 1, 1, 0, 0],
        ]
    )
    assert recent_rows(listed, 8).tolist() == listed[[1, 3]].tolist()


# --- series


def test_queue_length_counts_the_waiting(simulate: Simulate) -> None:
    sim = simulate("tight", "wisp-urgent")
    times, counts = queue_steps(spans(sim))
    assert counts.min() == 0
    assert counts[-1] == 0  # all spans end with the log
    waiting = int(sim.state.clock[0]["waiting"])
    at = np.searchsorted(times, sim.now_ns - 1, side="right") - 1
    assert counts[at] == waiting


@pytest.mark.parametrize("policy", ["wisp-urgent", "centralized"])
def test_kv_use_is_the_metrics(simulate: Simulate, policy: str) -> None:
    sim = simulate("tight", policy)
    times, used = kv_steps(sim)
    begin, end = sim.world.warmup_ns, sim.world.horizon_ns
    bounds = np.clip(np.append(times, end), begin, end)
    integral = float((used * np.diff(bounds)).sum())
    capacity = int(sim.world.arrays.server[0]["kv_tokens"]) * (end - begin)
    assert integral / capacity == pytest.approx(measure(sim)["kv_use_share"])


def test_who_keeps_up_is_who_is_not_behind(simulate: Simulate) -> None:
    """Token by token: due times against deliveries."""
    sim = simulate("tight", "sled")
    world = sim.world.arrays
    when = 20 * SECOND
    here, good = np.zeros(4), np.zeros(4)
    delivered: dict[int, int] = defaultdict(int)
    for row in rows(sim, "deliver"):
        if row.time <= when:
            delivered[row.session] += row.a
    for row in rows(sim, "start"):
        g = int(world.devices[row.device]["group"])
        if row.a > when or delivered[row.session] == row.c:
            continue
        dues = [
            row.a + int(world.groups[g]["allowance_ns"]) + j * int(world.groups[g]["period_ns"])
            for j in range(1, row.c + 1)
        ]
        here[g] += 1
        good[g] += delivered[row.session] >= sum(due < when for due in dues)
    shares = keeping_up(sim.events, sim.world, np.array([when]))
    assert here.min() > 0
    assert 0 < good.sum() < here.sum()
    np.testing.assert_allclose(shares[:, 0], good / here)


# --- pictures


def test_an_open_loop_shows_the_requests_under_way() -> None:
    """Each arrival is a device of its own: neither those gone nor those to come take a lane."""
    world = draw_world(scenario.load("burst", ("horizon_s=60", "warmup_s=10")), world_seed("test", 0))
    sim = Simulation(world, POLICIES["wisp-urgent"](), log=True)
    sim.until(10 * SECOND)
    early = frame(sim)
    sim.until(50 * SECOND)
    assert frame(sim).shape == early.shape  # as a film needs
    listed = spans(sim, 46 * SECOND)
    shown = choose_devices(world, 16, {span.lane for span in listed if span.lane != GPU})
    started = {row.device: row.a for row in rows(sim, "start")}
    last = {row.device: row.time for row in rows(sim, "deliver")}
    assert 5 < len(shown) <= 16
    assert max(started[device] for device in shown) < 50 * SECOND
    assert min(last.get(device, sim.now_ns) for device in shown) > 46 * SECOND
    assert not any(span.kind == Kind.THINK for span in listed)


def test_the_lanes_shown_are_a_spread_over_classes(worlds: dict[str, World]) -> None:
    world = worlds["tight"]
    devices = choose_devices(world, 10)
    classes = world.arrays.devices["group"][devices]
    assert np.bincount(classes, minlength=4).tolist() == [3, 3, 2, 2]
    assert sorted(classes) == classes.tolist()
    assert choose_devices(world, 10, seen=[1]) == devices  # a closed loop keeps its lanes
    assert len(choose_devices(world, 99)) == world.devices


def test_waste_is_seen_where_there_is_waste(simulate: Simulate) -> None:
    picture = frame(simulate("tight", "sled"))
    none = frame(simulate("tight", "centralized"))
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (1200, 3)

    def area(image: np.ndarray, kind: Kind) -> int:
        lanes = image[30:400]
        return int((lanes == palette.KINDS[kind]).all(axis=2).sum())

    assert area(picture, Kind.WASTED) > 1000
    assert area(picture, Kind.USEFUL) > 1000
    assert area(none, Kind.WASTED) == area(none, Kind.USEFUL) == 0
    assert area(none, Kind.VERIFY) > 1000


def test_a_frame_at_the_very_beginning(worlds: dict[str, World]) -> None:
    sim = Simulation(worlds["easy"], Policy("x", DrafterRule.fixed(2), SchedulerRule()), log=True)
    assert frame(sim).shape[2] == 3


def test_the_environment_renders() -> None:
    from gymnasium.utils.env_checker import check_env as check_gymnasium
    from gymnasium.wrappers import RenderCollection
    from stable_baselines3.common.env_checker import check_env as check_stable_baselines

    arguments = {"overrides": SMALL, "episode_s": 1.0, "render_mode": "rgb_array"}
    check_gymnasium(gymnasium.make("wisp_gym/EdgeCloud-v0", **arguments).unwrapped)
    check_stable_baselines(gymnasium.make("wisp_gym/EdgeCloud-v0", **arguments).unwrapped)
    env = RenderCollection(gymnasium.make("wisp_gym/EdgeCloud-v0", seed=3, **arguments))
    env.reset()
    for _ in range(3):
        env.step(wisp_action())
    frames = env.render()
    assert len(frames) == 4
    assert {picture.shape for picture in frames} == {frames[0].shape}
    assert (frames[0] != frames[-1]).any()


def test_rendering_changes_nothing_else() -> None:
    seen = []
    for mode in (None, "rgb_array"):
        env = make(render_mode=mode)
        first, _ = env.reset(seed=5)
        steps = [env.step(wisp_action()) for _ in range(20)]
        seen.append((first.tolist(), [(step[0].tolist(), step[1]) for step in steps]))
        if mode is not None:
            env.render()
    assert seen[0] == seen[1]


def test_a_long_episodes_log_stays_short() -> None:
    env = make(episode_s=60.0, render_mode="rgb_array")
    env.reset(seed=1)
    sizes = []
    over = False
    while not over:
        *_, over, _ = env.step(wisp_action())
        sizes.append(len(simulation_of(env).state.log))
    assert max(sizes) == sizes[0]  # grown in the warm-up at most
    events = simulation_of(env).events
    assert events[-1, 0] - np.sort(events[:, 0])[len(events) // 2] < 45 * SECOND


def test_a_wrong_mode_is_one_line() -> None:
    with pytest.raises(InputError, match="render_mode: 'human'; allowed: None, 'rgb_array'"):
        make(render_mode="human")


def test_render_without_a_mode_or_a_world() -> None:
    env = make()
    env.reset()
    with pytest.warns(UserWarning, match="rgb_array"):
        assert env.render() is None
    with pytest.raises(gymnasium.error.ResetNeeded):
        make(render_mode="rgb_array").render()
