"""The vector of environments: equal to as many scalar ones, in every mode; its own interface; its state."""

from __future__ import annotations

import functools
import math
from typing import Any

import gymnasium
import numpy as np
import pytest
from edge import CROWD, SMALL, action_of
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import wisp_gym  # noqa: F401
from wisp_gym.envs import EdgeCloud, EdgeCloudVector, wisp_action
from wisp_gym.envs.action import SIZES
from wisp_gym.envs.capture import capture, restore
from wisp_gym.errors import InputError

COPIES = 3
FLEETS = {"small": SMALL, "crowd": CROWD}


def vector(*overrides: str, copies: int = COPIES, **arguments: Any) -> EdgeCloudVector:
    settings: dict[str, Any] = {"seed": 1, "episode_s": 1.0} | arguments
    return EdgeCloudVector(copies, "quickstart", overrides or SMALL, **settings)


def scalars(mode: AutoresetMode, *overrides: str, **arguments: Any) -> SyncVectorEnv:  # type: ignore[type-arg]
    settings: dict[str, Any] = {"seed": 1, "episode_s": 1.0} | arguments
    make = functools.partial(EdgeCloud, "quickstart", overrides or SMALL, **settings)
    copies = [functools.partial(make, environment=i) for i in range(COPIES)]
    return SyncVectorEnv(copies, autoreset_mode=mode)  # type: ignore[arg-type]


def same(one: Any, two: Any, at: str = "") -> None:
    """Compare nested infos: keys, types, values, NaN equal to itself."""
    if isinstance(one, dict):
        assert set(one) == set(two), at
        for key in one:
            same(one[key], two[key], f"{at}.{key}")
    elif isinstance(one, np.ndarray) and one.dtype == object:
        assert two.dtype == object
        for a, b in zip(one, two, strict=True):
            assert (a is None) == (b is None), at
            assert a is None or np.array_equal(a, b), at
    else:
        assert one.dtype == two.dtype, at
        assert np.array_equal(one, two, equal_nan=one.dtype.kind == "f"), at


def actions(random: np.random.Generator, copies: int = COPIES) -> Any:
    return random.integers(0, SIZES, size=(copies, len(SIZES)))


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=str)
@pytest.mark.parametrize("reward", ["goodput", "attainment", "log_utility", lambda terms: terms["dt_s"]])
def test_it_is_as_many_scalar_environments(mode: AutoresetMode, reward: Any) -> None:
    """Observations, rewards, ends and infos, through two autoresets of every copy."""
    many, single = vector(autoreset_mode=mode, reward=reward), scalars(mode, reward=reward)
    for seed in (None, 5):
        (one, one_info), (two, two_info) = many.reset(seed=seed), single.reset(seed=seed)
        assert np.array_equal(one, two)
        same(one_info, two_info)
    random = np.random.default_rng(0)
    ends = np.zeros(COPIES)
    while ends.min() < 2:
        chosen = actions(random)
        one, two = many.step(chosen), single.step(chosen)
        for a, b in zip(one[:4], two[:4], strict=True):
            assert a.dtype == b.dtype
            assert np.array_equal(a, b)
        same(one[4], two[4])
        over = one[3]
        ends += over
        if mode == AutoresetMode.DISABLED and over.any():
            one, two = (env.reset(options={"reset_mask": over.copy()}) for env in (many, single))
            assert np.array_equal(one[0], two[0])
            same(one[1], two[1])
    single.close()


@pytest.mark.parametrize("control", ["joint", "draft", "batch"])
def test_a_busy_fleet_and_every_half_of_the_controller(control: Any) -> None:
    many = vector(*CROWD, control=control, autoreset_mode="SameStep")
    single = scalars(AutoresetMode.SAME_STEP, *CROWD, control=control)
    assert np.array_equal(many.reset()[0], single.reset()[0])
    random = np.random.default_rng(3)
    for _ in range(60):
        chosen = actions(random)
        one, two = many.step(chosen), single.step(chosen)
        assert np.array_equal(one[0], two[0])
        assert np.array_equal(one[1], two[1])
    single.close()


