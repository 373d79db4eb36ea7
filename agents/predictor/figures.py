"""What a stop predictor is measured by: operating points, the area under the curve, reliability."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.predictor.tokens import ACCEPTED

Scores = NDArray[np.float32]
Kinds = NDArray[np.int8]
Floats = NDArray[np.float64]


def thresholds(scores: Scores, kinds: Kinds, recalls: Floats) -> Floats:
    """Return the scores that these shares of the accepted tokens reach.  # (recalls,)"""
    return np.asarray(np.quantile(scores[kinds == ACCEPTED].astype(np.float64), 1.0 - recalls), np.float64)


def operating_point(scores: Scores, kinds: Kinds, threshold: float) -> tuple[float, float]:
    """Return the recall on accepted tokens and the share of rejected ones taken for accepted, those drafted
    after a round's first mismatch included.

    A token passes where its score is not below the threshold, as in the pipeline.
    """
    passes, taken = scores >= threshold, kinds == ACCEPTED
    return float(passes[taken].mean()), float(passes[~taken].mean())


def area_under_curve(agrees: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """Return P(an accepted token scores higher than a rejected one), ties counting half."""
    low, high = np.sort(scores[~agrees]), scores[agrees]
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.mean() / 2 / len(low))


def probability(scores: NDArray[np.floating]) -> Floats:
    """Return the probability of agreement that a score means: the logistic function."""
    return 1.0 / (1.0 + np.exp(-scores.astype(np.float64)))


def reliability(agrees: NDArray[np.bool_], chance: Floats, bins: int = 10) -> tuple[Floats, Floats, Floats]:
    """Return mean predicted chance, observed share and share of all tokens, in bins of equal width of chance.

    :return: three arrays over the bins that hold a token
    """
    place = np.minimum((chance * bins).astype(np.int64), bins - 1)
    count = np.bincount(place, minlength=bins)
    full = count > 0
    mean = np.bincount(place, chance, bins)[full] / count[full]
    seen = np.bincount(place, agrees.astype(np.float64), bins)[full] / count[full]
    return mean, seen, count[full] / count.sum()


def calibration_error(agrees: NDArray[np.bool_], chance: Floats, bins: int = 10) -> float:
    """Return the expected calibration error: the mean gap of predicted and observed, weighed by tokens."""
    mean, seen, share = reliability(agrees, chance, bins)
    return float(np.sum(share * np.abs(mean - seen)))
