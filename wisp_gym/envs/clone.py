"""Exact, independent copies of environments, in the middle of an episode or not.

What a world holds is never written after the draw, and neither are stop scores and what a window began with
(`Simulation.snapshot`, which the next window replaces): copies share them.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeVar

from wisp_gym.envs.bank import Bank
from wisp_gym.envs.episode import Begun
from wisp_gym.envs.observation import Observer
from wisp_gym.envs.rows import OF_SCENARIO, Stack, single
from wisp_gym.pipeline.simulation import Simulation
from wisp_gym.pipeline.state import State

if TYPE_CHECKING:
    from wisp_gym.envs.edge_cloud import EdgeCloud
    from wisp_gym.envs.vector import EdgeCloudVector

Environment = TypeVar("Environment", "EdgeCloud", "EdgeCloudVector")

_SHARED = ("estimator", "scores", "off_scores", "law")
"""Arrays of a state that are never written."""


def clone_simulation(simulation: Simulation) -> Simulation:
    """Return a copy of a simulation whose controller keeps nothing between decisions."""
    twin = copy.copy(simulation)
    state = simulation.state
    own = [name for name in State._fields if name not in _SHARED]
    twin.state = state._replace(**{name: getattr(state, name).copy() for name in own})
    return twin


def clone_begun(begun: Begun) -> Begun:
    """Return a copy of an episode in progress."""
    simulation = clone_simulation(begun.simulation)
    observer = Observer(simulation)
    observer.memory, observer.recent = begun.observer.memory.copy(), begun.observer.recent.copy()
    observer.last = begun.observer.last.copy()
    return Begun(simulation, observer, begun.idle, begun.number)


def clone_environment(environment: EdgeCloud) -> EdgeCloud:
    """Return a copy of an environment; see `EdgeCloud.clone`."""
    twin = _same(environment, ("action_space", "observation_space"), ("_obs", "_terms", "_out"))
    if environment.begun is not None:
        twin.begun = clone_begun(environment.begun)
        bank = environment._bank
        twin._bank = single(twin.begun)._replace(rows=bank.rows.copy(), before=bank.before.copy())
    return twin


def clone_vector(vector: EdgeCloudVector) -> EdgeCloudVector:
    """Return a copy of a vector of environments; see `EdgeCloudVector.clone`."""
    spaces = ("action_space", "observation_space", "single_action_space", "single_observation_space")
    twin = _same(vector, spaces, ("obs", "terms", "out", "over", "begun"))
    twin.seeds, twin.numbers, twin.fleets = list(vector.seeds), list(vector.numbers), list(vector.fleets)
    twin.stack = clone_stack(vector.stack)
    return twin


def _same(environment: Environment, spaces: tuple[str, ...], arrays: tuple[str, ...]) -> Environment:
    """Return a copy of an environment but for its episodes: what draws at random, and what is written."""
    for drawing in (environment, *(getattr(environment, name) for name in spaces)):
        _ = drawing.np_random  # made by its first use: the copy must not make another
    twin = copy.copy(environment)
    for name in ("_np_random", "own_reward", *spaces):
        setattr(twin, name, copy.deepcopy(getattr(environment, name)))
    for name in ("_settings", *arrays):
        setattr(twin, name, getattr(environment, name).copy())
    return twin


def clone_stack(stack: Stack) -> Stack:
    """Return a copy of a bank of rows with the episodes that live in it."""
    twin = Stack(stack.count)
    twin.room = dict(stack.room)
    if stack.bank is None:
        return twin
    own = [name for name in Bank._fields if name not in OF_SCENARIO]
    twin.bank = stack.bank._replace(**{name: getattr(stack.bank, name).copy() for name in own})
    for i, begun in enumerate(stack.begun):
        if begun is not None:
            simulation = copy.copy(begun.simulation)  # its state will be the row's arrays
            twin.begun[i] = Begun(simulation, Observer(simulation), begun.idle, begun.number)
            twin.settle_in(i)
    return twin
