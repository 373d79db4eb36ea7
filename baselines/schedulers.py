"""The schedulers by name: which waiting requests the server verifies next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, cast

from baselines import settings
from baselines.options import choices, no_options, whole
from baselines.settings import Deadline, Expected, Late
from wisp_gym.pipeline import SchedulerRule

PlainKind = Literal["fcfs", "edf", "density", "random"]


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
    size = whole("static", options, 1, 4096) if options else settings.STATIC_SIZE
    limit_s = settings.STATIC_LIMIT_S
    return SchedulerRule(kind="static", static_size=size, static_limit_s=limit_s, padded=True)


def continuous(options: str) -> SchedulerRule:
    """Return continuous batching: rotate through the admitted sessions, or ("rtc") run them to completion."""
    if options != "rtc":
        no_options("continuous", options)
    return SchedulerRule(kind="continuous", run_to_completion=options == "rtc")


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
    "random": random,
}
