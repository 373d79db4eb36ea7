"""EdgeCloud-v0: the interface and its documentation, bad input, worlds and seeds, what is observed."""

from __future__ import annotations

import functools
import math
import re
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from core import SECOND
from edge import CROWD, SMALL, action_of, make, named, play, simulation_of

import wisp_gym
from wisp_gym.envs import EdgeCloud, wisp_action
from wisp_gym.envs.action import SIZES
from wisp_gym.envs.features import (
    ACTION_AT,
    GROUP_ENTRIES,
    GROUP_SIZE,
    SERVER_AT,
    SERVER_ENTRIES,
    SIZE,
    entries,
)
from wisp_gym.errors import InputError

# --- the interface


def test_it_is_registered_and_both_checkers_pass() -> None:
    """Warnings are errors in this test suite."""
    from gymnasium.utils.env_checker import check_env as check_gymnasium
    from stable_baselines3.common.env_checker import check_env as check_stable_baselines

    assert "wisp_gym/EdgeCloud-v0" in wisp_gym.ENVIRONMENTS
    arguments: dict[str, Any] = {"overrides": SMALL, "episode_s": 2.0}
    check_gymnasium(gymnasium.make("wisp_gym/EdgeCloud-v0", **arguments).unwrapped)
    check_stable_baselines(gymnasium.make("wisp_gym/EdgeCloud-v0", **arguments).unwrapped)
    arguments = {
        "overrides": (*CROWD, "classes.shares=[0, 0.5, 0, 0.5]"),
        "control": "draft",
        "episode_s": 2.0,
    }
    check_gymnasium(gymnasium.make("wisp_gym/EdgeCloud-v0", **arguments).unwrapped)


def test_importing_the_library_brings_neither_torch_nor_pandas() -> None:
    code = (
        "import sys, gymnasium, wisp_gym\n"
        "assert not {'torch', 'pandas', 'numba'} & set(sys.modules)\n"
        "env = gymnasium.make('wisp_gym/EdgeCloud-v0')\n"
        "assert not {'torch', 'pandas'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def tables(heading: str) -> list[list[str]]:
    """Return the rows of the table under a heading of the class's documentation."""
    text = (EdgeCloud.__doc__ or "").split(f"## {heading}")[1].split("## ")[0]
    listed = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in text.splitlines()
        if "|" in line
    ]
    return listed[2:]


def test_the_documented_actions_are_the_space() -> None:
    space = make().action_space
    assert isinstance(space, gymnasium.spaces.MultiDiscrete)
    assert space.nvec.tolist() == [9, 6, 5, 6, 9, 9, 9, 9] == list(SIZES)
    assert f"MultiDiscrete({space.nvec.tolist()})" in (EdgeCloud.__doc__ or "")
    named = {name: values for _, name, values in tables("Action Space")}
    assert list(named) == ["requests", "budget", "rule", "stop", "cap_1 to cap_4"]
    for name, size in zip(list(named)[:4], SIZES, strict=False):
        text = named[name].split(":")[-1] if ":" in named[name] else named[name]
        text = re.sub(r"\([^)]*\)", "", text)
        assert len(text.split(",")) == size, name


def test_the_documented_entries_are_the_space() -> None:
    space = make().observation_space
    assert isinstance(space, gymnasium.spaces.Box)
    assert space.shape == (SIZE,) == (len(entries()),)
    assert f"({SIZE},)" in (EdgeCloud.__doc__ or "")
    listed = tables("Observation Space")
    for i, entry in enumerate(GROUP_ENTRIES):
        number, text, unit, low, high = listed[i]
        assert number == f"{GROUP_SIZE}c + {i}"
        assert (text, unit) == (f"class.{entry[0]}: {entry[1]}", entry[2])
        for c in range(4):
            at = GROUP_SIZE * c + i
            assert (space.low[at], space.high[at]) == (float(low), float(high)) == entry[3:]
    for i, entry in enumerate(SERVER_ENTRIES):
        number, text, unit, low, high = listed[GROUP_SIZE + i]
        assert int(number) == SERVER_AT + i
        assert (text, unit) == (f"server.{entry[0]}: {entry[1]}", entry[2])
        assert (space.low[int(number)], space.high[int(number)]) == (float(low), float(high)) == entry[3:]
    (last,) = listed[GROUP_SIZE + len(SERVER_ENTRIES) :]
    assert last[0] == f"{ACTION_AT}-{SIZE - 1}"
    assert (space.low[ACTION_AT:] == 0).all()
    assert (space.high[ACTION_AT:] == 1).all()
    assert len({entry.name for entry in entries()}) == SIZE


