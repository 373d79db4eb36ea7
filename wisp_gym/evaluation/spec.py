"""The unit of evaluation: one policy in one world, a specification that becomes a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from wisp_gym.evaluation.event_log import LogTo
    from wisp_gym.pipeline import Policy
    from wisp_gym.scenario import Scenario

Split = Literal["train", "validation", "test"]
"""Splits share no world: agents learn on train, are chosen on validation, are judged on test."""

Resolve = Callable[[str], "Policy"]
"""Turns a name into a fresh policy. Worker processes import it: a function at the top of a module."""

Candidates = Callable[[str], tuple[str, ...]]
"""The names that a name stands for: itself, or several from which the best is chosen on training worlds."""

Progress = Callable[[float, int], None]
"""Told how many rows are done, and of how many; in a long run, shares of a row too."""


@dataclass(frozen=True)
class RowSpec:
    """One policy in one world, from its start to the horizon.

    :param scenario: where the world is drawn from
    :param policy: what the row is called
    :param controller: the name that is resolved; differs from `policy` where the best of several was chosen
    :param seed: of the world within its split, 0 or more; a policy's own randomness is seeded by it too
    :param split: which worlds
    :param log: where its event log is written; None: nowhere
    """

    scenario: Scenario
    policy: str
    controller: str
    seed: int
    split: Split = "test"
    log: LogTo | None = None


@dataclass(frozen=True)
class Row:
    """What one policy did in one world.

    :param policy: what the row is called
    :param controller: the policy's own full name, its readings spelt out
    :param seed: of the world
    :param window_s: where counting began and ended, simulated seconds
    :param metrics: by name, as `wisp_gym.metrics.measure` documents them; NaN where undefined
    """

    policy: str
    controller: str
    seed: int
    window_s: tuple[float, float]
    metrics: Mapping[str, float]
