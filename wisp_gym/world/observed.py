"""The logit that the four draft signals show: each transformed back, and the mean of the four."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from wisp_gym._jit import compiled
from wisp_gym.world.streams import (
    CONFIDENCE,
    ENTROPY,
    ENTROPY_AT_EVEN_ODDS,
    ENTROPY_POWER,
    MARGIN,
    SPREAD,
    SPREAD_SHIFT,
)


@compiled
def _write_observed(signals: NDArray[np.float32], observed: NDArray[np.float32]) -> None:
    """Write the observed logit of each position."""
    for p in range(signals.shape[1]):
        # np.float64, as float() of a float32 stays a float32 in Numba.
        c = min(max(np.float64(signals[CONFIDENCE, p]), 1e-7), 1.0 - 1e-7)
        m = min(max(np.float64(signals[MARGIN, p]), 1e-7), 1.0 - 1e-7)
        h = max(np.float64(signals[ENTROPY, p]), 1e-6)
        s = max(np.float64(signals[SPREAD, p]), 1e-3)
        by_probability = math.log(c / (1.0 - c)) + math.log(2.0 * m / (1.0 - m))
        by_entropy = ENTROPY_POWER * math.log(ENTROPY_AT_EVEN_ODDS / h)
        observed[p] = 0.25 * (by_probability + by_entropy + s - 1.0 / s - SPREAD_SHIFT)


def observed_logits(signals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the observed logit of each position of a stream, as wisp_gym/world/streams.py defines it, with
    the mean of the four signals' noises on it.  # (length,)

    :param signals: rows as `streams.SIGNALS`  # (4, length)
    """
    observed = np.empty(signals.shape[1], np.float32)
    _write_observed(signals, observed)
    return observed
