"""Long worlds: streams drawn as they are needed change nothing, memory stays, what cannot fit is refused."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from core import EASY, POLICIES, SECOND, TIGHT, constant_links, hand_made, pair, small, without_noise
from core import run as run_logged

from baselines import resolve
from wisp_gym import scenario
from wisp_gym.envs import EdgeCloudVector, rows
from wisp_gym.errors import InputError
from wisp_gym.evaluation.runner import evaluate_worlds
from wisp_gym.evaluation.spec import RowSpec
from wisp_gym.pipeline import DrafterRule, Policy, SchedulerRule, Simulation, stream_pool
from wisp_gym.pipeline.log import LOG_PASS
from wisp_gym.pipeline.state import DEVICE_STATE, OUTCOME
from wisp_gym.rules.control import REQUEST
from wisp_gym.world import World, draw_world, world_seed
from wisp_gym.world.size import (
    DEVICE_BYTES,
    MAX_POSITIONS,
    MAX_SESSION_TOKENS,
    MAX_SESSIONS,
    SESSION_BYTES,
    Needs,
    is_streamed,
)
from wisp_gym.world.types import DEVICE, SESSION

SETTINGS = {"easy": EASY, "tight": TIGHT}


def drawn(whole: bool, spec: Any, seed: int = 1, **changes: Any) -> World:
    return draw_world(spec, world_seed("test", seed), whole=whole, **changes)


@pytest.fixture
def tiny_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a pool hold so little that it is filled again and again."""
    monkeypatch.setattr(stream_pool, "POOL_POSITIONS", 300)


