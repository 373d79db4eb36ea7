"""A constant action of EdgeCloud-v0 as a compiled policy: the same events as an agent that repeats it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core import BASE, TIGHT, draw, log_hash, run, wisp

from baselines import resolve
from wisp_gym.envs import AgentScheduler, wisp_action
from wisp_gym.envs.action import SIZES
from wisp_gym.envs.constant import action_name, constant_policy, describe, parse_action
from wisp_gym.errors import InputError
from wisp_gym.metrics import measure
from wisp_gym.pipeline import Simulation

BUSY = (*BASE, "fleet.devices=50")


def random_actions(count: int, seed: int) -> list[tuple[int, ...]]:
    """Return actions that serve, every rule and stop level among them."""
    generator = np.random.default_rng(seed)
    drawn = [[int(generator.integers(size)) for size in SIZES] for _ in range(count)]
    return [(max(1, a[0]), a[1], i % SIZES[2], i % SIZES[3], *a[4:]) for i, a in enumerate(drawn)]


@pytest.mark.parametrize("setting", [BUSY, TIGHT, (*BUSY, "classes.deadline=timeline")])
def test_it_writes_the_log_of_an_agent_that_repeats_the_action(setting: tuple[str, ...]) -> None:
    """Random actions, caps unlike WISP's among them, in worlds with prompts in chunks and evictions."""
    world = draw(setting, seed=12)
    logs = set()
    for action in [*random_actions(12, seed=3), (8, 0, 0, 3, 8, 8, 8, 8), (8, 0, 1, 0, 1, 0, 7, 3)]:
        agent = run(world, AgentScheduler(lambda observation, action=action: action, "agent").policy())
        compiled = run(world, constant_policy(action))
        assert np.array_equal(agent.events, compiled.events), describe(action)
        assert repr(measure(agent)) == repr(measure(compiled))
        logs.add(log_hash(compiled))
    assert len(logs) > 10  # the actions differ in what they do


@pytest.mark.parametrize("late", ["urgent", "last"])
def test_wisps_action_is_wisp(late: Any) -> None:
    world = draw(BUSY, seed=12)
    assert log_hash(run(world, constant_policy(wisp_action(late)))) == log_hash(run(world, wisp(late)))


def test_it_needs_no_python_at_a_dispatch() -> None:
    simulation = Simulation(draw(seed=1), constant_policy(wisp_action()))
    assert (simulation.asked_drafter, simulation.asked_scheduler) == (None, None)


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ((0, 0, 4, 3, 8, 8, 8, 8), "0 waits for ever; allowed: 1 to 8"),
        ((9, 0, 4, 3, 8, 8, 8, 8), "requests: 9; allowed: 0 to 8"),
        ((8, 0, 4, 3, 8, 8, 8), "allowed: 8 integers"),
        ((8, 0, 4, 3.5, 8, 8, 8, 8), "whole numbers"),
    ],
)
def test_what_is_no_constant_action(action: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        constant_policy(action)


def test_names_and_words() -> None:
    action = (4, 0, 4, 3, 5, 5, 6, 8)
    assert action_name(action) == "action:4,0,4,3,5,5,6,8"
    assert tuple(parse_action("4,0,4,3,5,5,6,8")) == action
    assert describe(action) == "requests 16, budget none, rule last, stop 0.8, caps 5/5/6/8"
    assert describe((8, 2, 0, 0, 0, 0, 0, 0)) == (
        "requests engine limit, budget 128, rule fcfs, stop off, caps 0/0/0/0"
    )


def test_the_command_line_knows_it() -> None:
    policy = resolve("action:4,1,1,0,5,5,6,8")
    assert policy == constant_policy((4, 1, 1, 0, 5, 5, 6, 8))
    assert policy.name == "action:4,1,1,0,5,5,6,8"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("action:", "nothing follows the colon"),
        ("action:1,2,3", "8 whole numbers with commas"),
        ("action:8,0,4,3,8,8,8,-1", "8 whole numbers with commas"),
        ("action:8,0,4,3,8,8,8,9", "action cap_4: 9; allowed: 0 to 8"),
        ("action:8,0,4,3,8,8,8,99999999999999999999", "action cap_4"),
        ("action:0,0,4,3,8,8,8,8", "waits for ever"),
        ("tuned", "searched for in a scenario's worlds"),
        ("hindsight:1", "unknown policy"),
    ],
)
def test_wrong_names_are_one_line(name: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as error:
        resolve(name)
    assert "\n" not in str(error.value)
