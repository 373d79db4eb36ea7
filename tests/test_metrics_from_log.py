"""Every metric once more, from the event log in plain Python: tests/recount.py against the library."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from core import POLICIES, run
from hypothesis import given, settings
from recount import Recount
from strategies import Case, cases

from wisp_gym.metrics import measure
from wisp_gym.pipeline import Simulation

Simulate = Callable[[str, str], Simulation]


def assert_recounted(sim: Simulation) -> dict[str, float]:
    """Compare every metric with its recount, and return them."""
    metrics, recounted = measure(sim), Recount(sim).metrics()
    assert set(metrics) == set(recounted)
    for name, value in metrics.items():
        assert recounted[name] == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True), name
    return metrics


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("setting", ["easy", "tight", "led"])
def test_every_metric_from_the_log(simulate: Simulate, setting: str, policy: str) -> None:
    metrics = assert_recounted(simulate(setting, policy))
    assert 0 < metrics["goodput_tps"] <= metrics["demand_tps"]
    assert metrics["vi_raw_s"] != 0  # either sign: the measured curve is not monotone
    assert math.isnan(metrics["wdt_share"]) == policy.startswith("centralized")


@settings(max_examples=80)
@given(cases())
def test_every_metric_from_the_log_in_random_cases(case: Case) -> None:
    """Undefined ones, empty classes and worlds in which nobody asks among them."""
    assert_recounted(run(case.world(), case.policy(), case.policy_seed))


def test_ratios_are_ratios_of_sums(simulate: Simulate) -> None:
    """A class's acceptance, weighed by its verified tokens, gives the fleet's."""
    sim = simulate("tight", "wisp-urgent")
    metrics = measure(sim)
    assert sim.snapshot is not None
    verified = (sim.state.counters["verified"] - sim.snapshot["counters"]["verified"]).tolist()
    classes = [metrics[f"acceptance_class_{g}"] for g in range(1, 5)]
    assert metrics["acceptance_rate"] == pytest.approx(np.average(classes, weights=verified))
