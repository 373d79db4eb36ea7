"""Random policies: any compiled drafter with any compiled scheduler, with settings over their whole range."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, get_args

from chooser import Draw
from remade import AS_DRAWN, Remade

from wisp_gym.pipeline import DrafterRule, Policy, SchedulerRule
from wisp_gym.pipeline.policy import Deadline, Expected, Late, SchedulerKind


def _caps(draw: Draw, least: int = 0) -> tuple[int, int, int, int]:
    """One cap for all classes, or one for each; long drafts are rare."""
    longest = draw.choice((8, 8, 8, 3, 16, 32))
    if draw.chance(60):
        return (draw.integer(least, longest),) * 4
    first, second, third, fourth = (draw.integer(least, longest) for _ in range(4))
    return first, second, third, fourth


def _constant(draw: Draw) -> DrafterRule:
    return DrafterRule(caps=_caps(draw))


def _confidence(draw: Draw) -> DrafterRule:
    return DrafterRule(caps=_caps(draw, 1), score="confidence", threshold=draw.number(0.05, 0.95))


def _entropy(draw: Draw) -> DrafterRule:
    return DrafterRule(caps=_caps(draw, 1), score="entropy", threshold=-draw.number(0.1, 3.0))


def _predictor(draw: Draw) -> DrafterRule:
    return DrafterRule(caps=_caps(draw, 1), score="stop", recall=draw.number(0.4, 0.98))


def _specdec(draw: Draw) -> DrafterRule:
    return DrafterRule.specdec(draw.number(0.1, 0.9), cap=draw.integer(1, 12))


def _table(draw: Draw) -> DrafterRule:
    largest, entries = 0, []
    for _ in range(draw.integer(1, 3)):
        largest += draw.integer(1, 5)
        entries.append((largest, draw.integer(0, 8)))
    return DrafterRule.by_batch(tuple(entries))


def _goodput(draw: Draw) -> DrafterRule:
    return DrafterRule.goodput(draw.integer(0, 12))


def _ucb(draw: Draw) -> DrafterRule:
    return DrafterRule.ucb(draw.number(0.0, 1.0), longest=draw.integer(1, 8))


def _random(draw: Draw) -> DrafterRule:
    return DrafterRule.random()


def _oracle(draw: Draw) -> DrafterRule:
    return DrafterRule(kind="oracle", caps=_caps(draw))


def _bayes(draw: Draw) -> DrafterRule:
    return DrafterRule.bayes(draw.number(0.1, 0.9), cap=draw.integer(1, 12))


def _server_loop(draw: Draw) -> DrafterRule:
    return DrafterRule.none(server_loop=True)


AHEAD: tuple[Callable[[Draw], DrafterRule], ...] = (_constant, _confidence, _predictor, _entropy, _random)
"""Drafters that may go on while they wait."""

SUSPECT = (_confidence, _entropy, _predictor, _specdec)
"""Drafters whose last token may be one that they doubt."""

DRAFTERS: tuple[Callable[[Draw], DrafterRule], ...] = (
    *AHEAD,
    _specdec,
    _table,
    _goodput,
    _ucb,
    _oracle,
    _bayes,
    _server_loop,
)


def _in_step(time_s: float, remade: Remade, least: int) -> float:
    """A time, where everything is in step a multiple of it."""
    if remade.step_ms == 0:
        return time_s
    return max(least, round(1000 * time_s / remade.step_ms)) * remade.step_ms / 1000


def draw_drafter(draw: Draw, remade: Remade) -> DrafterRule:
    """Return a random drafter's settings."""
    patient = remade.slow > 1 and draw.chance(60)  # where requests wait for so long, longer ones replace them
    make = draw.choice(AHEAD if patient else (*DRAFTERS, *AHEAD))
    rule = make(draw)
    changes: dict[str, Any] = {}
    if make in AHEAD and draw.chance(90 if patient else 55):
        changes["ahead"] = True
    elif make in SUSPECT and draw.chance(35):
        changes["drop_suspect"] = True
    if make is not _server_loop and draw.chance(60 if "ahead" in changes else 40):
        longest_s = 4.0 if remade.slow > 1 else 1.0
        changes["timeout_s"] = _in_step(draw.spread(0.015, longest_s), remade, 1)
        changes["retries"] = draw.choice((3, 0, 1, 2, 20))
    return dataclasses.replace(rule, **changes)


def draw_scheduler(draw: Draw, remade: Remade) -> SchedulerRule:
    """Return a random scheduler's settings."""
    kind: SchedulerKind = draw.choice((*get_args(SchedulerKind), "slo-aware", "continuous"))
    settings: dict[str, Any] = {
        "padded": draw.chance(50 if kind == "static" else 10),
        "deadline": draw.choice((None, *get_args(Deadline))),
        "expected": draw.choice(get_args(Expected)),
        "max_requests": draw.size(1, 9) if draw.chance(50) else None,
        "token_budget": draw.size(4, 400) if draw.chance(55) else None,
    }
    if kind == "slo-aware":
        settings["late"] = draw.choice(get_args(Late))
        settings["margin_s"] = _in_step(draw.spread(0.001, 1) if draw.chance(80) else 0.0, remade, 0)
    elif kind == "static":
        settings["static_size"] = draw.integer(1, 9)
        settings["static_limit_s"] = _in_step(draw.spread(0.001, 1) if draw.chance(80) else 0.0, remade, 0)
    elif kind == "continuous":
        settings["run_to_completion"] = draw.chance(40)
        settings["whole_output"] = draw.chance(50)
    elif kind == "proportional-fair":
        settings["fair_s"] = draw.spread(0.001, 20)
    return SchedulerRule(kind, **settings)


def draw_policy(draw: Draw, remade: Remade = AS_DRAWN) -> Policy:
    """Return a random policy.

    :param remade: what is changed in the worlds that it is for
    """
    return Policy("case", draw_drafter(draw, remade), draw_scheduler(draw, remade))
