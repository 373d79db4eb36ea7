"""Random cases, a world and a policy each: from hypothesis (`cases()`) or from a number (`draw_case(i)`).

Both read one description (tests/scenario_strategies.py, tests/policy_strategies.py). Cases are small, valid
by construction, and loaded enough that queues, chunks, evictions, flow control and time-outs come in a good
share of them: `python benchmarks/invariants.py` counts them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from chooser import Draw, seeded
from hypothesis import settings
from hypothesis import strategies as st
from policy_strategies import draw_policy
from scenario_strategies import TraceRows, draw_scenario

from wisp_gym import scenario
from wisp_gym.pipeline import Policy
from wisp_gym.scenario import Scenario
from wisp_gym.world import World, draw_world

settings.register_profile("same-every-time", derandomize=True, deadline=None, database=None)
settings.load_profile("same-every-time")


def _made(thing: Any) -> str:
    """Return the expression that makes a dataclass, fields at their defaults left out."""
    listed = [
        f"{field.name}={_made(value) if dataclasses.is_dataclass(value) else repr(value)}"
        for field in dataclasses.fields(thing)
        if (value := getattr(thing, field.name)) != field.default
    ]
    return f"{type(thing).__name__}({', '.join(listed)})"


@dataclasses.dataclass(frozen=True, repr=False)
class Case:
    """A world and a policy; its text is the expression that makes it again.

    :param overrides: of the scenario `quickstart`; :param seed: the world's
    :param controller: the policy; :param policy_seed: of its own randomness
    :param trace: requests of an open loop, or None
    """

    overrides: tuple[str, ...]
    seed: int
    controller: Policy
    policy_seed: int = 0
    trace: TraceRows | None = None

    def __repr__(self) -> str:
        return _made(self)

    def scenario(self, *more: str) -> Scenario:
        """Return the scenario, loaded.

        :param more: further overrides
        """
        given = () if self.trace is None else (f"workload.trace={self.trace.path()}",)
        return scenario.load("quickstart", (*self.overrides, *given, *more))

    def world(self) -> World:
        """Draw the world."""
        return draw_world(self.scenario(), self.seed)

    def policy(self) -> Policy:
        """Return the policy."""
        return self.controller


def make_case(draw: Draw) -> Case:
    """Return a case; what the worlds of two cases are is independent of what their policies are."""
    overrides, trace = draw_scenario(draw)
    seed = draw.integer(0, 2**32 - 1)
    return Case(overrides, seed, draw_policy(draw), draw.integer(0, 3), trace)


def draw_case(index: int) -> Case:
    """Return the case of this number, the same everywhere."""
    return make_case(seeded(2026, index))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw cases with hypothesis."""
    return make_case(Draw(lambda low, high: draw(st.integers(low, high))))
