"""The world: drawn before control, nested, unlike across splits; its links, noise and fleets."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from core import EASY, SECOND, draw, small, world_hash
from numpy.typing import NDArray

import wisp_gym
from wisp_gym.errors import InputError
from wisp_gym.metrics import measure
from wisp_gym.pipeline import DrafterRule, Policy, SchedulerRule, Simulation
from wisp_gym.pipeline.log import KINDS
from wisp_gym.pipeline.verify import noise_factor
from wisp_gym.profiles import network as network_profile
from wisp_gym.world import World, draw_world, template_of, world_seed
from wisp_gym.world.fleet import Probe
from wisp_gym.world.network import link_cell
from wisp_gym.world.types import CELLS, SLOT_NS

PROFILES = Path(wisp_gym.__file__).parent / "profiles" / "data"
STABLE = ("group", "draft_ns", "check_ns", "prefill_ns", "network", "back_ns", "kind", "power_w", "speed")


# --- seeds and nesting


def streams_of(world: World, session: int) -> list[NDArray[np.generic]]:
    row = world.arrays.sessions[session]
    span = slice(int(row["offset"]), int(row["offset"] + row["length"]))
    return [world.arrays.accepts[span], world.signals[:, span], world.off_signals[:, span]]


def assert_nested(small_world: World, large: World, devices: int) -> None:
    """Devices, sessions and streams of the smaller world are the first ones of the larger."""
    ours, theirs = small_world.arrays, large.arrays
    for name in STABLE:
        assert np.array_equal(ours.devices[name], theirs.devices[name][:devices])
    for d in range(devices):
        mine, other = ours.devices[d], theirs.devices[d]
        assert 0 < mine["sessions"] <= other["sessions"] or mine["sessions"] == 0
        for index in range(mine["sessions"]):
            a, b = int(mine["first_session"]) + index, int(other["first_session"]) + index
            for name in ("device", "prompt", "length", "think_ns", "start_ns"):
                assert ours.sessions[a][name] == theirs.sessions[b][name]
            for one, two in zip(streams_of(small_world, a), streams_of(large, b), strict=True):
                assert np.array_equal(one, two)


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_worlds_nest_over_devices_and_time(seed: int) -> None:
    scenario = small(*EASY)
    tiny = draw_world(scenario, seed, devices=6, horizon_s=20)
    wide = draw_world(scenario, seed, devices=17, horizon_s=20)
    long = draw_world(scenario, seed, devices=6, horizon_s=90)
    assert_nested(tiny, wide, 6)
    assert_nested(tiny, long, 6)
    assert len(long.arrays.sessions) > len(tiny.arrays.sessions)
    assert len(wide.arrays.sessions) > len(tiny.arrays.sessions)


def test_a_world_is_its_seed() -> None:
    assert world_hash(draw(seed=3)) == world_hash(draw(seed=3))
    assert len({world_hash(draw(seed=seed)) for seed in range(10)}) == 10


def test_no_two_addresses_share_a_world() -> None:
    """Plain seeds s, s + 1, ... over copies and episodes would overlap."""
    addresses = itertools.product(("train", "validation", "test"), range(8), range(8), range(8))
    seeds = [world_seed(*address) for address in addresses]  # type: ignore[arg-type]
    assert len(set(seeds)) == len(seeds) == 3 * 8**3
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_splits_draw_different_worlds() -> None:
    scenario = small(*EASY)
    splits = ("train", "validation", "test")
    worlds = [draw_world(scenario, world_seed(split, 5)) for split in splits]  # type: ignore[arg-type]
    for one, two in itertools.combinations(worlds, 2):
        assert not np.array_equal(one.arrays.devices["speed"], two.arrays.devices["speed"])
        assert one.arrays.sessions["start_ns"][0] != two.arrays.sessions["start_ns"][0]


@pytest.mark.parametrize(
    "address",
    [("practice", 0, 0, 0), ("test", -1, 0, 0), ("test", 0, -1, 0), ("test", 0, 0, -1), ("test", 1.5, 0, 0)],
)
def test_bad_addresses_are_refused(address: tuple[object, ...]) -> None:
    with pytest.raises(InputError, match="allowed"):
        world_seed(*address)  # type: ignore[arg-type]


def test_sessions_follow_their_laws() -> None:
    world = draw((*EASY, "horizon_s=400"), seed=8)
    workload, sessions = world.scenario.workload, world.arrays.sessions
    for field, law in (("prompt", workload.prompt_tokens), ("length", workload.output_tokens)):
        values = sessions[field]
        assert law.min <= values.min() < law.median < values.max() <= law.max
        error = values.std(ddof=1) / math.sqrt(len(values))
        assert abs(values.mean() - law.mean) < 4 * error  # 99.99 %
    think = sessions["think_ns"] / SECOND
    assert abs(think.mean() - workload.think_s.mean) < 4 * think.std(ddof=1) / math.sqrt(len(think))
    ends = sessions["offset"] + sessions["length"]
    assert (sessions["offset"][1:] == ends[:-1]).all()
    assert ends[-1] == len(world.arrays.accepts)


def test_first_starts_are_spread_over_a_cycle() -> None:
    world = draw((*EASY, "fleet.devices=400", "horizon_s=25"), seed=8)
    arrays, workload = world.arrays, world.scenario.workload
    begun = arrays.devices[arrays.devices["sessions"] > 0]
    for g, rate in enumerate((2, 4, 6, 8)):
        cycle = workload.output_tokens.mean / rate + workload.think_s.mean
        first = begun[begun["group"] == g]["first_session"]
        share = arrays.sessions["start_ns"][first] / SECOND / cycle
        assert 0 <= share.min() < share.max() <= 1
        assert abs(share.mean() - 0.5) < 4 * math.sqrt(1 / 12 / len(share))  # 4 standard errors


# --- links


def round_trips(world: World, device: int, slots: int) -> NDArray[np.int64]:
    """Round-trip time of each slot, ns; both ways of a slot are shares of one draw."""
    arrays = world.arrays
    network = int(arrays.devices[device]["network"])
    refresh = arrays.refresh[network]
    cells = [link_cell(arrays.seed[0], device, slot * SLOT_NS, refresh) for slot in range(slots)]
    return (arrays.up_ns[network] + arrays.down_ns[network])[cells]


@pytest.mark.parametrize("name", ["wired", "5g-good", "4g-poor"])
def test_links_have_the_measured_round_trips_and_correlation(name: str) -> None:
    profile = network_profile(name)
    world = draw((*EASY, f"fleet.networks=[{{network: {name}, share: 1}}]"), seed=9)
    arrays = world.arrays
    total = arrays.up_ns[0] + arrays.down_ns[0]
    middle = (np.arange(CELLS) + 0.5) / CELLS
    exact = np.rint(np.interp(middle, profile.probabilities, profile.rtt_s) * 1e9)
    assert np.array_equal(total, exact.astype(np.int64))  # the two ways sum to the round trip
    assert np.abs(arrays.up_ns[0] - profile.up_share * total).max() <= 1
    series = [round_trips(world, device, 3000) for device in range(8)]
    ranks = [np.searchsorted(total, one, side="right") / CELLS for one in series]
    # Correlation of ranks: bounded, so the error is about 1 / sqrt(n), whatever the tails.
    lag1 = np.mean([np.corrcoef(one[:-1], one[1:])[0, 1] for one in ranks])
    assert lag1 == pytest.approx(profile.lag1, abs=0.04)
    lag3 = np.mean([np.corrcoef(one[:-3], one[3:])[0, 1] for one in ranks])
    assert lag3 == pytest.approx(profile.lag1**3, abs=0.05)
    for q in (0.1, 0.5, 0.9):
        share = np.mean([one <= np.quantile(total, q) for one in series])
        assert share == pytest.approx(q, abs=0.03)


def test_uplinks_have_the_uplinks_share_and_downlinks_the_rest(tmp_path: Path) -> None:
    """A link whose way up takes 0.8 of the round trip: in the tables, and in a run."""
    link = yaml.safe_load((PROFILES / "networks/lte.yaml").read_text())
    link["uplink"]["value"] = 0.8
    (tmp_path / "slow-up.yaml").write_text(yaml.safe_dump(link))
    world = draw((*EASY, f"fleet.networks=[{{network: {tmp_path / 'slow-up.yaml'}, share: 1}}]"))
    median_ns = 0.025 * SECOND  # of the round trip, in the profile
    assert np.median(world.arrays.up_ns[0]) == pytest.approx(0.8 * median_ns, rel=0.01)
    assert np.median(world.arrays.down_ns[0]) == pytest.approx(0.2 * median_ns, rel=0.01)
    assert set(world.arrays.devices["back_ns"]) == {int(np.median(world.arrays.down_ns[0]))}
    sim = Simulation(world, Policy("one", DrafterRule.fixed(2), SchedulerRule()), log=True).run()
    back, sent = [], {}
    for time_ns, kind, device in sim.events[:, :3].tolist():
        if KINDS[kind] == "verify":
            sent[device] = time_ns
        elif KINDS[kind] == "deliver":
            back.append(time_ns - sent[device])
    assert len(back) > 200
    assert np.median(back) == pytest.approx(0.2 * median_ns, rel=0.1)
    both_ns = sum(int(sim.state.counters[g]["network_ns"]) for g in range(4))
    assert both_ns / len(back) == pytest.approx(SECOND * mean_rtt_s(link["rtt"]), rel=0.1)


def mean_rtt_s(rtt: dict[str, Any]) -> float:
    """Mean of quantiles with straight lines between, s."""
    return float(np.trapezoid(rtt["values"], rtt["probabilities"])) / 1000


def test_a_link_is_constant_within_a_slot_and_its_own() -> None:
    world = draw(seed=9)
    arrays = world.arrays
    refresh = arrays.refresh[0]
    for slot in (0, 1, 63, 64, 65, 1000):
        cells = {link_cell(arrays.seed[0], 3, slot * SLOT_NS + t, refresh) for t in (0, 1, SLOT_NS - 1)}
        assert len(cells) == 1
    one, two = round_trips(world, 0, 2000), round_trips(world, 1, 2000)
    assert not np.array_equal(one, two)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.15


# --- noise


@pytest.mark.parametrize("cv", [0.0, 0.02, 0.2])
def test_server_noise_has_mean_one_and_its_coefficient_of_variation(cv: float) -> None:
    factors = template_of(small(*EASY, f"server.noise_cv={cv}")).noise
    assert factors.mean() == pytest.approx(1.0, abs=1e-12)
    assert factors.std() == pytest.approx(cv, rel=0.02, abs=1e-12)
    assert factors.min() > 0


def test_noise_is_independent_from_pass_to_pass() -> None:
    world = draw((*EASY, "server.noise_cv=0.2"), seed=9)
    count = 5000
    factors = np.array([noise_factor(world.arrays, number) for number in range(count)])
    assert abs(factors.mean() - 1) < 4 * 0.2 / math.sqrt(count)  # 4 standard errors, as below
    for lag in (1, 2, 7):
        assert abs(np.corrcoef(factors[:-lag], factors[lag:])[0, 1]) < 4 / math.sqrt(count)


# --- fleets


@pytest.mark.parametrize("shares", [(0.25, 0.25, 0.25, 0.25), (0.5, 0, 0.2, 0.3), (0, 0, 0, 1)])
def test_any_first_devices_hold_the_classes_shares(shares: tuple[float, ...]) -> None:
    world = draw((*EASY, "fleet.devices=200", f"classes.shares={list(shares)}"), seed=2)
    group = world.arrays.devices["group"]
    for count in (1, 7, 20, 100, 200):
        held = np.bincount(group[:count], minlength=4)
        assert (np.abs(held - count * np.array(shares)) <= 1).all()
    assert np.array_equal(world.arrays.groups["devices"], np.bincount(group, minlength=4))


def test_kinds_networks_and_speeds_follow_their_shares() -> None:
    mix = "fleet.mix=[{device: raspberry-pi-5, share: 0.2}, {device: jetson-agx-orin, share: 0.8}]"
    networks = "fleet.networks=[{network: wired, share: 0.7}, {network: 5g-good, share: 0.3}]"
    world = draw((*EASY, mix, networks, "fleet.devices=2000", "horizon_s=6"), seed=2)
    devices, profiles = world.arrays.devices, world.scenario.profiles
    assert np.mean(devices["kind"] == 0) == pytest.approx(0.2, abs=4 * math.sqrt(0.16 / 2000))
    assert np.mean(devices["network"] == 0) == pytest.approx(0.7, abs=4 * math.sqrt(0.21 / 2000))
    for kind, profile in enumerate(profiles.devices):
        mine = devices[devices["kind"] == kind]
        low, high = profile.speed_spread
        assert low <= mine["speed"].min() < mine["speed"].max() <= high
        middle = math.sqrt(low * high)  # speeds are spread evenly in their logarithm
        assert np.mean(mine["speed"] < middle) == pytest.approx(0.5, abs=4 * math.sqrt(0.25 / len(mine)))
        assert np.abs(mine["draft_ns"] * mine["speed"] * profile.decode_tps("qwen3-0.6b") - 1e9).max() < 1000
    assert np.array_equal(devices["back_ns"], np.median(world.arrays.down_ns, axis=1)[devices["network"]])


ABLE = (*EASY, "fleet.allow_infeasible=false")


def test_only_pairs_that_hold_their_class_alone_are_drawn() -> None:
    world = draw((*ABLE, "fleet.devices=300", "horizon_s=6"), seed=2)
    slowest = template_of(world.scenario).slowest
    devices = world.arrays.devices
    assert (devices["speed"] >= slowest[devices["kind"], devices["network"], devices["group"]]).all()
    free = draw((*EASY, "fleet.devices=300", "horizon_s=6"), seed=2).arrays.devices
    assert (free["speed"] < slowest[free["kind"], free["network"], free["group"]]).any()
    tight = np.mean(devices["kind"][devices["group"] == 3])
    assert tight > np.mean(free["kind"][free["group"] == 3])  # the fast kind takes over the tight class


def test_a_drawn_device_alone_holds_its_class() -> None:
    """The rule against the pipeline: each device by itself under fixed K = 5, classes' mean at least 97 %."""
    attainment: dict[int, list[float]] = {g: [] for g in range(4)}
    for seed in range(24):
        scenario = small(
            *ABLE, "fleet.devices=1", f"classes.shares={[float(g == seed % 4) for g in range(4)]}"
        )
        world = draw_world(scenario, world_seed("test", seed), horizon_s=200)
        sim = Simulation(world, Policy("fixed", DrafterRule.fixed(5), SchedulerRule()))
        attainment[seed % 4].append(measure(sim.run())["attainment"])
    assert all(np.mean(values) > 0.97 for values in attainment.values()), attainment