@pytest.mark.parametrize("hold_s", [0.03, 0.2])
def test_a_held_action_is_the_same_action_again_and_again(hold_s: float) -> None:
    """Trajectory, reward and time of one long step against many short ones; and the vector holds alike."""
    long = EdgeCloud("quickstart", CROWD, seed=1, episode_s=3.0, hold_s=hold_s)
    short = EdgeCloud("quickstart", CROWD, seed=1, episode_s=3.0)
    many = vector(*CROWD, copies=1, episode_s=3.0, hold_s=hold_s)
    assert np.array_equal(long.reset()[0], many.reset()[0][0])
    short.reset()
    random, over, dispatches, steps = np.random.default_rng(2), False, 0, 0
    while not over:
        action = random.integers(0, SIZES)
        result, row = long.step(action), many.step(action[np.newaxis])
        assert (result[1], result[3]) == (row[1][0], row[3][0])
        assert np.array_equal(result[0], row[0][0])
        elapsed, reward = 0.0, 0.0
        while elapsed < hold_s - 1e-9 and not over:
            _, part, _, over, info = short.step(action)
            elapsed, reward, dispatches = elapsed + info["dt"], reward + part, dispatches + 1
        assert result[4]["dt"] == pytest.approx(elapsed, abs=1e-12)
        assert result[1] == pytest.approx(reward, abs=1e-12)
        assert result[3] == over
        steps += 1
    assert long.simulation is not None
    assert short.simulation is not None
    assert np.array_equal(long.simulation.state.counters, short.simulation.state.counters)
    assert dispatches > 1.2 * steps


def test_worlds_of_unlike_sizes_share_a_vector() -> None:
    """A small world after a large one, and the other way round, in one row."""
    many = vector(autoreset_mode="Disabled")
    many.reset()
    for i, devices in enumerate((30, 2, 75, 1)):
        row = i % COPIES
        mask = np.arange(COPIES) == row
        many.reset(options={"reset_mask": mask, "devices": devices, "world": 9})
        alone = EdgeCloud("quickstart", SMALL, seed=1, episode_s=1.0, environment=row)
        seen = alone.reset(options={"devices": devices, "world": 9})[0]
        assert np.array_equal(many.obs[row], seen)
        for _ in range(5):
            if many.over.any():
                break
            result = many.step(np.tile(wisp_action(), (COPIES, 1)))
            if not alone.over:
                assert np.array_equal(result[0][row], alone.step(wisp_action())[0])
        if many.over.any():
            many.reset(options={"reset_mask": many.over.copy()})


def test_gymnasium_makes_it() -> None:
    made = gymnasium.make_vec("wisp_gym/EdgeCloud-v0", num_envs=2, overrides=SMALL, seed=0, episode_s=1.0)
    assert isinstance(made, EdgeCloudVector)
    assert made.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    observation, _ = made.reset(seed=3)
    assert made.observation_space.contains(observation)
    made.action_space.seed(0)
    for _ in range(20):
        result = made.step(made.action_space.sample())
        assert made.observation_space.contains(result[0])
        assert result[0].dtype == np.float32
    made.close()


def test_what_a_step_returns_is_not_written_again() -> None:
    many = vector()
    first = many.reset()[0]
    kept = first.copy()
    second = many.step(np.tile(wisp_action(), (COPIES, 1)))
    copies = [second[0].copy(), second[1].copy(), second[4]["dt"].copy()]
    many.step(np.tile(action_of(requests=1), (COPIES, 1)))
    assert np.array_equal(first, kept)
    assert np.array_equal(second[0], copies[0])
    assert np.array_equal(second[1], copies[1])
    assert np.array_equal(second[4]["dt"], copies[2])


