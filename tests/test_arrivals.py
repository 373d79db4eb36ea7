"""Arrival profiles: nominal concurrency, Poisson arrivals, nesting, episodes, one line for a bad profile."""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest
from core import POLICIES, SECOND, rows, run, world_hash
from numpy.typing import NDArray

from wisp_gym import scenario
from wisp_gym.envs import EdgeCloud, wisp_action
from wisp_gym.errors import InputError
from wisp_gym.scenario import LogNormal, Scenario
from wisp_gym.scenario.arrivals import STEP_S, length_survival, nominal_concurrency, solve
from wisp_gym.world import World, draw_world, template_of, world_seed
from wisp_gym.world.arrivals import episode_begin_s

BURST = scenario.load("burst", ["workload.scale=1"])
PEAKS_S = {180: 110, 400: 155, 620: 215}
VALLEYS_S = {120: 25, 330: 12, 530: 30, 590: 40, 840: 15}

QUICK = (  # no probe of who holds which class, which takes longest
    "fleet.allow_infeasible=true",
    "workload.concurrency=[[0, 0], [5, 12], [20, 12], [60, 3], [80, 20]]",
    "workload.output_tokens={median: 30, sigma: 0.3, min: 8, max: 80}",
    "horizon_s=40",
    "warmup_s=5",
)


def quick(*overrides: str) -> Scenario:
    return scenario.load("burst", ("workload.scale=1", *QUICK, *overrides))


