"""GoodSpeed's rule: decisions on requests made by hand, and what it does to a fleet."""

from __future__ import annotations

import numpy as np
import pytest
from core import draw, pair, run
from test_rules import NOW, decide, request

from baselines import resolve
from wisp_gym.errors import InputError
from wisp_gym.pipeline import DrafterRule, SchedulerRule
from wisp_gym.rules import control as rules
from wisp_gym.rules.proportional_fair import smoothed_tps

TAU_NS = 10_000_000_000


def fair(*queue: dict[str, object], **settings: int) -> list[int]:
    return decide(*queue, scheduler=rules.PROPORTIONAL_FAIR, fair_ns=TAU_NS, **settings)


def test_who_has_had_least_goes_first() -> None:
    queue = [request(served_tps=had, rated_ns=NOW) for had in (4.0, 1.0, 2.0)]
    assert fair(*queue) == [1, 2, 0]


def test_what_it_would_get_counts_in_proportion() -> None:
    """2 more for 1 had, plus a prior of 0.1: 3 / 1.1 = 2.73; 8 / 3.1 = 2.58; 1 / 0.35 = 2.86."""
    queue = [
        request(expected=2.0, served_tps=1.0, rated_ns=NOW),
        request(expected=7.0, served_tps=3.0, rated_ns=NOW),
        request(expected=0.0, served_tps=0.25, rated_ns=NOW),
    ]
    assert fair(*queue) == [2, 0, 1]


def test_ties_go_to_the_lower_device_and_the_budget_bounds_the_pass() -> None:
    queue = [request(served_tps=1.0, rated_ns=NOW, take=take) for take in (10, 10, 10)]
    assert fair(*queue) == [0, 1, 2]
    assert fair(*queue, token_budget=20) == [0, 1]
    assert fair(*queue, token_budget=5) == [0]


def test_goodput_fades_while_a_device_waits() -> None:
    """1 tok/s one second ago is less than 1 tok/s now, and 5 tok/s twenty time constants ago less still."""
    queue = [
        request(served_tps=1.0, rated_ns=NOW),
        request(served_tps=1.0, rated_ns=NOW - 10**9),
        request(served_tps=5.0, rated_ns=NOW - 20 * TAU_NS),
    ]
    assert fair(*queue) == [2, 1, 0]


def test_even_tokens_leave_the_average_at_their_rate() -> None:
    """Three tokens every half second are 6 tok/s, whatever it was before; it halves in one tau of nothing."""
    rate = 50.0
    for _ in range(400):
        rate = smoothed_tps(rate, 3, 500_000_000, TAU_NS)
    assert rate == pytest.approx(6.0, rel=1e-6)
    assert smoothed_tps(6.0, 0, TAU_NS, TAU_NS) == 3.0


def test_the_server_counts_what_it_commits() -> None:
    """The kernel's average is that of the commits in the log."""
    simulation = run(draw(), pair("fair", DrafterRule.fixed(3), SchedulerRule("proportional-fair")))
    log = simulation.events
    from wisp_gym.pipeline.log import LOG_VERIFY

    for device in range(len(simulation.state.devices)):
        rate, since = 0.0, 0
        for row in log[(log[:, 1] == LOG_VERIFY) & (log[:, 2] == device)]:
            rate = smoothed_tps(rate, int(row[5]) + 1, int(row[0]) - since, TAU_NS)
            since = int(row[0])
        assert simulation.state.devices[device]["served_tps"] == rate
        assert simulation.state.devices[device]["rated_ns"] == since


def test_in_overload_it_spreads_what_there_is() -> None:
    """The least served quarter of a flooded fleet gets more than under density, which starves some."""
    world = draw(("fleet.allow_infeasible=true", "horizon_s=60", "warmup_s=10", "fleet.devices=60",
                  "server.max_batch=3", "ranges.devices=null"))  # fmt: skip
    least = {}
    for kind in ("density", "proportional-fair"):
        simulation = run(world, pair(kind, DrafterRule.fixed(4), SchedulerRule(kind)))  # type: ignore[arg-type]
        tokens = np.zeros(60)
        delivered = simulation.state.outcomes["delivered"]
        np.add.at(tokens, world.arrays.sessions["device"], delivered)
        least[kind] = np.sort(tokens)[:15].sum()
    assert least["proportional-fair"] > 1.5 * least["density"]


def test_names_and_settings() -> None:
    assert resolve("predictor+proportional-fair").scheduler == SchedulerRule("proportional-fair")
    budget = SchedulerRule("proportional-fair", token_budget=64)
    assert resolve("predictor+proportional-fair:64").scheduler == budget
    for name in ("proportional-fair:0", "proportional-fair:few", "oracle:0"):
        with pytest.raises(InputError):
            resolve(f"predictor+{name}")
    for seconds in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="fair_s"):
            SchedulerRule(fair_s=seconds)
