"""The benchmarks of WISP's halves read the burst as they say they do."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from core import EASY, draw, pair, rows, run

from wisp_gym.pipeline import DrafterRule, SchedulerRule

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("scheduler_alone", "saturation"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("scheduler_alone")


@pytest.mark.parametrize("scale", [1.0, 1.35, 1.6])
def test_a_peaks_window_is_where_its_scaled_line_is_above_80(alone: ModuleType, scale: float) -> None:
    spans = alone.windows(alone.burst((f"workload.scale={scale}",)))
    rise, fall = 150 + 20 * (80 / scale - 40) / 70, 190 + 80 * (110 - 80 / scale) / 75
    assert spans["peak_110"] == pytest.approx((rise, fall), abs=0.21)
    assert spans["narrow_110"] == pytest.approx((150 + 20 * 40 / 70, 190 + 80 * 30 / 75), abs=0.21)
    assert spans["after_215"][0] == spans["peak_215"][1]


def test_the_answers_under_way_are_those_started_and_not_delivered(alone: ModuleType) -> None:
    """Read again from the event log, at every event of the span."""
    world = draw((*EASY, "fleet.devices=40", "server.max_batch=4"), seed=5)
    sim = run(world, pair("p", DrafterRule.fixed(4), SchedulerRule()))
    lengths = {r.session: r.c for r in rows(sim, "start")}
    changes = [(r.a, 1) for r in rows(sim, "start")]
    got: dict[int, int] = {}
    for r in rows(sim, "deliver"):
        got[r.session] = got.get(r.session, 0) + r.a
        if got[r.session] == lengths[r.session]:
            changes.append((r.time, -1))
    under_way, peak, begin_ns, end_ns = 0, 0, int(5e9), int(15e9)
    for time_ns in sorted({t for t, _ in changes if t < end_ns}):
        if time_ns > begin_ns:
            peak = max(peak, under_way)
        under_way += sum(change for t, change in changes if t == time_ns)
        if time_ns > begin_ns:
            peak = max(peak, under_way)
    assert 4 < peak <= 40
    assert min(change for _, change in changes) == -1
    assert alone.most_under_way(sim, 5.0, 15.0) == peak
    assert alone.most_under_way(sim, -1.0, 0.0) == 0


def test_started_attainment_is_that_of_the_tight_sessions_begun_in_the_span(alone: ModuleType) -> None:
    """Read again from the event log."""
    world = draw((*EASY, "fleet.devices=40", "server.max_batch=4"), seed=5)
    sim = run(world, pair("p", DrafterRule.fixed(4), SchedulerRule()))
    tight = {
        int(i)
        for i, session in enumerate(world.arrays.sessions)
        if world.arrays.devices[session["device"]]["group"] == 3
    }
    law = world.arrays.groups[3]
    starts = {r.session: (r.a, r.c) for r in rows(sim, "start") if r.session in tight}
    arrived: dict[int, list[int]] = {}
    for r in rows(sim, "deliver"):
        arrived.setdefault(r.session, []).extend([r.time] * r.a)
    begin_ns, end_ns = int(3e9), int(15e9)
    judged = []
    for session, (start, length) in starts.items():
        if not begin_ns <= start < end_ns:
            continue
        due = [start + law["allowance_ns"] + (j + 1) * law["period_ns"] for j in range(length)]
        got = arrived.get(session, [])
        counted = length if len(got) == length else sum(t < sim.now_ns for t in due)
        good = sum(t <= d for t, d in zip(got, due[:counted], strict=False))
        if counted:
            judged.append(good >= law["on_time_share"] * counted)
    assert len(judged) > 5
    assert 0 < np.mean(judged) < 1
    assert alone.started_attainment(sim, 3.0, 15.0) == pytest.approx(float(np.mean(judged)))
    assert math.isnan(alone.started_attainment(sim, 1e6, 2e6))