def spans_s(world: World) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return when each session nominally begins and ends, from the drawn world alone."""
    arrays = world.arrays
    period_ns = arrays.groups["period_ns"][arrays.devices["group"][arrays.sessions["device"]]]
    begin_ns = arrays.sessions["start_ns"]
    return begin_ns / SECOND, (begin_ns + arrays.sessions["length"] * period_ns) / SECOND


def concurrency(world: World, times_s: list[float]) -> list[int]:
    begin_s, end_s = spans_s(world)
    return [int(((begin_s <= t) & (t < end_s)).sum()) for t in times_s]


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    return [draw_world(BURST, world_seed("test", seed)) for seed in range(40)]


# --- the profile is met


def test_the_shipped_profile_has_the_papers_base_and_peaks() -> None:
    points = dict(BURST.workload.concurrency)
    assert all(points[t] == sessions for t, sessions in (PEAKS_S | VALLEYS_S).items() if t in points)
    assert sorted(set(points.values()))[-3:] == [110, 155, 215]
    assert all(10 <= n <= 55 for t, n in points.items() if t > 0 and n not in (60, 110, 155, 215))


def test_nominal_concurrency_meets_the_peaks_and_the_valleys(worlds: list[World]) -> None:
    """Mean over the worlds within its 95 % band, at all points at once (normal quantile at 0.05 / 16)."""
    points = PEAKS_S | VALLEYS_S
    counts = np.array([concurrency(world, list(map(float, points))) for world in worlds])
    error = counts.std(axis=0, ddof=1) / math.sqrt(len(worlds))
    band = NormalDist().inv_cdf(1 - 0.025 / len(points)) * error
    wanted = np.array(list(points.values()))
    assert (np.abs(counts.mean(axis=0) - wanted) < band).all(), (counts.mean(axis=0), wanted, band)
    assert (band < 0.15 * wanted).all()  # narrow enough to tell


def test_the_rate_of_the_mean_duration_alone_would_miss_the_peaks() -> None:
    """Concurrency over mean duration, smoothed by the durations: a peak loses more than a tenth."""
    rate = nominal_concurrency(BURST.workload, STEP_S * np.arange(4000)) / mean_duration_s(BURST)
    naive = np.concatenate([[0.0], np.cumsum(STEP_S * rate)])
    for time_s, sessions in PEAKS_S.items():
        assert expected_concurrency(BURST, naive, float(time_s)) < 0.9 * sessions


def mean_duration_s(loaded: Scenario) -> float:
    rates = np.array(loaded.classes.rates_tps)
    return loaded.workload.output_tokens.mean * float(np.dot(loaded.classes.shares, 1 / rates))


def expected_concurrency(loaded: Scenario, expected: NDArray[np.float64], time_s: float) -> float:
    """Return the expected sessions at a time: over classes and lengths, the arrivals of a duration before."""
    grid_s = STEP_S * np.arange(len(expected))
    survival = np.append(length_survival(loaded.workload.output_tokens), 0.0)
    chance = survival[:-1] - survival[1:]  # of a length of 1, 2, ...
    total = 0.0
    for rate, share in zip(loaded.classes.rates_tps, loaded.classes.shares, strict=True):
        before = np.interp(time_s - np.arange(1, len(chance) + 1) / rate, grid_s, expected, left=0.0)
        total += share * float(np.dot(chance, np.interp(time_s, grid_s, expected) - before))
    return total


@pytest.mark.parametrize("shares", ["[0.25, 0.25, 0.25, 0.25]", "[0, 0, 0, 1]", "[0.6, 0, 0.4, 0]"])
def test_the_expectation_is_the_profile_at_every_cell(shares: str) -> None:
    loaded = quick(f"classes.shares={shares}", "workload.scale=1.7")
    expected = solve(loaded.file, 100.0).expected
    for time_s in (0.25, 3.0, 5.0, 19.75, 44.5, 60.0, 77.25, 80.0, 99.75):
        wanted = nominal_concurrency(loaded.workload, np.array([time_s]))[0]
        assert expected_concurrency(loaded, expected, time_s) == pytest.approx(wanted, rel=1e-9)
        between = nominal_concurrency(loaded.workload, np.array([time_s - 0.1]))[0]
        assert expected_concurrency(loaded, expected, time_s - 0.1) == pytest.approx(between, abs=0.05)


@pytest.mark.parametrize(
    "law",
    [
        LogNormal(median=30, sigma=0.3, min=8, max=80),
        LogNormal(median=5, sigma=1.0, min=1, max=9),
        LogNormal(median=7, sigma=0, min=2, max=9),
    ],
)
def test_the_survival_of_lengths_is_that_of_drawn_lengths(law: LogNormal) -> None:
    text = law.model_dump_json().replace('"', "").replace(":", ": ")
    drawn = draw_world(quick(f"workload.output_tokens={text}", "workload.scale=10"), 5).arrays.sessions[
        "length"
    ]
    for length, survival in enumerate(length_survival(law)):
        error = math.sqrt(survival * (1 - survival) / len(drawn))
        assert abs((drawn > length).mean() - survival) <= 4.5 * error + 1e-12
    assert drawn.max() <= len(length_survival(law))


# --- Poisson


def clocks(worlds: list[World]) -> list[NDArray[np.float64]]:
    """Return each world's arrivals on the clock of expected arrivals: there a plain Poisson process, whatever
    the profile does."""
    expected = solve(BURST.file, BURST.horizon_s).expected
    return [np.interp(spans_s(world)[0], STEP_S * np.arange(len(expected)), expected) for world in worlds]


def test_arrivals_are_poisson(worlds: list[World]) -> None:
    """Counts in bins of ten expected arrivals: mean, variance, next to each other, how often just ten."""
    width = 10.0
    bins = np.arange(0.0, solve(BURST.file, BURST.horizon_s).at(BURST.horizon_s), width)
    counts = np.array([np.histogram(clock, bins)[0] for clock in clocks(worlds)])
    n = counts.size
    assert abs(counts.mean() - width) < 4 * math.sqrt(width / n)  # 4 standard errors, as below
    assert abs(counts.var(ddof=1) / width - 1) < 4 * math.sqrt((2 + 1 / width) / n)
    assert abs(np.corrcoef(counts[:, :-1].ravel(), counts[:, 1:].ravel())[0, 1]) < 4 / math.sqrt(n)
    ten = math.exp(-10) * 10**10 / math.factorial(10)
    assert abs((counts == 10).mean() - ten) < 4 * math.sqrt(ten * (1 - ten) / n)


def test_gaps_are_exponential(worlds: list[World]) -> None:
    gaps = np.concatenate([np.diff(clock, prepend=0.0) for clock in clocks(worlds)])
    for q in (0.1, 0.5, 1.0, 2.0, 4.0):
        chance = math.exp(-q)
        assert abs((gaps > q).mean() - chance) < 4 * math.sqrt(chance * (1 - chance) / len(gaps))


# --- worlds


def same_start(small: World, large: World) -> None:
    """What arrives in the smaller world is what arrives first in the larger."""
    n, ours, theirs = small.devices, small.arrays, large.arrays
    assert 0 < n < large.devices
    assert (theirs.sessions["start_ns"][n:] >= small.horizon_ns).all()
    assert np.array_equal(ours.sessions, theirs.sessions[:n])
    for name in ("group", "kind", "network", "speed", "draft_ns", "prefill_ns"):
        assert np.array_equal(ours.devices[name], theirs.devices[name][:n])
    positions = len(ours.accepts)
    assert np.array_equal(ours.accepts, theirs.accepts[:positions])
    assert np.array_equal(small.signals, large.signals[:, :positions])


@pytest.mark.parametrize("begin_s", [0.0, 13.3])
def test_worlds_nest_over_time(begin_s: float) -> None:
    """Also where the longer one goes on beyond the profile, which had to be solved further."""
    loaded = quick()
    worlds = [draw_world(loaded, 3, horizon_s=t, begin_s=begin_s) for t in (7.0, 39.0, 200.0)]
    for small, large in itertools.pairwise(worlds):
        same_start(small, large)
    assert concurrency(worlds[-1], [190.0])[0] > 0  # the profile stays at its last value


def test_a_world_is_its_seed() -> None:
    loaded = quick()
    assert world_hash(draw_world(loaded, 4)) == world_hash(draw_world(quick(), 4))
    assert len({world_hash(draw_world(loaded, seed)) for seed in range(5)}) == 5


def test_each_arrival_is_a_device_and_any_run_of_them_holds_the_shares(worlds: list[World]) -> None:
    world = worlds[0]
    assert len(world.arrays.sessions) == world.devices
    assert (np.diff(world.arrays.sessions["start_ns"]) >= 0).all()
    for begin, end in ((0, 40), (101, 301), (7, 700)):
        held = np.bincount(world.arrays.devices["group"][begin:end], minlength=4)
        assert (np.abs(held - (end - begin) / 4) <= 2).all()
    assert world.arrays.groups["devices"].tolist() == [54, 54, 54, 54]  # a quarter of 215 each, rounded up


@pytest.mark.parametrize("policy", ["wisp-literal", "centralized"])
def test_policies_meet_the_same_arrivals(policy: str) -> None:
    world = draw_world(quick(), 6)
    sim = run(world, POLICIES[policy]())
    started = [(row.device, row.a) for row in rows(sim, "start")]
    drawn = world.arrays.sessions
    assert sorted(started) == list(zip(drawn["device"].tolist(), drawn["start_ns"].tolist(), strict=True))


def test_scale_multiplies_the_sessions() -> None:
    single, double = (solve(quick(f"workload.scale={s}").file, 80.0).expected for s in (1, 2))
    assert np.allclose(double, 2 * single)


# --- episodes


def test_training_worlds_start_anywhere_and_others_at_zero() -> None:
    seeds = [world_seed("train", 0, 0, episode) for episode in range(400)]
    begins = np.array([episode_begin_s(BURST, "train", seed, 200.0) for seed in seeds])
    assert begins.min() >= 0
    assert begins.max() <= 700
    counts = np.histogram(begins, 7, (0, 700))[0]
    assert (np.abs(counts - 400 / 7) < 4 * math.sqrt(400 / 7)).all()
    assert {episode_begin_s(BURST, split, seeds[0], 200.0) for split in ("validation", "test")} == {0.0}
    assert episode_begin_s(BURST, "train", seeds[0], 2000.0) == 0.0
    assert episode_begin_s(scenario.load("quickstart"), "train", seeds[0], 10.0) == 0.0


def test_after_the_warm_up_a_world_begun_anywhere_follows_the_profile() -> None:
    """A world begins empty: sessions older than the warm-up are missing, 5 % of the profile at most."""
    begin_s, warmup_s = 330.0, BURST.cycle_s() + 10.0
    arrivals = template_of(BURST).arrivals
    assert arrivals is not None
    grid = STEP_S * np.arange(len(arrivals.intensity.expected))
    before = arrivals.intensity.at(begin_s)
    begun = np.where(grid < begin_s, before, arrivals.intensity.expected) - before
    for later_s in (0.0, 20.0, 60.0):
        at_s = begin_s + warmup_s + later_s
        wanted = nominal_concurrency(BURST.workload, np.array([at_s]))[0]
        assert 0.95 * wanted < expected_concurrency(BURST, begun, at_s) <= wanted + 1e-6


def test_episodes_of_a_training_environment_meet_different_places() -> None:
    env = EdgeCloud(quick("episode_s=2"), seed=0)
    first = []
    for _ in range(3):
        env.reset()
        assert env.simulation is not None
        first.append(env.simulation.world.arrays.sessions["start_ns"][:3].tolist())
    assert len({tuple(starts) for starts in first}) == 3


def test_both_checkers_pass_and_a_step_sees_the_peak_as_its_scale() -> None:
    from gymnasium.utils.env_checker import check_env as check_gymnasium
    from stable_baselines3.common.env_checker import check_env as check_stable_baselines

    check_gymnasium(EdgeCloud(quick(), episode_s=2.0), skip_render_check=True)
    check_stable_baselines(EdgeCloud(quick(), episode_s=2.0))
    env = EdgeCloud(quick("workload.scale=3", "server.max_batch=2"), seed=1, episode_s=20.0)  # overloaded
    observation, _ = env.reset()
    over = False
    while not over:
        assert env.observation_space.contains(observation)
        observation, _, _, over, info = env.step(wisp_action())
        assert info["terms"]["demand_tps"] == 4 * 15 * 0.25 * (2 + 4 + 6 + 8)  # a quarter of 3 x 20 each


# --- what is refused


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("workload.concurrency=[]", "concurrency has 0 points"),
        ("workload.concurrency=[[0, 0]]", "concurrency has 1 points"),
        ("workload.concurrency=[[0, 5], [9, 5]]", "must start at [0, 0]"),
        ("workload.concurrency=[[1, 0], [9, 5]]", "must start at [0, 0]"),
        ("workload.concurrency=[[0, 0], [9, 5], [9, 6]]", "time 9 s after 9 s: times must increase"),
        ("workload.concurrency=[[0, 0], [9, 5], [8, 6]]", "times must increase"),
        ("workload.concurrency=[[0, 0], [9, 0]]", "0 throughout"),
        ("workload.concurrency=[[0, 0], [9, -1]]", "workload.concurrency.1.1 = -1"),
        ("workload.concurrency=[[0, 0], [9, .nan]]", "the number .nan is not finite"),
        ("workload.concurrency=[[0, 0], [9]]", "workload.concurrency.1.1 is missing"),
        ("workload.concurrency=[[0, 0], [9, 1, 2]]", "workload.concurrency.1"),
        ("workload.concurrency=[[0, 0], [9, many]]", "workload.concurrency.1.1 = 'many'"),
        ("workload.concurrency=5", "workload.concurrency = 5"),
        (
            "workload.concurrency=[[0, 0], [9, 50], [10, 0]]",
            "falls faster than sessions end, must be",
        ),
        ("workload.scale=0", "workload.scale = 0"),
        ("ranges.class_weights=[[0, 1], [1, 1], [1, 1], [1, 1]]", "ranges.class_weights: must be null"),
        ("ranges.devices=[5, 9]", "ranges.devices: must be null"),
        ("fleet.devices=20", "fleet.devices = 20: each arrival has its own device"),
        ("server.kv_tokens=100", "such a session can never fit"),
    ],
)
def test_a_bad_profile_is_one_line(override: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        quick(override)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_fleet_size_cannot_be_asked_for() -> None:
    with pytest.raises(InputError, match="each arrival has its own device"):
        draw_world(quick(), 1, devices=10)
    with pytest.raises(InputError, match=r"fleet\.devices = 120: .* more than that arrive"):
        draw_world(quick("fleet.devices=120"), 1, horizon_s=2000)