# --- what is observed


def test_the_queue_is_observed_as_it_is() -> None:
    env = make(*CROWD)
    for observation, _, info in play(env, functools.partial(action_of, requests=2)):
        if "episode_metrics" in info:
            break
        simulation, seen = simulation_of(env), named(observation)
        view, arrays = simulation.dispatch_view(), simulation.world.arrays
        waiting = view.requests
        counts = np.bincount(arrays.devices["group"], minlength=4)
        assert seen["server.waiting"] == pytest.approx(len(waiting) / (len(waiting) + 8))
        new = float(waiting["take"].sum())
        assert seen["server.new_tokens"] == pytest.approx(new / (new + 256))
        assert seen["server.kv_used"] == pytest.approx(view.kv_used / view.kv_tokens)
        assert seen["server.fleet"] == pytest.approx(60 / 124)
        assert seen["server.load"] == pytest.approx(float(counts @ [2, 4, 6, 8]) / 1000)
        slack = (waiting["deadline_ns"] - waiting["alone_ns"] - view.now_ns) / SECOND
        for g in range(4):
            mine = waiting["group"] == g
            name = f"class_{g + 1}."
            assert seen[name + "devices"] == pytest.approx(counts[g] / 60)
            assert seen[name + "queued"] == pytest.approx(mine.sum() / counts[g])
            if mine.any():
                assert seen[name + "slack_least"] == pytest.approx(math.tanh(slack[mine].min()), abs=1e-5)
                assert seen[name + "slack_mean"] == pytest.approx(math.tanh(slack[mine].mean()), abs=1e-5)
                assert seen[name + "late"] == pytest.approx((slack[mine] < 0).mean())
                assert seen[name + "cold"] == pytest.approx((waiting["cached"][mine] == 0).mean())
                assert seen[name + "drafted"] == pytest.approx(waiting["k"][mine].mean() / 8)


def test_recent_averages_do_not_remember_the_whole_warm_up() -> None:
    """At the hand-over the fleet is in balance: what it gets is near what it asks for."""
    for world in range(4):
        observation, _ = make(*SMALL).reset(options={"world": world})
        seen = named(observation)
        assert all(seen[f"class_{g}.throughput"] < 1.5 for g in range(1, 5))
        assert any(seen[f"class_{g}.report_age"] < 0.9 for g in range(1, 5))
        assert 0 < seen["server.busy"] <= 1


def test_observations_are_fresh_arrays() -> None:
    env = make()
    first, _ = env.reset()
    copy = first.copy()
    second = env.step(wisp_action())[0]
    assert np.array_equal(first, copy)
    assert not np.shares_memory(first, second)


# --- bad input


@pytest.mark.parametrize(
    "action",
    [
        None,
        3,
        [1, 0, 0],
        np.zeros(9, np.int64),
        np.zeros((1, 8), np.int64),
        np.full(8, np.nan),
        np.full(8, np.inf),
        np.array([1.5, 0, 0, 0, 0, 0, 0, 0]),
        np.array([-1, 0, 0, 0, 0, 0, 0, 0]),
        np.array([9, 0, 0, 0, 0, 0, 0, 0]),
        np.array([1, 0, 0, 0, 0, 0, 0, 9]),
        np.ones(8, np.bool_),
        np.ones(8) * 1j,
        ["1"] * 8,
        [[1], [2, 3], 0, 0, 0, 0, 0, 0],
        {"requests": 1},
    ],
    ids=repr,
)
def test_a_bad_action_is_refused_and_nothing_happens(action: Any) -> None:
    env = make()
    env.reset()
    before = simulation_of(env).now_ns
    with pytest.raises(InputError, match=r"^action.*allowed"):
        env.step(action)
    assert simulation_of(env).now_ns == before
    assert env.step(wisp_action())[4]["dt"] > 0


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint64, np.float32, list])
def test_whole_numbers_of_any_type_are_actions(kind: Any) -> None:
    reference, env = make(), make()
    reference.reset()
    env.reset()
    action = wisp_action("urgent")
    given = action.tolist() if kind is list else action.astype(kind)
    assert np.array_equal(env.step(given)[0], reference.step(action)[0])


