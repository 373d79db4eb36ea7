"""Constant actions tried in worlds: the unit of the searches behind `tuned` and `hindsight`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from wisp_gym.envs.constant import action_name, constant_policy, parse_action
from wisp_gym.evaluation.search import Action, Worth
from wisp_gym.evaluation.spec import Split
from wisp_gym.metrics import measure
from wisp_gym.pipeline import Simulation
from wisp_gym.world import draw_world, world_seed

if TYPE_CHECKING:
    from wisp_gym.scenario import Scenario
    from wisp_gym.world import World

CLASSES = 4
DIGITS = 9
"""Decimals that count in a comparison: goodputs within 1e-9 are equal."""

WORLDS_KEPT = 8


@dataclass(frozen=True)
class Outcome:
    """What an action did in one world.

    :param goodput_tps: tokens per second
    :param attainment: by SLO class, None where the class has no device  # (4,)
    :param simulated_s: simulated seconds that counted, the warm-up left out
    """

    goodput_tps: float
    attainment: tuple[float | None, ...]
    simulated_s: float


@dataclass(frozen=True)
class Trial:
    """What an action did in several worlds, in their order.

    :param action: its name, as in "action:8,0,4,3,8,8,8,8"
    :param goodput_tps: by world
    :param attainment: by world and SLO class
    :param simulated_s: in all worlds together, warm-ups left out
    """

    action: str
    goodput_tps: tuple[float, ...]
    attainment: tuple[tuple[float | None, ...], ...]
    simulated_s: float

    @property
    def values(self) -> Action:
        """The action's eight integers."""
        return tuple(map(int, parse_action(self.action.partition(":")[2])))

    def mean_goodput_tps(self) -> float:
        """Return the mean over worlds, tokens/s."""
        return math.fsum(self.goodput_tps) / len(self.goodput_tps)

    def class_attainment(self) -> tuple[float | None, ...]:
        """Return the mean over worlds by SLO class; None where no world has devices of it.  # (4,)"""
        by_class = ([a for a in column if a is not None] for column in zip(*self.attainment, strict=True))
        return tuple(math.fsum(column) / len(column) if column else None for column in by_class)

    def worst_attainment(self) -> float:
        """Return the attainment of the class where it is lowest; 0 without any device."""
        return min((a for a in self.class_attainment() if a is not None), default=0.0)

    def worth(self) -> Worth:
        """Return what the action is compared by: mean goodput, then the worst class's attainment."""
        return round(self.mean_goodput_tps(), DIGITS), round(self.worst_attainment(), DIGITS)


def trial(action: Action, outcomes: Sequence[Outcome]) -> Trial:
    """Return what an action did in several worlds."""
    return Trial(
        action_name(action),
        tuple(outcome.goodput_tps for outcome in outcomes),
        tuple(outcome.attainment for outcome in outcomes),
        significant(math.fsum(outcome.simulated_s for outcome in outcomes)),
    )


def significant(value: float) -> float:
    """Return a number with the 12 significant digits that files keep, so that a record read is the record
    written."""
    return float(format(value, ".12g"))


def try_actions(scenario: Scenario, split: Split, seed: int, actions: Sequence[Action]) -> list[Outcome]:
    """Run constant actions in one world, drawn once in this process, and return what each did.

    :param scenario: where the world is drawn from
    :param split: which family of worlds
    :param seed: of the world
    :param actions: each eight integers
    """
    world = _world(scenario, split, seed)
    return [_outcome(world, action) for action in actions]


@lru_cache(maxsize=WORLDS_KEPT)
def _world(scenario: Scenario, split: Split, seed: int) -> World:
    """Return a world, kept for the next round of actions."""
    return draw_world(scenario, world_seed(split, seed))


def forget_worlds() -> None:
    """Free the worlds that this process keeps."""
    _world.cache_clear()


def _outcome(world: World, action: Action) -> Outcome:
    """Run one action in a world."""
    metrics = measure(Simulation(world, constant_policy(action)).run())
    attainment = [metrics[f"attainment_class_{number}"] for number in range(1, CLASSES + 1)]
    return Outcome(
        significant(metrics["goodput_tps"]),
        tuple(None if math.isnan(value) else significant(value) for value in attainment),
        metrics["window_s"],
    )
