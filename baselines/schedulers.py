"""The schedulers by name: which waiting requests the server verifies next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, cast

from baselines import settings
from baselines.options import choices, no_options, whole
from baselines.settings import Deadline, Late
from wisp_gym.errors import unknown
from wisp_gym.pipeline import SchedulerRule
from wisp_gym.pipeline.policy import WISP_MARGIN_S

MOST_STATIC = 4096
"""Largest static batch; the engine's limit bounds it anyway."""

PlainKind = Literal["fcfs", "edf", "density", "random"]
MOST_BUDGET = 1_000_000


def _plain(kind: PlainKind, options: str) -> SchedulerRule:
    """Return a rule that is only an order."""
    no_options(kind, options)
    return SchedulerRule(kind=kind)


def fcfs(options: str) -> SchedulerRule:
    """Return first come, first served."""
    return _plain("fcfs", options)


def edf(options: str) -> SchedulerRule:
    """Return earliest deadline first."""
    return _plain("edf", options)


def density(options: str) -> SchedulerRule:
    """Return most expected accepted tokens per second of server time first."""
    return _plain("density", options)


def random(options: str) -> SchedulerRule:
    """Return a random order."""
    return _plain("random", options)


def static(options: str) -> SchedulerRule:
    """Return SLED's server: wait for a number of requests or a time limit, pad drafts to the longest."""
    size = static_size("static", options) if options else settings.STATIC_SIZE
    return static_batch(size, settings.STATIC_LIMIT_S)


def static_size(name: str, text: str) -> int:
    """Return the size of a static batch: a number, or "engine" for as many as the engine takes.

    :param name: what it belongs to, for the message
    :param text: as typed
    """
    return MOST_STATIC if text == "engine" else whole(name, text, 1, MOST_STATIC)


def static_batch(size: int, limit_s: float) -> SchedulerRule:
    """Return SLED's server.

    :param size: requests waited for, at most what the engine takes; :param limit_s: longest wait for them, s
    """
    return SchedulerRule(kind="static", static_size=size, static_limit_s=limit_s, padded=True)


def continuous(options: str) -> SchedulerRule:
    """Return continuous batching: rotate through the admitted sessions, or ("rtc") run them to completion;
    admit them for their whole output, or ("grow") for what they have."""
    forms = set(filter(None, options.split(",")))
    for form in forms - {"rtc", "grow"}:
        raise unknown("form of continuous", form, ("rtc", "grow"))
    return SchedulerRule(
        kind="continuous", run_to_completion="rtc" in forms, whole_output="grow" not in forms
    )


READINGS = {"late": settings.LATE_READINGS, "deadline": settings.DEADLINE_READINGS}
"""What WISP's paper leaves open, and the readings of it."""


def proportional_fair(options: str) -> SchedulerRule:
    """Return GoodSpeed's rule: proportional fairness within a budget of new tokens (the engine's)."""
    budget = whole("proportional-fair", options, 1, MOST_BUDGET) if options else None
    return SchedulerRule(kind="proportional-fair", token_budget=budget)


def readings(name: str, options: str) -> tuple[Late, Deadline | None]:
    """Return the readings of late requests and of deadlines; None is the scenario's reading of deadlines.

    :param name: what the options belong to, for the message
    :param options: as in "late=urgent,deadline=timeline"
    """
    return reading_of(choices(name, options, READINGS))


def reading_of(chosen: Mapping[str, str]) -> tuple[Late, Deadline | None]:
    """Return the readings that checked options name, as `readings`."""
    return cast(Late, chosen.get("late", settings.WISP_LATE)), cast("Deadline | None", chosen.get("deadline"))


def wisp(late: Late, deadline: Deadline | None) -> SchedulerRule:
    """Return WISP's scheduler: urgent requests by deadline, then by value density, each behind a guard.

    :param late: what becomes of late requests
    :param deadline: reading of a request's deadline; None is the scenario's
    """
    return SchedulerRule(kind="slo-aware", late=late, deadline=deadline, margin_s=WISP_MARGIN_S)


def slo_aware(options: str) -> SchedulerRule:
    """Return WISP's scheduler in the reading that the options name."""
    return wisp(*readings("slo-aware", options))


BY_NAME: Mapping[str, Callable[[str], SchedulerRule]] = {
    "fcfs": fcfs,
    "edf": edf,
    "density": density,
    "static": static,
    "continuous": continuous,
    "slo-aware": slo_aware,
    "proportional-fair": proportional_fair,
    "random": random,
}
