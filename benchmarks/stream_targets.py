"""The published figures that a profile's streams are to reach, each with its band."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from stream_figures import K

from wisp_gym import profiles

WISP_FALSE_ACCEPT = 0.425


class Target(NamedTuple):
    """A published figure: where to aim, and the band that counts as reached."""

    name: str
    aim: float
    low: float
    high: float


def targets_of(profile: profiles.AcceptanceProfile) -> list[Target]:
    """Return the figures to reach: the profile's own, and those that all pairs share.

    A profile with acceptance rates is one of mixed tasks: its survival is a mixture of the tasks' tables. One
    without is of a single task, and its tables are met as they are.
    """
    own = _mixed_targets(profile) if profile.acceptance_rate else _task_targets(profile)
    return [
        *own,
        Target("step_correlation", 0.22, 0.16, 0.34),
        Target("step_correlation_pooled", 0.25, 0.16, 0.34),
        Target("session_spread", 0.14, 0.12, 0.16),
        Target("auc_confidence", 0.84, 0.82, 0.86),
        Target("auc_entropy", 0.84, 0.82, 0.86),
        Target("auc_all_signals", 0.84, 0.82, 0.87),
        Target("false_accept", WISP_FALSE_ACCEPT, WISP_FALSE_ACCEPT - 0.02, WISP_FALSE_ACCEPT + 0.02),
    ]


def lengths(targets: list[Target]) -> tuple[list[int], list[int]]:
    """Return the draft lengths whose rates, and those whose survival tables, are among the targets."""
    rate_ks = {int(t.name.removeprefix("alpha_")) for t in targets if t.name.startswith("alpha_")}
    table_ks = {int(t.name.split("_")[1][1:]) for t in targets if t.name.startswith("survival_k")}
    return sorted(rate_ks), sorted(table_ks)


def _task_targets(profile: profiles.AcceptanceProfile) -> list[Target]:
    """Return targets for every entry of every survival table: within 0.02, or a standard error if larger."""
    targets = []
    for entry in profile.survival:
        for i, value in enumerate(entry.values):
            error = math.sqrt(value * (1.0 - value) / entry.rounds) if entry.rounds else 0.0
            half = max(0.02, error)
            targets.append(Target(f"survival_k{entry.k}_{i + 1}", value, value - half, value + half))
    return targets


def _mixed_targets(profile: profiles.AcceptanceProfile) -> list[Target]:
    """Return targets for the rates, and for survival at K: the mixture of tasks with the rate at K."""
    rate_targets = [
        Target(f"alpha_{r.k}", r.value, r.value - 0.02, r.value + 0.02) for r in profile.acceptance_rate
    ]
    measured = sorted((entry.values for entry in profile.survival if entry.k == K), key=sum)
    if len(measured) < 2:
        return rate_targets
    worst, best = np.array(measured[0]), np.array(measured[-1])
    weight = (profile.measured_rate(K) - worst.mean()) / (best.mean() - worst.mean())
    values = worst + float(np.clip(weight, 0.0, 1.0)) * (best - worst)
    return rate_targets + [
        Target(f"survival_{i + 1}", float(v), v - 0.03, v + 0.03) for i, v in enumerate(values)
    ]
