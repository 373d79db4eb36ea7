"""clone(): the copy's future is the original's, and neither touches the other; what-if at one decision."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from edge import CROWD, SMALL, action_of, make, simulation_of
from gymnasium.vector import AutoresetMode

from wisp_gym.envs import EdgeCloud, EdgeCloudVector
from wisp_gym.envs.action import SIZES

SECOND = 10**9


class Latest:
    """A reward that remembers: on-time tokens of this step and half of what it said before."""

    def __init__(self) -> None:
        self.before = 0.0

    def __call__(self, terms: Mapping[str, float]) -> float:
        self.before = terms["on_time_tokens"] + 0.5 * self.before
        return self.before


def stroll(env: EdgeCloud, seed: int, steps: int) -> list[Any]:
    """Return all that random actions give, through the ends of episodes."""
    random, told = np.random.default_rng(seed), []
    for _ in range(steps):
        if env.over:
            told.append(env.reset())
        told += [env.step(random.integers(0, SIZES)), env.action_masks() if not env.over else None]
    return told


def assert_same(one: Any, two: Any) -> None:
    """Compare what environments return, NaN equal to itself."""
    assert type(one) is type(two)
    if isinstance(one, dict):
        assert list(one) == list(two)
        for key in one:
            assert_same(one[key], two[key])
    elif isinstance(one, list | tuple) or (isinstance(one, np.ndarray) and one.dtype == object):
        assert len(one) == len(two)
        for a, b in zip(one, two, strict=True):
            assert_same(a, b)
    elif one is not None:
        np.testing.assert_array_equal(one, two)


@pytest.mark.usefixtures("logged")
@pytest.mark.parametrize(
    "arguments",
    [
        {"seed": None},
        {"reward": Latest(), "control": "draft", "overrides": CROWD},
        {"hold_s": 0.3, "reward": "log_utility", "overrides": CROWD},
        {"render_mode": "rgb_array"},
    ],
    ids=["draws its own seed", "reward with a memory", "holding", "rendering"],
)
def test_the_futures_are_equal_and_apart(arguments: dict[str, Any]) -> None:
    """Through the end of the episode into two more; one clone runs ahead, alone, before the others."""
    overrides = arguments.get("overrides", SMALL)
    env = make(*overrides, episode_s=1.5, **{k: v for k, v in arguments.items() if k != "overrides"})
    env.reset()
    steps = 12 if "hold_s" in arguments else 150
    stroll(env, 1, steps // 5)
    twin, ahead = env.clone(), env.clone()
    assert simulation_of(twin).world is simulation_of(env).world
    far = stroll(ahead, 2, steps)
    assert_same(far, stroll(twin, 2, steps))
    stroll(ahead, 3, 5)
    assert_same(far, stroll(env, 2, steps))
    assert sum(isinstance(told, tuple) and len(told) == 2 for told in far) >= 2  # resets
    np.testing.assert_array_equal(simulation_of(env).events, simulation_of(twin).events)
    assert len(simulation_of(env).events) > 0
    if env.render_mode:
        np.testing.assert_array_equal(env.render(), twin.render())  # type: ignore[arg-type]
    assert (env.action_space.sample() == twin.action_space.sample()).all()


def test_every_array_that_is_written_is_its_own() -> None:
    """Fill all of a clone's arrays with rubbish: the original does not notice."""
    env = make(*CROWD)
    env.reset()
    stroll(env, 1, 30)
    spoilt, control = env.clone(), env.clone()
    state = simulation_of(spoilt).state
    shared = ("estimator", "scores", "off_scores")
    written = [array for name, array in state._asdict().items() if name not in shared]
    assert spoilt.begun is not None
    observer, bank = spoilt.begun.observer, spoilt._bank
    written += [observer.memory, observer.recent, observer.last, bank.rows, bank.before]
    for array in written:
        array.view(np.uint8)[...] = 0xA5
    assert_same(stroll(env, 2, 60), stroll(control, 2, 60))


