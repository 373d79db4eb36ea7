"""Every component of EdgeCloud-v0's action changes what happens: held, and at a single decision.

A public simulator of this kind had a queue that ignored the actions, so every agent looked alike. Here each
value of each component is shown to have a trajectory of its own in a world where it can, the past untouched.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from core import log_hash, rows
from edge import Action, action_of, make, simulation_of

from wisp_gym.envs import EdgeCloud
from wisp_gym.envs.action import NAMES, REQUESTS, SIZES
from wisp_gym.pipeline import Simulation

BUSY = (  # more requests wait than any action names, and passes are small enough for every budget to bind
    "fleet.allow_infeasible=true",
    "fleet.devices=300",
    "server.max_batch=64",
    "server.block=16",
)


def busy(episode_s: float = 2.0) -> EdgeCloud:
    return make(*BUSY, episode_s=episode_s)


def base(component: str) -> Action:
    """The action whose other components leave this one room: no stop rule where caps are to bind."""
    return action_of(stop=0) if component.startswith("cap") else action_of()


def with_value(component: str, value: int) -> Action:
    action = base(component)
    action[NAMES.index(component)] = value
    return action


def episode(env: EdgeCloud, usual: Action, at: int = -1, once: Action | None = None) -> Simulation:
    """Act one way all the time, or another way at one decision."""
    env.reset(seed=3)
    over, step = False, 0
    while not over:
        over = env.step(once if step == at else usual)[3]
        step += 1
    assert step > at
    return simulation_of(env)


@pytest.mark.parametrize("component", NAMES)
@pytest.mark.usefixtures("logged")
def test_every_value_held_has_a_trajectory_of_its_own(component: str) -> None:
    env = busy(4.0)
    values = range(SIZES[NAMES.index(component)])
    hashes = [log_hash(episode(env, with_value(component, value))) for value in values]
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize("component", NAMES)
@pytest.mark.usefixtures("logged")
def test_one_decision_is_enough(component: str) -> None:
    """Up to a decision the same, there another value, then the same again: the past is the same and what
    follows is not."""
    env = busy()
    usual = base(component)
    plain = episode(env, usual).events.copy()
    begun = episode_times(env, usual)
    size = SIZES[NAMES.index(component)]
    others = {0, size // 2, size - 1} - {int(usual[NAMES.index(component)])}
    changed = 0
    for at, value in itertools.product((3, 12), others):
        events = episode(env, usual, at, with_value(component, value)).events
        shorter = min(len(plain), len(events))
        unlike = np.flatnonzero((plain[:shorter] != events[:shorter]).any(axis=1))
        assert not len(unlike) or plain[unlike[0], 0] >= begun[at]
        changed += len(unlike) > 0
    assert changed >= len(others)


def episode_times(env: EdgeCloud, usual: Action) -> list[int]:
    """When each decision of an episode is taken, ns."""
    env.reset(seed=3)
    times, over = [], False
    while not over:
        times.append(simulation_of(env).now_ns)
        over = env.step(usual)[3]
    return times


@pytest.mark.usefixtures("logged")
def test_the_order_of_the_queue_decides_who_is_served() -> None:
    """Under one limit on requests, first come and earliest deadline take other members from one queue."""
    env = busy()
    small = REQUESTS.index(4)
    first = {}
    for rule in (0, 1):
        env.reset(seed=3)
        number = int(simulation_of(env).state.clock[0]["batch_no"])
        env.step(action_of(rule=rule, requests=small))
        first[rule] = {row.device for row in rows(simulation_of(env), "member") if row.a == number}
        assert len(first[rule]) == 4
    assert first[0] != first[1]


@pytest.mark.usefixtures("logged")
def test_opposite_controllers_end_apart() -> None:
    """One request a pass without drafts, against full passes with long drafts: far fewer tokens."""
    env = busy()
    idle = action_of(requests=REQUESTS.index(1), cap_1=0, cap_2=0, cap_3=0, cap_4=0)
    tokens = []
    for action in (idle, action_of()):
        env.reset(seed=3)
        before = int(simulation_of(env).state.counters["committed"].sum())
        tokens.append(int(episode(env, action).state.counters["committed"].sum()) - before)
    assert tokens[1] > 5 * tokens[0] > 0
