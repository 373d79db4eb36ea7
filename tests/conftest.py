"""Fixtures of the tests of the core: each world is drawn, and each policy run in it, once."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

import pytest
from core import EASY, POLICIES, TIGHT, draw, run

from wisp_gym.envs import edge_cloud
from wisp_gym.pipeline import Simulation
from wisp_gym.world import World

SETTINGS = {"easy": EASY, "tight": TIGHT}


@pytest.fixture(scope="session")
def worlds() -> dict[str, World]:
    """A light load, and one with queues, chunks and evictions."""
    return {name: draw(overrides) for name, overrides in SETTINGS.items()}


@pytest.fixture(scope="session")
def simulate(worlds: dict[str, World]) -> Callable[[str, str], Simulation]:
    """Return the finished run of a policy in one of the worlds, its log written."""
    finished: dict[tuple[str, str], Simulation] = {}

    def get(setting: str, policy: str) -> Simulation:
        if (setting, policy) not in finished:
            finished[setting, policy] = run(worlds[setting], POLICIES[policy]())
        return finished[setting, policy]

    return get


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment's simulations write their log."""
    monkeypatch.setattr(edge_cloud, "Simulation", functools.partial(Simulation, log=True))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Where torch is in use, keep it to one thread: the thread count changes what is learned."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
