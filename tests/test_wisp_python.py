"""WISP written in Python and the compiled rule make the same choices, event for event."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from baselines import resolve
from baselines.settings import LATE_READINGS, Late
from baselines.wisp_python import WispScheduler
from wisp_gym import scenario
from wisp_gym.pipeline import DrafterRule, Policy, SchedulerRule, Simulation
from wisp_gym.world import draw_world, world_seed

BUSY = ("fleet.devices=60", "horizon_s=40", "warmup_s=10")
CRAMPED = (*BUSY, "server.kv_tokens=700")


@pytest.mark.parametrize("overrides", [BUSY, CRAMPED, (*BUSY, "classes.deadline=timeline")])
@pytest.mark.parametrize("late", LATE_READINGS)
def test_same_event_log(late: Late, overrides: tuple[str, ...]) -> None:
    world = draw_world(scenario.load("quickstart", overrides), world_seed("test", 1))
    rule = SchedulerRule("slo-aware", late=late)
    python = WispScheduler(late)
    compiled, written = (
        Simulation(world, Policy("wisp", DrafterRule.predictor(), scheduler), log=True).run()
        for scheduler in (rule, python)
    )
    assert len(compiled.events) > 1000
    assert np.array_equal(compiled.events, written.events)


def test_the_margin_matters_and_agrees() -> None:
    world = draw_world(scenario.load("quickstart", BUSY), world_seed("test", 2))
    rules = (
        SchedulerRule("slo-aware"),
        SchedulerRule("slo-aware", margin_s=0.2),
        WispScheduler(margin_s=0.2),
    )
    plain, compiled, written = (
        Simulation(world, Policy("wisp", DrafterRule.predictor(), rule), log=True).run().events
        for rule in rules
    )
    assert np.array_equal(compiled, written)
    assert not np.array_equal(plain, compiled)


def test_it_is_a_policy_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    policy = resolve("predictor+baselines/wisp_python.py:WispScheduler")
    assert isinstance(policy.drafter, DrafterRule)
    assert type(policy.scheduler).__name__ == "WispScheduler"
