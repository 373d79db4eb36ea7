"""Fixtures of the tests of the core: each world is drawn, and each policy run in it, once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from core import EASY, LED, LITTLE, POLICIES, TIGHT, draw, run

import evaluate
from wisp_gym.envs import episode
from wisp_gym.pipeline import Simulation
from wisp_gym.world import World

SETTINGS = {"easy": EASY, "tight": TIGHT, "led": LED}


@pytest.fixture(scope="session")
def worlds() -> dict[str, World]:
    """A light load, one with queues, chunks and evictions, and one whose sessions wait for their readers."""
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


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a comparison in `ran`, its event logs in `logs`, and in `plain` the same without logs."""
    folder = tmp_path_factory.mktemp("evaluated")
    words = ["--policy", "wisp", "centralized", *LITTLE]
    assert evaluate.main([*words, "--out", f"{folder}/ran", "--log-out", f"{folder}/logs"]) == 0
    assert evaluate.main([*words, "--out", f"{folder}/plain"]) == 0
    return folder


def _logging(*arguments: Any, **named: Any) -> Simulation:
    """Make a simulation that writes its log, whatever was asked."""
    return Simulation(*arguments, **(named | {"log": True}))


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment's simulations write their log."""
    monkeypatch.setattr(episode, "Simulation", _logging)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Where torch is in use, keep it to one thread: the thread count changes what is learned."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
