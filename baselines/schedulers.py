"""The schedulers by name: which waiting requests the server verifies next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, cast

from baselines import settings
from baselines.options import choices, no_options, parts, whole
from baselines.settings import Deadline, Expected, Late
from wisp_gym.errors import unknown
from wisp_gym.pipeline import SchedulerRule

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
    forms = parts("continuous", options)
    for form in sorted(set(forms) - {"rtc", "grow"}):
        raise unknown("form of continuous", form, ("rtc", "grow"))
    return SchedulerRule(
        kind="continuous", run_to_completion="rtc" in forms, whole_output="grow" not in forms
    )


def proportional_fair(options: str) -> SchedulerRule:
    """Return GoodSpeed's rule: proportional fairness within a budget of new tokens (the engine's)."""
    budget = whole("proportional-fair", options, 1, MOST_BUDGET) if options else None
    return SchedulerRule(kind="proportional-fair", token_budget=budget)


def slo_aware(options: str, name: str = "slo-aware") -> SchedulerRule:
    """Return WISP's scheduler: urgent requests by deadline, then by value density, each behind a guard.

    :param options: what the paper leaves open, as in
        "late=urgent,deadline=timeline,margin=0.05,expected=session"
    :param name: what the options belong to, for the message
    """
    allowed = {
        "late": settings.LATE_READINGS,
        "deadline": settings.DEADLINE_READINGS,
        "expected": settings.EXPECTED_READINGS,
    }
    chosen = choices(name, options, allowed, {"margin": (0.0, settings.LARGEST_MARGIN_S)})
    return SchedulerRule(
        kind="slo-aware",
        late=cast(Late, chosen.get("late", settings.WISP_LATE)),
        deadline=cast("Deadline | None", chosen.get("deadline")),
        margin_s=float(chosen.get("margin", settings.SAFETY_MARGIN_S)),
        expected=cast(Expected, chosen.get("expected", settings.WISP_EXPECTED)),
    )


def spelt(rule: SchedulerRule) -> str:
    """Return the options of WISP's scheduler as a name spells them; defaults are left out, `late` never."""
    parts = [f"late={rule.late}"]
    if rule.deadline is not None:
        parts.append(f"deadline={rule.deadline}")
    if rule.margin_s != settings.SAFETY_MARGIN_S:
        parts.append(f"margin={rule.margin_s:g}")
    if rule.expected != settings.WISP_EXPECTED:
        parts.append(f"expected={rule.expected}")
    return ",".join(parts)


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
