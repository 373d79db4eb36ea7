"""What a world draws for itself: within the ranges, from its seed alone, the same for every policy."""

from __future__ import annotations

import numpy as np
import pytest

from wisp_gym import scenario
from wisp_gym.envs import EdgeCloud
from wisp_gym.errors import InputError
from wisp_gym.world import draw_world, world_seed
from wisp_gym.world.ranges import draw_variant
from wisp_gym.world.streams import fixed_k_rounds

SEEDS = [world_seed("train", 0, 0, episode) for episode in range(400)]


def mixed(*overrides: str) -> scenario.Scenario:
    return scenario.load("fleet-mix", overrides)


def test_every_quantity_covers_its_range_and_no_more() -> None:
    """400 worlds: mean of a uniform quantity within four standard errors of the middle of its range."""
    spec = mixed("ranges.devices=[60, 259]", "ranges.acceptance_shift=[-1, 1]")
    drawn = [draw_variant(spec, seed) for seed in SEEDS]
    for values, low, high in (
        ([variant.devices for variant in drawn], 60, 259),
        ([variant.acceptance_shift for variant in drawn], -1, 1),
    ):
        assert min(values) >= low
        assert max(values) <= high
        error = (high - low) / np.sqrt(12 * len(values))
        assert abs(np.mean(values) - (low + high) / 2) < 4 * error
        assert max(values) - min(values) > 0.97 * (high - low)
    for name, count in (("shares", 4), ("mix", 3), ("networks", 3)):
        shares = np.array([getattr(variant, name) for variant in drawn])
        assert shares.shape == (400, count)
        assert np.allclose(shares.sum(axis=1), 1)
        assert (shares > 0).all()
        assert np.allclose(shares.mean(axis=0), 1 / count, atol=4 * shares.std() / np.sqrt(400))
        assert shares.std(axis=0).min() > 0.05
    pairs = np.array([[v.devices, v.acceptance_shift, v.shares[0], v.mix[0], v.networks[0]] for v in drawn])
    correlation = np.corrcoef(pairs.T) - np.eye(5)
    assert np.abs(correlation).max() < 4 / np.sqrt(400)  # drawn independently


def test_the_world_is_what_was_drawn() -> None:
    spec = mixed()
    for seed in SEEDS[:5]:
        variant, world = draw_variant(spec, seed), draw_world(spec, seed, horizon_s=20.0)
        assert world.devices == variant.devices
        got = np.bincount(world.arrays.devices["group"], minlength=4) / world.devices
        assert np.abs(got - variant.shares).max() < 1.5 / world.devices  # largest remainders
        again = draw_world(spec, seed, horizon_s=20.0)
        assert np.array_equal(world.arrays.accepts, again.arrays.accepts)


def test_worlds_nest_and_a_fixed_size_changes_nothing_else() -> None:
    spec, fixed = mixed(), mixed("ranges.devices=null", "fleet.devices=40")
    seed = SEEDS[3]
    large, small = draw_world(spec, seed, 80, 30.0), draw_world(fixed, seed, horizon_s=30.0)
    for field in ("group", "kind", "network", "speed"):
        assert np.array_equal(large.arrays.devices[field][:40], small.arrays.devices[field])
    count = int(small.arrays.sessions["length"].sum())
    assert np.array_equal(large.arrays.accepts[:count], small.arrays.accepts)
    longer = draw_world(fixed, seed, horizon_s=60.0)
    first = small.arrays.devices["sessions"][0]
    assert np.array_equal(longer.arrays.sessions["length"][:first], small.arrays.sessions["length"][:first])


def test_easier_text_is_accepted_more() -> None:
    """Paired worlds, one number apart; the mean accepted count of five drafts rises by a clear margin."""
    means = []
    for shift in (-1.0, 0.0, 1.0):
        spec = mixed("ranges={}", f"ranges.acceptance_shift=[{shift}, {shift}]", "fleet.devices=40")
        world = draw_world(spec, SEEDS[0], horizon_s=300.0)
        means.append(fixed_k_rounds(world.arrays.accepts, 5).mean())
    assert means[1] - means[0] > 0.1
    assert means[2] - means[1] > 0.1


def test_without_ranges_nothing_is_drawn() -> None:
    spec = scenario.load("quickstart")
    variant = draw_variant(spec, SEEDS[0])
    assert not spec.ranges.given()
    assert variant.devices == spec.fleet.devices
    assert variant.shares.tolist() == list(spec.classes.shares)
    assert variant.acceptance_shift == 0
    assert mixed().ranges.given()
    assert mixed().digest() != mixed("ranges.acceptance_shift=null").digest()


def test_episodes_differ_in_size_and_the_option_decides() -> None:
    env = EdgeCloud("fleet-mix", ("ranges.devices=[5, 30]",), seed=0, episode_s=0.5)
    sizes = []
    for _ in range(4):
        env.reset()
        assert env.simulation is not None
        sizes.append(env.simulation.world.devices)
    assert len(set(sizes)) > 1
    assert all(5 <= size <= 30 for size in sizes)
    env.reset(options={"devices": 7})
    assert env.simulation is not None
    assert env.simulation.world.devices == 7


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("ranges.devices=[0, 5]", "ranges.devices"),
        ("ranges.devices=[9, 5]", "least, greatest"),
        ("ranges.devices=7", "ranges.devices"),
        ("ranges.devices=[1.5, 5]", "ranges.devices"),
        ("ranges.class_weights=[[1, 2]]", "must have 4"),
        ("ranges.class_weights=[[2, 1], [1, 1], [1, 1], [1, 1]]", "least, greatest"),
        ("ranges.mix_weights=[[0, 1], [0, 1], [0, 1]]", "above 0"),
        ("ranges.network_weights=[[1, 1]]", "must have 3"),
        ("ranges.acceptance_shift=[0, .nan]", "acceptance_shift"),
        ("ranges.acceptance_shift=[0, 50]", "acceptance_shift"),
        ("ranges.size=[1, 2]", "size"),
        ("classes.shares=[0.5, 0.5, 0, 0]", "share is 0"),
    ],
)
def test_wrong_ranges_are_one_clear_line(override: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        mixed(override)
    assert "\n" not in str(caught.value)
