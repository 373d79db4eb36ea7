"""Paired intervals: every policy meets the same worlds, so it is compared with another world by world.

Values that are undefined in a world (NaN) leave that world out of the figure; `seeds` says how many are left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
_NORMAL = 1.959963984540054  # the normal law's two-sided 95 % quantile
# Student's two-sided 95 % quantile by degrees of freedom, 1 to 30.
_STUDENT = (
    *(
        12.706204736,
        4.302652730,
        3.182446305,
        2.776445105,
        2.570581836,
        2.446911851,
        2.364624252,
        2.306004135,
    ),
    *(2.262157163, 2.228138852, 2.200985160, 2.178812830, 2.160368656, 2.144786688, 2.131449546, 2.119905299),
    *(2.109815578, 2.100922040, 2.093024054, 2.085963447, 2.079613845, 2.073873068, 2.068657610, 2.063898562),
    *(2.059538553, 2.055529439, 2.051830516, 2.048407142, 2.045229642, 2.042272456),
)


@dataclass(frozen=True)
class Estimate:
    """A figure over seeds with its 95 % interval, value - half_width to value + half_width.

    :param value: the figure; NaN when no seed defines it
    :param half_width: of the interval; NaN with fewer than two seeds
    :param seeds: how many seeds it rests on
    """

    value: float
    half_width: float
    seeds: int

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.value - self.half_width

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.value + self.half_width


UNDEFINED = Estimate(math.nan, math.nan, 0)


def student_quantile(degrees: int) -> float:
    """Return the factor on a standard error that makes a two-sided 95 % interval.

    :param degrees: degrees of freedom, seeds - 1; 30 are tabulated, beyond them the expansion around the
        normal law is right to five decimals
    """
    if degrees < 1:
        return math.nan
    if degrees <= len(_STUDENT):
        return _STUDENT[degrees - 1]
    z = _NORMAL
    terms: tuple[float, ...] = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / float(degrees) ** order for order, term in enumerate(terms, 1))


def _deviation(values: Sequence[float], centre: float) -> float:
    """Return the sample standard deviation about a centre that cost one degree of freedom."""
    if len(values) < 2:
        return math.nan
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def mean(values: Sequence[float]) -> Estimate:
    """Return the mean over seeds and its interval.

    :param values: one a seed
    """
    defined = [value for value in values if not math.isnan(value)]
    if not defined:
        return UNDEFINED
    centre = math.fsum(defined) / len(defined)
    error = _deviation(defined, centre) / math.sqrt(len(defined))
    return Estimate(centre, student_quantile(len(defined) - 1) * error, len(defined))


def _paired(values: Sequence[float], reference: Sequence[float]) -> list[tuple[float, float]]:
    """Return the pairs in which both sides are defined."""
    pairs = zip(values, reference, strict=True)
    return [(value, other) for value, other in pairs if not (math.isnan(value) or math.isnan(other))]


def weighted_mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """Return sum(weight * value) / sum(weight): the ratio of sums, where a weight is the ratio's denominator.

    :param values: ratios, one a seed; undefined ones are left out
    :param weights: their denominators
    """
    pairs = _paired(values, weights)
    total = math.fsum(weight for _, weight in pairs)
    return math.fsum(value * weight for value, weight in pairs) / total if total > 0 else math.nan


def paired_difference(values: Sequence[float], reference: Sequence[float]) -> Estimate:
    """Return the mean difference over shared worlds and its interval.

    :param values: of the policy, one a seed
    :param reference: of the policy compared with, in the same order of seeds
    """
    return mean([value - other for value, other in _paired(values, reference)])


def paired_ratio(values: Sequence[float], reference: Sequence[float]) -> Estimate:
    """Return the ratio of sums over shared worlds, with the interval of value - ratio * reference.

    :param values: of the policy, one a seed
    :param reference: of the policy compared with, in the same order of seeds
    """
    pairs = _paired(values, reference)
    total = math.fsum(other for _, other in pairs)
    if total <= 0:
        return Estimate(math.nan, math.nan, len(pairs))
    ratio = math.fsum(value for value, _ in pairs) / total
    residuals = [value - ratio * other for value, other in pairs]
    error = _deviation(residuals, 0.0) * math.sqrt(len(pairs)) / total
    return Estimate(ratio, student_quantile(len(pairs) - 1) * error, len(pairs))
