"""Cases with a known answer: an M/D/1 queue, independent acceptance, devices that cost nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from core import (
    BASE,
    SECOND,
    TIGHT,
    constant_links,
    draw,
    hand_made,
    pair,
    requests,
    rows,
    run,
    server_like,
    small,
    with_arrays,
    without_noise,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Case, cases
from test_pipeline import deliveries_alone

from wisp_gym.metrics import measure
from wisp_gym.pipeline import DrafterRule, SchedulerRule, Simulation
from wisp_gym.world import draw_world


def test_one_request_per_device_and_constant_service_is_an_m_d_1_queue() -> None:
    """Mean wait rho * s / (2 (1 - rho)), inside the 99 % interval over 40 runs of 1,500 arrivals."""
    arrivals, service_ns, load = 1500, 10_000_000, 0.6
    base = draw_world(small(*BASE, "server.max_batch=1"), 0, devices=arrivals, horizon_s=0.01)
    base = without_noise(constant_links(base, 0, 0))
    server = server_like(base, base_ns=service_ns, cached_ns=0, request_ns=0, pair_ns=0)
    base = with_arrays(base, server=server, pass_ns=np.zeros_like(base.arrays.pass_ns))
    means = []
    for seed in range(40):
        gaps = np.random.default_rng(seed).exponential(service_ns / load, arrivals)
        starts = np.cumsum(np.rint(gaps)).astype(np.int64)
        world = hand_made(base, 1, [1] * arrivals, starts.tolist(), [1] * arrivals)
        sim = Simulation(world, pair("none", DrafterRule.none()), log=True)
        sim.until(int(starts[-1]) + 1000 * service_ns)
        served = {row.device: row.time for row in rows(sim, "member")}
        assert len(served) == arrivals
        waits = np.array([served[d] - starts[d] for d in range(arrivals)])
        means.append(waits[200:].mean())  # the queue starts empty
    expected = load * service_ns / (2 * (1 - load))
    half_width = 2.708 * np.std(means, ddof=1) / math.sqrt(len(means))  # t, 39 degrees of freedom, 99 %
    assert abs(np.mean(means) - expected) < half_width < 0.05 * expected


ALONE = ("fleet.devices=1", "ranges={}", "workload.kind=closed", "workload.lead_s=null", "server.noise_cv=0")


@settings(max_examples=40)
@given(case=cases(), k=st.integers(0, 8))
def test_alone_a_round_is_the_sum_of_its_parts_in_any_world(case: Case, k: int) -> None:
    """Device, network, server, block and chunks of a random case, one device, no noise: to the ns."""
    world = draw_world(case.scenario(*ALONE), case.seed)
    sim = run(world, pair("fixed", DrafterRule.fixed(k)))
    seen = [(row.time, row.session, row.a) for row in rows(sim, "deliver")]
    by_hand = deliveries_alone(world, k, checked=False) if len(world.arrays.sessions) else []
    assert seen == [delivery for delivery in by_hand if delivery[0] < world.horizon_ns]


@pytest.mark.parametrize(("p", "k"), [(0.3, 2), (0.6, 4), (0.9, 8), (0.6, 1)])
def test_constant_acceptance_gives_the_truncated_geometric_mean(p: float, k: int) -> None:
    """Mean accepted count p (1 - p^k) / (1 - p), within 3.3 standard errors (99.9 %)."""
    length = 20_000
    base = draw_world(small(*BASE), 0, devices=1, horizon_s=0.01)
    accepts = (np.random.default_rng(5).random(length) < p).astype(int).tolist()
    sim = Simulation(
        hand_made(base, 4, [length], [0], accepts), pair("fixed", DrafterRule.fixed(k)), log=True
    )
    sim.until(100_000 * SECOND)
    counts = np.array([r.accepted for r in requests(sim) if r.k == k])
    assert sim.state.outcomes[0]["finished"] == 1
    assert len(counts) > length / (k + 1) - 2
    error = counts.std(ddof=1) / math.sqrt(len(counts))
    assert abs(counts.mean() - p * (1 - p**k) / (1 - p)) < 3.3 * error


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_drafts_and_no_delays_are_centralized_serving(seed: int) -> None:
    """A device that drafts nothing, costs nothing and is nowhere away might as well not be there."""
    base = constant_links(
        draw((*TIGHT, "server.block=1"), seed), 0, 0
    )  # a running session keeps partial blocks
    devices = base.arrays.devices.copy()
    devices["prefill_ns"] = 0
    world = with_arrays(base, devices=devices)
    rule = SchedulerRule("continuous")
    at_devices = run(world, pair("none", DrafterRule.none(), rule))
    central = run(world, pair("centralized", DrafterRule.none(server_loop=True), rule))
    kinds = ("pass", "member", "verify", "deliver", "evict")
    assert sorted(map(repr, rows(at_devices, *kinds))) == sorted(map(repr, rows(central, *kinds)))
    assert len(rows(central, "pass")) > 300
    assert measure(at_devices)["attainment"] == measure(central)["attainment"]
