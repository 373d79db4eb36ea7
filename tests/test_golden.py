"""What shipped scenarios do, to the event: a change of behaviour shows, and is made openly.

`python tests/test_golden.py` writes golden.json anew; the change log then says what changed and why.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from baselines import resolve
from wisp_gym import scenario
from wisp_gym.pipeline import Simulation
from wisp_gym.world import draw_world, world_seed

GOLDEN = Path(__file__).with_name("golden.json")
SCENARIOS = {"quickstart": ["horizon_s=90"], "paper-qwen3-32b-a100": ["horizon_s=150"]}
POLICIES = ("wisp", "sled", "centralized", "random")


def log_hash(name: str, policy: str) -> str:
    """Return the hash of a policy's event log in test world 0 of a shipped scenario."""
    world = draw_world(scenario.load(name, SCENARIOS[name]), world_seed("test", 0))
    simulation = Simulation(world, resolve(policy), log=True).run()
    return hashlib.sha256(simulation.events.tobytes()).hexdigest()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", SCENARIOS)
def test_the_event_log_is_what_it_was(name: str, policy: str) -> None:
    known = json.loads(GOLDEN.read_text())
    assert log_hash(name, policy) == known[f"{name}/{policy}"]


if __name__ == "__main__":
    hashes = {f"{name}/{policy}": log_hash(name, policy) for name in SCENARIOS for policy in POLICIES}
    GOLDEN.write_text(json.dumps(hashes, indent=1) + "\n")
