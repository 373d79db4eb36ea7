"""WISP written in Python against the two protocols is the compiled WISP, event for event."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from core import EASY, TIGHT, draw, log_hash, run, wisp

from baselines.settings import DEADLINE_READINGS, LATE_READINGS
from baselines.wisp_python import PythonWispDrafter, PythonWispScheduler
from wisp_gym.metrics import measure
from wisp_gym.pipeline import DispatchView, DrafterRule, Policy, SchedulerRule, Stream
from wisp_gym.rules.wisp import is_late, is_urgent
from wisp_gym.world import World
from wisp_gym.world.predictor import stop_scores

SETTINGS = {"easy": EASY, "tight": TIGHT, "crowded": (*EASY, "fleet.devices=48", "server.noise_cv=0.1")}
READINGS = list(itertools.product(SETTINGS, LATE_READINGS, DEADLINE_READINGS))


def world_of(setting: str, deadline: str) -> World:
    """The deadline reading is the scenario's, so that both controllers see it."""
    return draw((*SETTINGS[setting], f"classes.deadline={deadline}"), seed=11)


def drafter(world: World) -> PythonWispDrafter:
    return PythonWispDrafter(world.scenario.profiles.predictor)


@pytest.mark.parametrize(("setting", "late", "deadline"), READINGS)
def test_python_and_compiled_wisp_are_the_same_run(setting: str, late: Any, deadline: str) -> None:
    world = world_of(setting, deadline)
    compiled = run(world, wisp(late))
    python = run(world, Policy("python", drafter(world), PythonWispScheduler(late)))
    assert np.array_equal(compiled.events, python.events)
    assert len(compiled.events) > 1000
    assert repr(measure(compiled)) == repr(measure(python))


@pytest.mark.parametrize("margin_s", [0.02, 0.3])
def test_the_margin_is_the_same_too(margin_s: float) -> None:
    world = world_of("crowded", "round")
    rule = SchedulerRule("slo-aware", margin_s=margin_s)
    compiled = run(world, Policy("compiled", DrafterRule.predictor(), rule))
    python = run(world, Policy("python", drafter(world), PythonWispScheduler("last", margin_s)))
    assert np.array_equal(compiled.events, python.events)


def test_each_half_alone_is_the_same() -> None:
    world = world_of("crowded", "round")
    expected = log_hash(run(world, wisp("last")))
    rule = SchedulerRule("slo-aware")
    assert log_hash(run(world, Policy("drafter", drafter(world), rule))) == expected
    scheduler = PythonWispScheduler("last")
    assert log_hash(run(world, Policy("scheduler", DrafterRule.predictor(), scheduler))) == expected


def test_scores_are_equal_to_the_bit() -> None:
    world = world_of("easy", "round")
    network = world.scenario.profiles.predictor.network
    for signals in (world.signals, world.off_signals):
        assert np.array_equal(drafter(world).score(Stream(signals.T)), stop_scores(network, signals))


class Watching(PythonWispScheduler):
    """Counts what the comparison above would not be worth much without."""

    def __init__(self) -> None:
        super().__init__("last", margin_s=0.05)
        self.seen = {"late": 0, "urgent": 0, "relaxed": 0, "held back": 0, "full": 0, "cold": 0}

    def select(self, view: DispatchView) -> list[int]:
        members = super().select(view)
        for request in view.requests:
            late = is_late(request, view.now_ns)
            urgent = is_urgent(request, view.now_ns, self.margin_ns)
            self.seen["late" if late else "urgent" if urgent else "relaxed"] += 1
            self.seen["cold"] += int(request["cached"] == 0)
        left = len(view.requests) - len(members)
        self.seen["full" if len(members) == view.max_requests else "held back"] += int(left > 0)
        return members


def test_the_worlds_above_exercise_every_branch() -> None:
    world = world_of("crowded", "round")
    watching = Watching()
    run(world, Policy("watching", drafter(world), watching))
    assert all(count > 0 for count in watching.seen.values()), watching.seen
