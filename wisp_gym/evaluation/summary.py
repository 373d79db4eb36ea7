"""What many rows say together: every metric over the seeds, and each policy against the first."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from wisp_gym.evaluation.compare import Comparison
from wisp_gym.evaluation.statistics import Estimate, mean, paired_difference, paired_ratio, weighted_mean

Verdict = Literal["reference", "win", "trade", "loss", "undecided"]

TRADE_POINTS = 0.05
"""A gain in goodput that costs a class more attainment than this is a trade, not a win."""

CLASSES = (1, 2, 3, 4)

_COMMITTED = ("throughput_tps", "window_s")
_MEMBERS = ("batch_size_mean", "dispatches")

# Ratios are ratios of sums: over seeds, each is weighted by its denominator, a product of other metrics.
DENOMINATORS = {
    "acceptance_rate": ("draft_length", "rounds"),
    "draft_length": ("rounds",),
    "tokens_per_round": ("rounds",),
    "sessions_on_time_share": ("sessions",),
    "sessions_last_token_share": ("sessions",),
    "wdt_share": ("draft_per_token_s", *_COMMITTED),
    "vi_raw_share": ("verify_per_token_s", *_COMMITTED),
    "vi_mix_share": ("verify_per_token_s", *_COMMITTED),
    "vi_queue_share": ("queue_per_token_s", *_COMMITTED),
    "queue_wait_mean_s": _MEMBERS,
    "cold_share": _MEMBERS,
    "batch_size_mean": ("dispatches",),
    "new_tokens_mean": ("dispatches",),
}
PER_TOKEN = re.compile(r"_per_token_[sj]$|^bytes_per_token$")
UNPOOLED = re.compile(r"^(acceptance|wdt_share)_class_\d$")
"""Ratios whose denominators are not among the metrics; they have no figure over seeds."""

MAXIMA = frozenset({"longest_stall_s"})


@dataclass(frozen=True)
class PolicySummary:
    """One policy over all seeds.

    :param policy: name of its rows
    :param controller: its full name
    :param metrics: every metric over the seeds: the mean, for ratios the ratio of sums, for the longest stall
        the maximum; `attainment_worst` is the mean attainment of the class where that is lowest
    :param goodput: mean goodput (tokens/s) and its own interval
    :param difference: goodput less the first policy's, paired by world
    :param ratio: goodput over the first policy's, paired by world
    :param class_changes: attainment less the first policy's, by class 1 to 4, paired by world
    :param verdict: "win" where the ratio's interval lies above 1 and no class loses more than 5 points of
        attainment, "trade" where one does, "loss" where the interval lies below 1, else "undecided"
    """

    policy: str
    controller: str
    metrics: Mapping[str, float]
    goodput: Estimate
    difference: Estimate
    ratio: Estimate
    class_changes: Mapping[int, Estimate]
    verdict: Verdict


def summarise(comparison: Comparison) -> list[PolicySummary]:
    """Return one summary a policy, in the order of the comparison."""
    return [_summary(comparison, policy) for policy in comparison.policies]


def _summary(comparison: Comparison, policy: str) -> PolicySummary:
    """Return the summary of one policy."""
    first = comparison.policies[0]
    goodput = comparison.metric(policy, "goodput_tps")
    reference = comparison.metric(first, "goodput_tps")
    changes = {
        number: paired_difference(
            comparison.metric(policy, f"attainment_class_{number}"),
            comparison.metric(first, f"attainment_class_{number}"),
        )
        for number in CLASSES
    }
    ratio = paired_ratio(goodput, reference)
    return PolicySummary(
        policy,
        next(row.controller for row in comparison.rows if row.policy == policy),
        _metrics(comparison, policy),
        mean(goodput),
        paired_difference(goodput, reference),
        ratio,
        changes,
        "reference" if policy == first else _verdict(ratio, list(changes.values())),
    )


def _metrics(comparison: Comparison, policy: str) -> dict[str, float]:
    """Return every metric over the seeds."""
    names = [name for name in comparison.rows[0].metrics if not UNPOOLED.search(name)]
    metrics = {name: _over_seeds(comparison, policy, name) for name in names}
    attainment = [metrics[f"attainment_class_{number}"] for number in CLASSES]
    metrics["attainment_worst"] = min((a for a in attainment if not math.isnan(a)), default=math.nan)
    return metrics


def _over_seeds(comparison: Comparison, policy: str, name: str) -> float:
    """Return one metric over the seeds."""
    return pooled(name, lambda metric: comparison.metric(policy, metric))


def pooled(name: str, values_of: Callable[[str], Sequence[float]]) -> float:
    """Return one metric over the seeds: the mean, for ratios the ratio of sums, for a maximum the maximum.

    :param name: of the metric
    :param values_of: gives any metric's values, one a seed, in one order
    """
    values = values_of(name)
    if name in MAXIMA:
        return max((value for value in values if not math.isnan(value)), default=math.nan)
    denominator = _COMMITTED if PER_TOKEN.search(name) else DENOMINATORS.get(name)
    if denominator is None:
        return mean(values).value
    factors = [values_of(factor) for factor in denominator]
    return weighted_mean(values, [math.prod(parts) for parts in zip(*factors, strict=True)])


def _verdict(ratio: Estimate, changes: Sequence[Estimate]) -> Verdict:
    """Say what a ratio's interval and the classes' changes amount to."""
    if ratio.high < 1.0:
        return "loss"
    if not ratio.low > 1.0:
        return "undecided"
    return "trade" if any(change.value < -TRADE_POINTS for change in changes) else "win"