def test_masks_are_the_scalar_ones() -> None:
    many, single = (
        vector(*CROWD, episode_s=20.0),
        [EdgeCloud("quickstart", CROWD, seed=1, episode_s=20.0, environment=i) for i in range(COPIES)],
    )
    many.reset()
    for env in single:
        env.reset()
    masked = 0
    for _ in range(30):
        masks = many.action_masks()
        assert np.array_equal(masks, np.stack([env.action_masks() for env in single]))
        masked += int((~masks[:, 0]).sum())
        many.step(np.tile(action_of(requests=0), (COPIES, 1)))
        for env in single:
            env.step(action_of(requests=0))
    assert masked > 0


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        3,
        np.zeros((COPIES, 7), np.int64),
        np.zeros((COPIES + 1, 8), np.int64),
        np.full((COPIES, 8), np.nan),
        np.full((COPIES, 8), 0.5),
        np.full((COPIES, 8), -1),
        np.full((COPIES, 8), 9),
        np.ones((COPIES, 8), np.bool_),
        [["a"] * 8] * COPIES,
        [[1, 2], [3]],
    ],
    ids=repr,
)
def test_bad_actions_are_refused_and_nothing_happens(wrong: Any) -> None:
    many = vector()
    many.reset()
    before = [many.simulation(i).now_ns for i in range(COPIES)]
    with pytest.raises(InputError, match=r"^actions.*allowed"):
        many.step(wrong)
    assert before == [many.simulation(i).now_ns for i in range(COPIES)]


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_envs": 0},
        {"num_envs": 2.5},
        {"num_envs": 5000},
        {"autoreset_mode": "sometimes"},
        {"control": "all"},
        {"reward": "profit"},
        {"split": "practice"},
        {"episode_s": math.inf},
        {"render_mode": "rgb_array"},
        {"hold_s": -1.0},
        {"hold_s": math.nan},
        {"hold_s": "long"},
    ],
    ids=repr,
)
def test_bad_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"allowed|known"):
        EdgeCloudVector(**({"num_envs": 2} | arguments))


def test_bad_resets_are_refused() -> None:
    many = vector()
    with pytest.raises(gymnasium.error.ResetNeeded):
        many.step(np.tile(wisp_action(), (COPIES, 1)))
    with pytest.raises(gymnasium.error.ResetNeeded, match="first"):
        many.reset(options={"reset_mask": np.array([True, False, False])})
    for options in (
        {"reset_mask": [True] * COPIES},
        {"reset_mask": np.ones(COPIES + 1, np.bool_)},
        {"reset_mask": np.zeros(COPIES, np.bool_)},
        {"device": 3},
    ):
        with pytest.raises(InputError, match=r"allowed|known"):
            many.reset(options=options)
    for seed in ([1], "one", 1.5):
        with pytest.raises(InputError, match=r"^seed"):
            many.reset(seed=seed)  # type: ignore[arg-type]


def test_a_copy_that_is_over_must_be_reset_where_nothing_else_does() -> None:
    many = vector(autoreset_mode="Disabled", episode_s=0.5)
    many.reset()
    over = np.zeros(COPIES, np.bool_)
    while not over.any():
        over = many.step(np.tile(wisp_action(), (COPIES, 1)))[3]
    with pytest.raises(gymnasium.error.ResetNeeded, match="over"):
        many.step(np.tile(wisp_action(), (COPIES, 1)))


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
@pytest.mark.parametrize("steps", [0, 1, 25, 60])
def test_a_restored_vector_goes_on_as_if_nothing_had_happened(mode: str, steps: int) -> None:
    one, random = vector(*CROWD, autoreset_mode=mode), np.random.default_rng(7)
    one.reset()
    for _ in range(steps):
        one.step(actions(random))
    kept = {name: array.copy() for name, array in capture(one).items()}
    assert all(array.dtype != object and array.dtype.names is None for array in kept.values())
    two = vector(*CROWD, autoreset_mode=mode)
    restore(two, kept)
    same(capture(two), kept)
    for _ in range(40):
        chosen = actions(random)
        a, b = one.step(chosen), two.step(chosen)
        assert all(np.array_equal(x, y) for x, y in zip(a[:4], b[:4], strict=True))
        same(a[4], b[4])


def test_kept_state_of_another_vector_is_refused() -> None:
    one = vector()
    one.reset()
    with pytest.raises(InputError, match="kept environments"):
        restore(vector(copies=2), capture(one))
