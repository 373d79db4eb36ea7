"""Metrics: toy sessions worked out by hand, and what the definitions are for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from core import (
    EASY,
    SECOND,
    constant_links,
    draw,
    hand_made,
    pair,
    rows,
    run,
)

from wisp_gym.metrics import measure
from wisp_gym.metrics.measure import bin_quantile, ratio
from wisp_gym.metrics.sessions import device_attainment, jain_index, plain_mean, session_table
from wisp_gym.pipeline import DispatchView, DrafterRule, Simulation, Wait
from wisp_gym.pipeline.accounting import account_delivery, settle_session
from wisp_gym.pipeline.state import COUNTER, DEVICE_STATE, OUTCOME, TBT_BINS
from wisp_gym.world.types import DEVICE, GROUP, SESSION

# --- by hand

MS = 1_000_000


def one_class(on_time_share: float = 0.95) -> np.ndarray:
    """1 tok/s after an allowance of 1 s: token j of a session started at 0 is due at 1 + j seconds."""
    group = np.zeros(1, GROUP)
    group["period_ns"], group["allowance_ns"] = SECOND, SECOND
    group["rate_tps"], group["on_time_share"] = 1.0, on_time_share
    return group


class Toy:
    """A session of four tokens, delivered by hand."""

    def __init__(self, on_time_share: float = 0.95) -> None:
        self.group = one_class(on_time_share)
        self.outcome, self.counter = np.zeros(1, OUTCOME), np.zeros(1, COUNTER)
        self.outcome["first_ns"] = self.outcome["last_ns"] = -1
        self.device, self.tbt = np.zeros(1, DEVICE_STATE), np.zeros(TBT_BINS, np.int64)

    def settle(self, now_s: float) -> None:
        settle_session(self.group[0], self.outcome[0], 4, round(now_s * SECOND), self.counter[0])

    def deliver(self, now_s: float, tokens: int) -> None:
        self.settle(now_s)
        now = round(now_s * SECOND)
        args = (self.device[0], self.outcome[0], 4, self.group[0], self.counter[0])
        account_delivery(*args, self.tbt, tokens, now)


def test_a_toy_session_token_by_token() -> None:
    """Due at 2, 3, 4, 5 s; one at 1.5 s, two at 3.2 s, the last at exactly 5 s: only the second is late."""
    toy = Toy()
    toy.deliver(1.5, 1)
    assert (toy.counter[0]["due"], toy.counter[0]["delivered_on_time"]) == (0, 1)
    toy.deliver(3.2, 2)
    assert (toy.counter[0]["due"], toy.counter[0]["due_on_time"]) == (2, 1)
    assert toy.counter[0]["delivered_on_time"] == 2
    toy.deliver(5.0, 1)
    assert toy.counter[0]["delivered_on_time"] == 3
    assert (toy.counter[0]["finished"], toy.counter[0]["finished_on_time"]) == (1, 0)
    assert toy.counter[0]["last_on_time"] == 1
    assert toy.counter[0]["due"] == 3  # the last falls due at this very instant and settles after it
    toy.settle(5.0 + 1e-9)
    toy.settle(99)
    assert (toy.counter[0]["due"], toy.counter[0]["due_on_time"]) == (4, 3)
    assert (toy.outcome[0]["on_time"], toy.outcome[0]["settled"]) == (3, 4)
    # Gaps: 1.7 s over two tokens, 1.8 s for one; the first token has none.
    assert {int(at): int(toy.tbt[at]) for at in np.flatnonzero(toy.tbt)} == {850: 2, 1800: 1}
    assert toy.device[0]["stall_ns"] == 1800 * MS


def test_three_of_four_on_time_are_enough_for_a_share_of_three_quarters() -> None:
    toy = Toy(on_time_share=0.75)
    for now_s, tokens in ((1.5, 1), (3.2, 2), (5.0, 1)):
        toy.deliver(now_s, tokens)
    assert toy.counter[0]["finished_on_time"] == 1


def test_racing_ahead_of_the_reader_pays_nothing() -> None:
    toy = Toy()
    toy.deliver(0.5, 4)
    assert toy.counter[0]["delivered_on_time"] == 4
    assert toy.counter[0]["due_on_time"] == 0
    toy.settle(3.5)
    assert (toy.counter[0]["due"], toy.counter[0]["due_on_time"]) == (2, 2)


def toy_sessions(outcomes: list[tuple[int, int, int, int, int, int, int]]) -> dict[str, np.ndarray]:
    """Sessions of four tokens at 10 s: (device, start s, last s, delivered, settled, on time, finished)."""
    sessions, table = np.zeros(len(outcomes), SESSION), np.zeros(len(outcomes), OUTCOME)
    for i, (device, start, last, delivered, settled, on_time, finished) in enumerate(outcomes):
        sessions[i]["device"], sessions[i]["length"] = device, 4
        table[i]["start_ns"], table[i]["last_ns"] = start * SECOND, last * SECOND
        table[i]["delivered"], table[i]["settled"] = delivered, settled
        table[i]["on_time"], table[i]["finished"] = on_time, finished
        table[i]["first_ns"] = -1
    return session_table(sessions, table, np.zeros(3, DEVICE), one_class(), 0, 10 * SECOND)


def test_attainment_weighs_sessions_by_time_and_devices_alike() -> None:
    """Device 0: 3 s on time, 6 s not; device 1: 2 s on time; device 2 has no session that began."""
    table = toy_sessions(
        [
            (0, 0, 3, 4, 4, 4, 1),
            (0, 4, 10, 1, 3, 1, 0),
            (1, 8, 10, 0, 0, 0, 0),
            (2, 12, -1, 0, 0, 0, 0),
        ]
    )
    attainment = device_attainment(table, 3)
    assert attainment[:2] == pytest.approx([3 / 9, 1.0])
    assert math.isnan(attainment[2])
    assert plain_mean(attainment) == pytest.approx((1 / 3 + 1) / 2)


def test_a_finished_sessions_tokens_not_yet_due_are_on_time() -> None:
    table = toy_sessions([(0, 8, 9, 4, 0, 0, 1)])
    assert table["on_time"].tolist() == [True]


def test_only_time_inside_the_window_counts() -> None:
    outcome, session = np.zeros(1, OUTCOME), np.zeros(1, SESSION)
    session["length"] = 4
    outcome["start_ns"], outcome["last_ns"], outcome["finished"] = 2 * SECOND, 7 * SECOND, 1
    outcome["on_time"] = outcome["settled"] = outcome["delivered"] = 4
    for start, end, expected in ((0, 10, 5), (3, 10, 4), (3, 6, 3)):
        table = session_table(
            session, outcome, np.zeros(1, DEVICE), one_class(), start * SECOND, end * SECOND
        )
        assert table["time_ns"].tolist() == [expected * SECOND]
    past = session_table(session, outcome, np.zeros(1, DEVICE), one_class(), 7 * SECOND, 10 * SECOND)
    assert len(past["device"]) == 0


def test_small_functions() -> None:
    assert ratio(3, 4) == 0.75
    assert math.isnan(ratio(1, 0))
    assert jain_index(np.array([1.0, 1.0, 1.0])) == 1.0
    assert jain_index(np.array([1.0, 0.0, 0.0, 0.0])) == 0.25
    assert math.isnan(jain_index(np.array([np.nan])))
    bins = np.zeros(TBT_BINS, np.int64)
    assert math.isnan(bin_quantile(bins, 0.5))
    bins[10], bins[20] = 9, 1
    assert bin_quantile(bins, 0.5) == pytest.approx(0.0105)
    assert bin_quantile(bins, 0.95) == pytest.approx(0.0205)


def test_a_run_without_a_window_reports_nothing() -> None:
    with pytest.raises(RuntimeError, match="window"):
        measure(Simulation(draw(EASY), pair("none", DrafterRule.none())))


# --- interference, by hand


def test_interference_of_two_unlike_members() -> None:
    """A pass of a 40-token and a 4-token prompt, from the profile's formula."""
    base = constant_links(draw((*EASY, "server.noise_cv=0")), 1000, 1000)
    world = hand_made(base, 4, [1, 1], [0, 0], [1, 1])
    world.arrays.sessions["prompt"] = [40, 4]
    sim = Simulation(world, pair("none", DrafterRule.none()), log=True)
    sim.until(5 * SECOND)
    server, curve = world.arrays.server[0], world.arrays.pass_ns

    def time(*prompts: int) -> float:
        fixed = server["base_ns"] + len(prompts) * server["request_ns"]
        pairs = sum(n * n / 2 for n in prompts)
        return float(curve[sum(prompts)] + fixed + server["pair_ns"] * pairs)

    both = time(40, 4)
    counters = sim.state.counters
    assert [row.b for row in rows(sim, "pass")] == [2]
    raw = (both - time(40)) + (both - time(4))
    assert counters["vi_raw_ns"].sum() == pytest.approx(raw)
    mix = max(0.0, both - time(40, 40)) + max(0.0, both - time(4, 4))
    assert counters["vi_mix_ns"].sum() == pytest.approx(mix)
    assert counters["vi_queue_ns"].sum() == 0


# --- what the definitions are for


ABLE = "fleet.allow_infeasible=false"


class Starving:
    """Serves everyone but some devices, as soon as it can."""

    def __init__(self, devices: set[int]) -> None:
        self.devices = devices

    def select(self, view: DispatchView) -> list[int] | Wait:
        served = [i for i, d in enumerate(view.requests["device"].tolist()) if d not in self.devices]
        return served or Wait(view.now_ns + SECOND)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_never_serving_a_tenth_of_the_devices_costs_ten_points_of_attainment(seed: int) -> None:
    """Twenty devices under a light load; two of them are never served. The others keep what they had."""
    world = draw(
        (*EASY, "fleet.devices=20", "server.max_batch=32", "horizon_s=60", "warmup_s=20", ABLE), seed
    )
    fed = measure(run(world, pair("fed", DrafterRule.fixed(4), Starving(set()))))
    starved = measure(run(world, pair("starved", DrafterRule.fixed(4), Starving({3, 12}))))
    assert fed["attainment"] > 0.95
    assert fed["attainment"] - starved["attainment"] == pytest.approx(0.1 * fed["attainment"], abs=0.02)
    assert starved["stalled_30s_share"] == pytest.approx(0.1)
    assert fed["stalled_30s_share"] == 0