def test_a_clone_before_the_first_reset_and_after_the_end() -> None:
    env = make(seed=None, episode_s=0.3)
    twin = env.clone()
    assert_same(env.reset(), twin.reset())
    while not env.over:
        env.step(action_of())
    late = env.clone()
    with pytest.raises(gymnasium.error.ResetNeeded):
        late.step(action_of())
    assert_same(env.reset(), late.reset())


def test_deepcopy_copies_wrappers_with_their_clocks() -> None:
    inner = gymnasium.make("wisp_gym/EdgeCloud-v0", overrides=SMALL, seed=3, max_episode_steps=9)
    env = gymnasium.wrappers.RecordEpisodeStatistics(inner)
    env.reset()
    env.step(action_of())
    twin = copy.deepcopy(env)
    assert twin.unwrapped is not env.unwrapped
    ends = []
    for one in (env, twin):
        for step in range(8):
            *_, truncated, info = one.step(action_of())
            assert truncated == (step == 7)
        ends.append({key: info["episode"][key] for key in ("r", "l")})
    assert_same(ends[0], ends[1])


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP], ids=str)
def test_a_vector_clones_too(mode: AutoresetMode) -> None:
    def walk(envs: EdgeCloudVector) -> list[Any]:
        random = np.random.default_rng(5)
        return [envs.step(random.integers(0, SIZES, size=(3, len(SIZES)))) for _ in range(90)]

    envs = EdgeCloudVector(3, "quickstart", SMALL, seed=4, episode_s=1.0, autoreset_mode=mode)
    envs.reset()
    walk(envs)
    twin, ahead = envs.clone(), envs.clone()
    first = walk(ahead)
    assert_same(first, walk(envs))
    assert_same(first, walk(twin))
    assert any(told[3].any() for told in first)


# --- what if


def branch(env: EdgeCloud, action: Any, seconds: float) -> tuple[float, EdgeCloud]:
    """Return the on-time tokens of a branch that acts so now and as WISP afterwards, and the branch."""
    twin = env.clone()
    on_time, passed = 0.0, 0.0
    while passed < seconds:
        *_, truncated, info = twin.step(action)
        assert not truncated
        on_time, passed = on_time + info["terms"]["on_time_tokens"], passed + info["dt"]
        action = action_of()
    return on_time, twin


@pytest.mark.usefixtures("logged")
def test_what_if_at_one_decision() -> None:
    env = make(*CROWD, episode_s=20.0)
    env.reset()
    for _ in range(40):
        env.step(action_of())
    past = simulation_of(env).events.copy()
    now_ns = simulation_of(env).now_ns
    served, twin = branch(env, action_of(), 5.0)
    again, same = branch(env, action_of(), 5.0)
    waited, other = branch(env, action_of(requests=0), 5.0)
    assert again - served == 0.0
    logs = [simulation_of(one).events for one in (twin, same, other)]
    np.testing.assert_array_equal(logs[0], logs[1])
    for log in logs:  # one past, the original's, which has not moved
        np.testing.assert_array_equal(log[: len(past)], past)
        assert (log[len(past) :, 0] >= now_ns).all()
    np.testing.assert_array_equal(simulation_of(env).events, past)
    worlds = {id(simulation_of(one).world) for one in (env, twin, same, other)}
    assert len(worlds) == 1
    length = min(len(logs[0]), len(logs[2]))
    first = int(np.flatnonzero((logs[0][:length] != logs[2][:length]).any(axis=1))[0])
    assert first == len(past)  # the very decision: a pass there, a wait here
    assert served != waited


def test_the_documented_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[1] / "docs" / "environment.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page.split("## Copies")[1], re.DOTALL)
    exec(compile(code, "docs/environment.md", "exec"), {})
    told = [float(word) for word in capsys.readouterr().out.split()]
    assert told[0] == 0.0
    assert told[1] != 0.0
