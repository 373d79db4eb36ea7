"""Exact, independent copies of an episode in progress.

What a world holds is never written after the draw, and neither are stop scores, so copies share them.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from wisp_gym.envs.episode import Begun
from wisp_gym.envs.observation import Observer
from wisp_gym.envs.rows import single
from wisp_gym.pipeline.simulation import Simulation
from wisp_gym.pipeline.state import State

if TYPE_CHECKING:
    from wisp_gym.envs.edge_cloud import EdgeCloud

_SHARED = ("estimator", "scores", "off_scores", "law")
"""Arrays of a state that are never written."""


def clone_simulation(simulation: Simulation) -> Simulation:
    """Return a copy of a simulation whose controller keeps nothing between decisions."""
    twin = copy.copy(simulation)
    state = simulation.state
    own = [name for name in State._fields if name not in _SHARED]
    twin.state = state._replace(**{name: getattr(state, name).copy() for name in own})
    # What a window began with is replaced by the next one, never written.
    twin.snapshot = None if simulation.snapshot is None else dict(simulation.snapshot)
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
    twin = copy.copy(environment)
    for name in ("_np_random", "action_space", "observation_space", "own_reward"):
        setattr(twin, name, copy.deepcopy(getattr(environment, name)))
    for name in ("_settings", "_obs", "_terms", "_out"):
        setattr(twin, name, getattr(environment, name).copy())
    if environment.begun is not None:
        twin.begun = clone_begun(environment.begun)
        bank = environment._bank
        twin._bank = single(twin.begun)._replace(rows=bank.rows.copy(), before=bank.before.copy())
    return twin