def test_the_slowest_speed_is_where_the_class_is_lost() -> None:
    template = template_of(small(*ABLE))
    probe = Probe(template.laws, template.groups, template.server, template.pass_ns)
    low = np.array([kind.speed_spread[0] for kind in template.laws.kinds])
    inside = np.isfinite(template.slowest) & (template.slowest > 1.001 * low[:, None, None])
    assert inside.any()
    for kind, network, group in np.argwhere(inside):
        speed = float(template.slowest[kind, network, group])
        assert probe.holds(kind, network, group, speed)
        assert not probe.holds(kind, network, group, 0.97 * speed)


def test_a_class_no_device_can_hold_is_refused() -> None:
    alone = "fleet.mix=[{device: raspberry-pi-5, share: 1}]"
    fast = ("classes.rates_tps=[60]", "classes.shares=[1]")
    with pytest.raises(InputError, match=r"no device of .*raspberry-pi-5"):
        draw((*ABLE, alone, *fast))
    world = draw((*EASY, alone, *fast))  # allowed when asked for
    assert world.devices == 8


def test_a_share_of_nothing_cannot_hold_a_class() -> None:
    mix = "fleet.mix=[{device: raspberry-pi-5, share: 1}, {device: jetson-agx-orin, share: 0}]"
    fast = ("classes.rates_tps=[20]", "classes.shares=[1]")
    with pytest.raises(InputError, match="can hold the class of 20 tok/s"):
        draw((*ABLE, mix, *fast))


@pytest.mark.parametrize(("seed", "devices"), [(-1, 4), (2**64, 4), (1, 0), (1, -3), (1, 65_537)])
def test_impossible_worlds_are_refused(seed: int, devices: int) -> None:
    with pytest.raises(InputError, match="allowed"):
        draw_world(small(*EASY), seed, devices)