@pytest.fixture
def refills(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the positions held after every refill."""
    held: list[int] = []
    refill = stream_pool.StreamPool.refill

    def counted(pool: stream_pool.StreamPool, state: Any) -> None:
        refill(pool, state)
        held.append(len(pool.accepts))

    monkeypatch.setattr(stream_pool.StreamPool, "refill", counted)
    return held


def same(one: Simulation, other: Simulation) -> None:
    """Check that two runs are the same, event by event and in every sum."""
    assert len(one.events) > 0
    assert np.array_equal(one.events, other.events)
    for name in ("counters", "totals", "outcomes", "tbt", "waits", "seen"):
        assert getattr(one.state, name).tobytes() == getattr(other.state, name).tobytes(), name


# --- drawn as they are needed, or held whole: the same run


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_streamed_world_gives_the_same_run(
    setting: str, policy: str, simulate: Callable[[str, str], Simulation], tiny_pool: None, refills: list[int]
) -> None:
    world = drawn(False, small(*SETTINGS[setting]))
    assert world.streamed
    assert len(world.arrays.accepts) == 0
    same(simulate(setting, policy), run_logged(world, POLICIES[policy]()))
    assert len(refills) == 0 if policy.startswith("centralized") else len(refills) > 1


def test_arrivals_are_streamed_too(tiny_pool: None, refills: list[int]) -> None:
    spec = scenario.load("burst", ["horizon_s=60", "warmup_s=5"])
    whole, streamed = drawn(True, spec), drawn(False, spec)
    same(run_logged(whole, resolve("wisp")), run_logged(streamed, resolve("wisp")))
    assert len(refills) > 5
    assert max(refills) < 0.7 * len(whole.arrays.accepts)


def test_a_trace_with_requests_of_one_instant_is_streamed_too(tmp_path: Path, tiny_pool: None) -> None:
    lines = [f"{250 * (i // 3)},{20 + i % 50},{1 + 7 * i % 90}" for i in range(240)]
    path = tmp_path / "day.csv"
    path.write_text("\n".join(["t_ms,input_tokens,output_tokens", *lines]))
    spec = scenario.load("trace", [f"workload.trace={path}", "horizon_s=40", "warmup_s=2"])
    for policy in ("sled", "wisp", "sled:ahead=on"):
        same(run_logged(drawn(True, spec), resolve(policy)), run_logged(drawn(False, spec), resolve(policy)))


class Careful:
    """A drafter written in Python, which scores a session's stream when it is drawn."""

    def __init__(self) -> None:
        self.streams = 0

    def score(self, stream: Any) -> Any:
        self.streams += 1
        return stream.signals[:, 0] - 0.1 * stream.signals[:, 1]

    def limit(self, view: Any) -> tuple[int, float]:
        return 6, 0.4


def test_a_drafter_in_python_sees_each_stream_once(tiny_pool: None) -> None:
    spec = small(*EASY)
    whole, streamed = drawn(True, spec), drawn(False, spec)
    all_at_once, as_needed = Careful(), Careful()
    same(run_logged(whole, pair("a", all_at_once)), run_logged(streamed, pair("a", as_needed)))
    assert all_at_once.streams == 2 * len(whole.arrays.sessions)
    assert 2 * whole.devices < as_needed.streams <= all_at_once.streams


def test_signals_are_drawn_when_they_are_read_and_never_of_a_streamed_world() -> None:
    whole, streamed = drawn(True, small(*EASY)), drawn(False, small(*EASY))
    Simulation(whole, POLICIES["wisp-literal"]())
    assert not whole.signals_given
    assert whole.signals.shape == whole.off_signals.shape == (4, len(whole.arrays.accepts))
    assert whole.signals_given
    with pytest.raises(InputError, match="drawn as a run needs them"):
        _ = streamed.signals


def test_the_devices_that_hold_memory_are_listed() -> None:
    sim = Simulation(drawn(True, small(*TIGHT)), POLICIES["wisp-literal"]())
    for second in (3, 9, 21):
        sim.until(second * SECOND)
        clock = sim.state.clock[0]
        listed = sorted(sim.state.holders[: int(clock["holding"])].tolist())
        assert listed == np.flatnonzero(sim.state.devices["held"] > 0).tolist() != []
    assert sim.state.totals[0]["evictions"] > 0


@pytest.mark.parametrize("setting", SETTINGS)
def test_tokens_are_settled_when_they_fall_due_and_not_before(setting: str) -> None:
    sim = Simulation(drawn(True, small(*SETTINGS[setting])), POLICIES["sled"]())
    world, outcomes = sim.world.arrays, sim.state.outcomes
    law = world.groups[world.devices["group"][world.sessions["device"]]]
    late = 0
    for tenth in range(7, 240, 13):
        sim.until(tenth * SECOND // 10)
        sim.settle()
        since_ns = sim.now_ns - outcomes["start_ns"] - law["allowance_ns"]
        due = np.clip((since_ns - 1) // law["period_ns"], 0, world.sessions["length"])
        begun = outcomes["start_ns"] >= 0
        assert (outcomes["settled"] == np.where(begun, due, 0)).all()
        current = sim.state.devices["session"][sim.state.devices["session"] >= 0]
        running = outcomes[current]
        short = running["on_time"] < law["on_time_share"][current] * running["settled"]
        late = int((short & (running["finished"] == 0)).sum())
        assert sim.state.clock[0]["behind"] == late
    assert late > 0 or setting == "easy"


# --- memory


def test_the_pool_does_not_grow_with_the_horizon(refills: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_pool, "POOL_POSITIONS", 2000)
    most = []
    for horizon_s in (60.0, 240.0):
        refills.clear()
        world = drawn(False, small(*EASY), horizon_s=horizon_s)
        Simulation(world, POLICIES["wisp-literal"]()).until(world.horizon_ns)
        most.append(max(refills))
        total = int(world.arrays.sessions["length"].sum())
    assert most[1] < 1.3 * most[0]
    assert total > 2 * most[1]
    assert len(refills) < total / 500


def test_what_is_said_of_memory_covers_the_records() -> None:
    orders = 6 * 8  # waiting, ready, holders, heap, phase, rank
    events = 2 * 3 * 8
    per_device = DEVICE.itemsize + DEVICE_STATE.itemsize + REQUEST.itemsize + orders + events + 8
    assert per_device <= DEVICE_BYTES < 1.5 * per_device
    assert 2 * SESSION.itemsize + OUTCOME.itemsize < SESSION_BYTES


NEEDS = Needs(devices=100, sessions=1000, positions=10**6, under_way=1e4, longest=400)


@pytest.mark.parametrize(
    ("changes", "whole", "says"),
    [
        ({"sessions": MAX_SESSIONS + 1}, None, "more than 10000000 sessions"),
        ({"longest": MAX_SESSION_TOKENS + 1}, None, "a session of 10000001 output tokens"),
        ({"positions": MAX_POSITIONS + 1}, True, "held at once"),
        ({"positions": 10 * MAX_POSITIONS, "under_way": MAX_POSITIONS + 1.0}, None, "held at once"),
        ({"devices": 3_000_000, "sessions": 8_000_000}, None, "GiB; allowed: 4 GiB"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], whole: bool | None, says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        is_streamed(NEEDS._replace(**changes), whole)
    assert "\n" not in str(refused.value)
    assert "allowed" in str(refused.value)


def test_a_world_is_streamed_by_its_size() -> None:
    assert not is_streamed(NEEDS, None)
    assert is_streamed(NEEDS._replace(positions=10 * MAX_POSITIONS), None)


@pytest.mark.parametrize(("devices", "says"), [(40_000, "device-seconds"), (5_000, "sessions")])
def test_a_world_is_refused_before_it_is_laid_out(devices: int, says: str) -> None:
    spec = small(*EASY)
    draw_world(spec, 1, devices=1)  # what all worlds share
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=says):
            draw_world(spec, 1, devices=devices, horizon_s=1e6)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_vector_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MEMORY_LIMIT", 10**6)
    vector = EdgeCloudVector(2, "quickstart", seed=0)
    with pytest.raises(InputError, match=r"2 environments of .* GiB; allowed"):
        vector.reset()


def test_more_devices_are_allowed_where_each_arrival_has_its_own(tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    path.write_text("t_ms,input_tokens,output_tokens\n0,10,10\n")
    assert scenario.load("trace", [f"workload.trace={path}"]).fleet.devices > 65536
    with pytest.raises(InputError, match="less than or equal to 65536"):
        scenario.load("quickstart", ["fleet.devices=65537"])


# --- time


def test_times_are_as_fine_at_the_longest_horizon_as_at_the_start() -> None:
    """On even links and a server without noise, a day at the end of the longest horizon is the first day."""
    late_ns = 999_000 * SECOND
    accepts = [1, 1, 0, 1] * 15
    policy = Policy("wisp", DrafterRule.fixed(3), SchedulerRule("slo-aware", late="urgent"))
    base = without_noise(draw_world(small(*EASY), 1, devices=3, horizon_s=1.0))
    base = constant_links(base, 3_000_000, 4_000_000)
    events = []
    for start in (0, late_ns):
        starts = [start, start + 7, start + 13_000_001]
        sim = Simulation(hand_made(base, 10, [60] * 3, starts, accepts * 3), policy, log=True)
        sim.until(start + 100 * SECOND)
        assert sim.state.outcomes["finished"].all()
        log = sim.events[3:].copy()  # after the three starts, which are laid out at time zero
        log[:, 0] -= start
        log[log[:, 1] == LOG_PASS, 6] -= start
        events.append(log)
    assert np.array_equal(*events)


# --- progress


def test_a_long_world_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = small(*EASY)
    specs = [RowSpec(spec, name, name, 0, "test") for name in ("fixed:3", "sled")]
    plain = evaluate_worlds([specs], resolve)
    monkeypatch.setattr("wisp_gym.world.size.WHOLE_POSITIONS", 0)
    told: list[tuple[float, int]] = []
    rows_told = evaluate_worlds([specs], resolve, progress=lambda done, total: told.append((done, total)))
    assert rows_told == plain
    done = [share for share, _ in told]
    assert done == sorted(done)
    assert done[-1] == 2
    assert sum(0 < share < 1 for share in done) > 20 < sum(1 < share < 2 for share in done)
