"""What a trial runs in a fork: the scripts' main(), and small programs around what has no command line.

Importing this module imports everything that they need, so that a fork starts at once.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

import agents.predictor.__main__ as predictor
import evaluate
import train
import wisp_gym  # noqa: F401  registers the ids
import wisp_gym.estimation.__main__ as estimation
from agents import checkpoint, comparison, model_file, several, training  # noqa: F401  (imported before the fork)
from benchmarks.fuzz import python_answers
from wisp_gym.envs import EdgeCloud
from wisp_gym.envs.action import SIZES
from wisp_gym.errors import InputError
from wisp_gym.evaluation import plots  # noqa: F401

TINY = ("fleet.devices=3", "horizon_s=30", "warmup_s=5", "episode_s=60")
"""Overrides under which an environment begins in a few milliseconds."""

STEPS = 3


def call(program: str, arguments: list[str]) -> int:
    """Run a program and return its exit code."""
    return PROGRAMS[program](arguments)


def environment(copies: int) -> Any:
    """Return an environment that has begun, or a vector of some copies."""
    options: dict[str, Any] = {"scenario": "quickstart", "overrides": TINY, "seed": 0}
    if copies == 0:
        env = gymnasium.make("wisp_gym/EdgeCloud-v0", **options).unwrapped
    else:
        env = gymnasium.make_vec("wisp_gym/EdgeCloud-v0", num_envs=copies, **options)
    env.reset(seed=3)
    return env


def actions(copies: int, count: int) -> list[Any]:
    """Return valid actions, the same at every call."""
    shape = (copies, len(SIZES)) if copies else (len(SIZES),)
    rng = np.random.default_rng(1)
    return [rng.integers(0, SIZES, size=shape) for _ in range(count)]


def odd_action(arguments: list[str]) -> int:
    """Step an environment with an odd action: it is refused and nothing has changed, or it is taken."""
    copies, rng = int(arguments[0]), random.Random(arguments[1])
    return _undisturbed(copies, lambda env: env.step(python_answers.odd_action(rng, copies)))


def odd_reset(arguments: list[str]) -> int:
    """Reset an environment with an odd seed or odd options; parameters and result as for an action."""
    copies, rng = int(arguments[0]), random.Random(arguments[1])
    return _undisturbed(copies, lambda env: env.reset(**python_answers.odd_reset(rng, copies)))


def odd_environment(arguments: list[str]) -> int:
    """Make an environment with one odd argument."""
    rng = random.Random(arguments[0])
    name, value = python_answers.odd_argument(rng)
    try:
        # Not by gymnasium.make, which adds a warning of its own about render modes.
        env = EdgeCloud(**({"scenario": "quickstart", "overrides": TINY} | {name: value}))
        env.reset(seed=0)
        env.step(actions(0, 1)[0])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("taken")
    return 0


def _undisturbed(copies: int, disturb: Callable[[Any], Any]) -> int:
    """Do something to an environment that is under way; where it is refused, go on as an undisturbed twin."""
    env, twin = environment(copies), environment(copies)
    before, after = actions(copies, STEPS), actions(copies, 2 * STEPS)[STEPS:]
    for action in before:
        env.step(action)
        twin.step(action)
    try:
        disturb(env)
    except InputError as error:
        for action in after:
            if not _same(env.step(action), twin.step(action)):
                print("the refused call changed what came after it", file=sys.stderr)
                return 3
        print(f"error: {error}", file=sys.stderr)
        return 2
    for action in after:
        env.step(action)
    print("taken")
    return 0


def _same(one: Any, other: Any) -> bool:
    """Say whether two results of a step are equal in everything."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(np.array_equal(one, other, equal_nan=not isinstance(one, str)))


PROGRAMS: dict[str, Callable[[list[str]], int]] = {
    "evaluate": evaluate.main,
    "train": train.main,
    "estimation": estimation.main,
    "predictor": predictor.main,
    "action": odd_action,
    "reset": odd_reset,
    "environment": odd_environment,
}