@pytest.mark.parametrize(
    "arguments",
    [
        {"control": "both"},
        {"split": "practice"},
        {"reward": "profit"},
        {"episode_s": 0.0},
        {"episode_s": math.nan},
        {"episode_s": -1.0},
        {"render_mode": "human"},
    ],
    ids=repr,
)
def test_bad_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"allowed|known"):
        make(**arguments)
    with pytest.raises(InputError, match="quickstart"):
        EdgeCloud("quickstat")


@pytest.mark.parametrize(
    "options",
    [
        {"device": 3},
        {"devices": 0},
        {"devices": -1},
        {"devices": 2.5},
        {"devices": True},
        {"devices": 65_537},
        {"world": -1},
        {"world": "first"},
    ],
    ids=repr,
)
def test_bad_reset_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"allowed|known"):
        make().reset(options=options)


# --- worlds and seeds


def test_reset_options_choose_fleet_and_world() -> None:
    env = make()
    _, info = env.reset(options={"devices": 3, "world": 7})
    assert simulation_of(env).world.devices == 3
    assert info["episode"] == 7
    _, again = make().reset(options={"world": 7})
    assert again["world_seed"] == info["world_seed"]
    assert env.reset()[1]["episode"] == 8
    assert simulation_of(env).world.devices == 10
    assert env.reset(seed=1)[1]["episode"] == 0


def episode(env: EdgeCloud, steps: int = 40) -> list[Any]:
    env.action_space.seed(11)
    seen: list[Any] = [env.reset(seed=4)[0]]
    for _ in range(steps):
        observation, reward, _, over, info = env.step(env.action_space.sample())
        seen += [observation, reward, info["dt"]]
        if over:
            break
    return seen


def test_the_same_seed_is_the_same_episode() -> None:
    one, two = episode(make()), episode(make())
    assert len(one) > 60
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    env = make()
    episode(env)
    assert all(np.array_equal(a, b) for a, b in zip(one, episode(env), strict=True))


def test_copies_episodes_and_splits_share_no_world() -> None:
    seeds = []
    for split in ("train", "validation", "test"):
        for environment in range(3):
            env = make(split=split, environment=environment, episode_s=0.5)
            seeds += [env.reset()[1]["world_seed"] for _ in range(3)]
    assert len(set(seeds)) == len(seeds) == 27


def test_a_vector_of_copies_is_the_copies() -> None:
    """Gymnasium's own vector, through the ends of episodes."""
    copies = [functools.partial(make, environment=i, episode_s=1.0) for i in range(3)]
    mode = gymnasium.vector.AutoresetMode.SAME_STEP
    vector = gymnasium.vector.SyncVectorEnv(copies, autoreset_mode=mode)  # type: ignore[arg-type]
    single = [copy() for copy in copies]
    observations, _ = vector.reset()
    for i, env in enumerate(single):
        assert np.array_equal(env.reset()[0], observations[i])
    ends = 0
    random = np.random.default_rng(0)
    for _ in range(40):
        actions = random.integers(1, SIZES, size=(3, 8))
        observations, rewards, _, truncated, _ = vector.step(actions)
        for i, env in enumerate(single):
            observation, reward, _, over, _ = env.step(actions[i])
            assert (reward, over) == (rewards[i], truncated[i])
            if over:
                observation, ends = env.reset()[0], ends + 1
            assert np.array_equal(observation, observations[i])
    vector.close()
    assert ends > 1
