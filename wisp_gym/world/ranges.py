"""What a world draws for itself where its scenario gives a range: size, shares of classes, devices and
networks, and how well drafts are accepted.

Drawn from the world's seed like everything else, so every policy meets the same, and a larger or longer world
of the same seed draws the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wisp_gym.scenario import Scenario
from wisp_gym.world.rng import CAUSE_RANGES, key, uniform

FloatArray = npt.NDArray[np.float64]

_SIZE, _CLASSES, _MIX, _NETWORKS, _ACCEPTANCE = range(5)
"""Entities of CAUSE_RANGES."""


@dataclass(frozen=True)
class Variant:
    """What one world drew.

    :param devices: size of the fleet
    :param shares: of the SLO classes; :param mix: of the device kinds; :param networks: of the networks
    :param acceptance_shift: logits added to every position's logit of agreement
    """

    devices: int
    shares: FloatArray
    mix: FloatArray
    networks: FloatArray
    acceptance_shift: float


def draw_variant(scenario: Scenario, seed: int) -> Variant:
    """Return what the world of this seed draws from the scenario's ranges; fixed values where it has none.

    :param seed: the world's
    """
    ranges, fleet = scenario.ranges, scenario.fleet
    return Variant(
        _size(seed, ranges.devices, scenario.devices),
        _shares(seed, _CLASSES, ranges.class_weights, scenario.classes.shares),
        _shares(seed, _MIX, ranges.mix_weights, [part.share for part in fleet.mix]),
        _shares(seed, _NETWORKS, ranges.network_weights, [part.share for part in fleet.networks]),
        _between(seed, _ACCEPTANCE, 0, ranges.acceptance_shift or (0.0, 0.0)),
    )


def _between(seed: int, entity: int, number: int, bounds: tuple[float, float]) -> float:
    """Return a number drawn uniformly between two bounds."""
    low, high = bounds
    return low + (high - low) * uniform(np.uint64(key(np.uint64(seed), CAUSE_RANGES, entity, 0)), number)


def _size(seed: int, bounds: tuple[int, int] | None, fixed: int) -> int:
    """Return the size of the fleet: each whole number of the range is equally likely."""
    if bounds is None:
        return fixed
    low, high = bounds
    return min(high, int(_between(seed, _SIZE, 0, (low, high + 1))))


def _shares(
    seed: int, entity: int, weights: Sequence[tuple[float, float]] | None, fixed: Sequence[float]
) -> FloatArray:
    """Return shares that sum to 1: weights drawn between their bounds over their sum."""
    if weights is None:
        drawn = np.asarray(fixed, np.float64)
    else:
        drawn = np.array([_between(seed, entity, i, bounds) for i, bounds in enumerate(weights)])
    return np.asarray(drawn / drawn.sum(), np.float64)
