"""Random cases, a world and a policy each: from hypothesis (`cases()`) or from a number (`draw_case(i)`).

Both read one description (tests/scenario_strategies.py, tests/policy_strategies.py). Cases are small, valid
by construction, and loaded enough that queues, chunks, evictions, flow control and time-outs come in a good
share of them: `python benchmarks/invariants.py` counts them. Numbers lie on no grid, but in a sixth of the
cases every duration is a multiple of one step, so that things of unlike kinds happen at one instant; some run
for longer than 30 s on a server so slow that sessions stall.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from chooser import Draw, seeded
from hypothesis import settings
from hypothesis import strategies as st
from policy_strategies import draw_policy
from remade import AS_DRAWN, Remade
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
    :param remade: what is changed in the world drawn
    """

    overrides: tuple[str, ...]
    seed: int
    controller: Policy
    policy_seed: int = 0
    trace: TraceRows | None = None
    remade: Remade = AS_DRAWN

    def __repr__(self) -> str:
        return _made(self)

    def scenario(self, *more: str) -> Scenario:
        """Return the scenario, loaded.

        :param more: further overrides
        """
        given = () if self.trace is None else (f"workload.trace={self.trace.path()}",)
        return scenario.load("quickstart", (*self.overrides, *given, *more))

    def world(
        self, devices: int | None = None, horizon_s: float | None = None, whole: bool | None = True
    ) -> World:
        """Draw the world, or a smaller one with which it begins.

        :param whole: with its token streams, or without (`draw_world`)
        """
        drawn = draw_world(self.scenario(), self.seed, devices, horizon_s, whole=whole)
        return self.remade.world(drawn)

    def policy(self) -> Policy:
        """Return the policy."""
        return self.controller


def draw_remade(draw: Draw) -> Remade:
    """Return what is changed in a world: mostly nothing."""
    remade = AS_DRAWN
    if draw.chance(18):
        remade = Remade(step_ms=draw.size(4, 1000), link_steps=draw.integer(0, 2))
    if draw.chance(25):
        remade = dataclasses.replace(remade, slow=draw.spread(2, 1000))
    return remade


def make_case(draw: Draw) -> Case:
    """Return a case; what its world is is independent of what its policy is, but for what is changed in
    the world."""
    remade = draw_remade(draw)
    overrides, trace = draw_scenario(draw, remade)
    seed = draw.integer(0, 2**32 - 1)
    return Case(overrides, seed, draw_policy(draw, remade), draw.integer(0, 3), trace, remade)


def draw_case(index: int) -> Case:
    """Return the case of this number, the same everywhere."""
    return make_case(seeded(2026, index))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw cases with hypothesis."""
    return make_case(Draw(lambda low, high: draw(st.integers(low, high))))
