"""What is measured on token streams: rates, correlations, how much the signals tell.

Fixed draft lengths run through the streams, as on a device: a round accepts its leading agreements, the
target fills the next position, the next round starts after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisp_gym._jit import compiled
from wisp_gym.world import streams
from wisp_gym.world.rng import CAUSE_STREAM, key
from wisp_gym.world.streams import (
    CONFIDENCE,
    ENTROPY,
    ENTROPY_AT_EVEN_ODDS,
    ENTROPY_POWER,
    SPREAD_SHIFT,
    draw_stream,
    fixed_k_rounds,
)

Floats = NDArray[np.float64]
Generator = dict[str, float]

WISP_RECALL = 0.801
K = 5  # draft length of the correlation, the spread, the mixed survival and the operating point
ACCEPTED, FIRST_REJECTED, AFTER_IT = 0, 1, 2


class Sample(NamedTuple):
    """Streams of many sessions of one length."""

    accepts: NDArray[np.uint8]  # (sessions, length)
    signals: NDArray[np.float32]  # (sessions, 4, length)
    off_signals: NDArray[np.float32]  # (sessions, 4, length)


@compiled
def _draw_all(
    seed: int,
    params: Floats,
    accepts: NDArray[np.uint8],
    signals: NDArray[np.float32],
    off_signals: NDArray[np.float32],
) -> None:
    for i in range(accepts.shape[0]):
        draw_stream(key(seed, CAUSE_STREAM, i, 0), params, accepts[i], signals[i], off_signals[i])


def _read_rounds(
    accepts: NDArray[np.uint8], on: NDArray[np.float32], off: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Return score and kind (accepted, first rejected, after it) of every token drafted over one session."""
    counts = fixed_k_rounds(accepts, k)[:, None]
    starts = np.concatenate([[0], np.cumsum(counts[:-1] + 1)])[: len(counts), None]
    j = np.arange(k)[None, :]
    scores = np.where(j <= counts, on[starts + j], off[starts + j])
    return scores.ravel(), (np.sign(j - counts) + 1).astype(np.int8).ravel()


def observed_logit(signals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the observed logit that four signals tell of: the mean of the four, each transformed back.

    What all signals together can tell, with nothing to train: the generator is fitted by it.

    :param signals: rows as streams.SIGNALS  # (4, positions)
    """
    confidence, entropy, margin, spread = signals.astype(np.float64)
    c, m = (np.clip(p, 1e-7, 1.0 - 1e-7) for p in (confidence, margin))
    h, s = np.maximum(entropy, 1e-6), np.maximum(spread, 1e-3)
    by_probability = np.log(c / (1.0 - c)) + np.log(2.0 * m / (1.0 - m))
    by_entropy = ENTROPY_POWER * np.log(ENTROPY_AT_EVEN_ODDS / h)
    return (0.25 * (by_probability + by_entropy + s - 1.0 / s - SPREAD_SHIFT)).astype(np.float32)


def sample(generator: Generator, seed: int, sessions: int, length: int) -> Sample:
    """Draw the streams of `sessions` sessions of `length` tokens."""
    drawn = Sample(
        np.zeros((sessions, length), dtype=np.uint8),
        np.zeros((sessions, 4, length), dtype=np.float32),
        np.zeros((sessions, 4, length), dtype=np.float32),
    )
    _draw_all(seed, streams.stream_params(generator), *drawn)
    return drawn


def rates(accepts: NDArray[np.uint8], k: int) -> tuple[float, float]:
    """Return accepted / drafted at fixed `k`, a ratio of sums over sessions, and its standard error."""
    counts = [fixed_k_rounds(row, k) for row in accepts]
    taken = np.array([c.sum() for c in counts], dtype=np.float64)
    rounds = np.array([len(c) for c in counts], dtype=np.float64)
    ratio = taken.sum() / rounds.sum()
    error = np.sqrt(np.sum((taken - ratio * rounds) ** 2)) / rounds.sum()
    return float(ratio / k), float(error / k)


def step_correlation(accepts: NDArray[np.uint8], k: int) -> tuple[float, float]:
    """Return the correlation of consecutive rounds' accepted counts: about session means, and pooled."""
    counts = [fixed_k_rounds(row, k).astype(np.float64) for row in accepts]
    pooled = float(np.concatenate(counts).mean())
    return _lag_one(counts, [float(c.mean()) for c in counts]), _lag_one(counts, [pooled] * len(counts))


def _lag_one(counts: list[Floats], means: list[float]) -> float:
    pairs = [(c[:-1] - m, c[1:] - m) for c, m in zip(counts, means, strict=True)]
    before, after = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return float(np.mean(before * after) / np.sqrt(np.mean(before**2) * np.mean(after**2)))


def session_spread(accepts: NDArray[np.uint8], k: int) -> float:
    """Return sd / mean of the sessions' acceptance beyond sampling noise: the covariance of their halves."""
    half = accepts.shape[1] // 2
    first, second = (
        np.array([fixed_k_rounds(row, k).mean() for row in part])
        for part in (accepts[:, :half], accepts[:, half:])
    )
    covariance = float(np.cov(first, second)[0, 1])
    return float(np.sqrt(max(covariance, 0.0)) / np.mean((first + second) / 2))


def area_under_curve(agrees: NDArray[np.uint8], values: NDArray[np.float32]) -> float:
    """Return P(a value at an agreement > one at a disagreement), by ranks. Ties are too few to matter."""
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values), dtype=np.float64)
    ranks[order] = np.arange(1, len(values) + 1)
    ones = int(np.count_nonzero(agrees))
    return float((ranks[agrees != 0].sum() - ones * (ones + 1) / 2) / (ones * (len(values) - ones)))


def scored_tokens(drawn: Sample, k: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Return observed logit and kind of every token drafted in rounds of `k`, over all sessions."""
    pairs = [
        _read_rounds(a, observed_logit(on), observed_logit(off), k)
        for a, on, off in zip(drawn.accepts, drawn.signals, drawn.off_signals, strict=True)
    ]
    return np.concatenate([s for s, _ in pairs]), np.concatenate([kind for _, kind in pairs])


def threshold(scores: NDArray[np.float32], kinds: NDArray[np.int8], recall: float) -> float:
    """Return the score that a share `recall` of the accepted tokens reaches."""
    return float(np.quantile(scores[kinds == ACCEPTED].astype(np.float64), 1.0 - recall))


def false_accept(drawn: Sample) -> float:
    """Return the share of all rejected tokens that pass the threshold of recall 0.801, in rounds of 5."""
    scores, kinds = scored_tokens(drawn, K)
    return float(np.mean(scores[kinds != ACCEPTED] >= threshold(scores, kinds, WISP_RECALL)))


def agreement_figures(
    accepts: NDArray[np.uint8], rate_ks: Iterable[int], table_ks: Iterable[int] = ()
) -> dict[str, float]:
    """Return the figures that depend on agreement alone.

    :param rate_ks: draft lengths whose rate is wanted; :param table_ks: whose survival is wanted
    """
    own, pooled = step_correlation(accepts, K)
    figures = {f"alpha_{k}": rates(accepts, k)[0] for k in rate_ks}
    figures |= {f"survival_{i + 1}": float(v) for i, v in enumerate(survival(accepts, K))}
    for k in table_ks:
        values = survival(accepts, k)
        figures[f"alpha_{k}"] = float(values.mean())
        figures |= {f"survival_k{k}_{i + 1}": float(v) for i, v in enumerate(values)}
    return figures | {
        "step_correlation": own,
        "step_correlation_pooled": pooled,
        "session_spread": session_spread(accepts, K),
    }


def signal_figures(drawn: Sample) -> dict[str, float]:
    """Return the figures that depend on the signals."""
    agrees, scores = drawn.accepts.ravel(), np.concatenate([observed_logit(s) for s in drawn.signals])
    return {
        "auc_confidence": area_under_curve(agrees, drawn.signals[:, CONFIDENCE].ravel()),
        "auc_entropy": area_under_curve(agrees, -drawn.signals[:, ENTROPY].ravel()),
        "auc_all_signals": area_under_curve(agrees, scores),
        "false_accept": false_accept(drawn),
    }


def expected_accepted(accepts: NDArray[np.uint8]) -> list[float]:
    """Return the mean accepted tokens of rounds of k = 0 to 32."""
    means = [0.0, *(k * rates(accepts, k)[0] for k in range(1, 33))]
    return [round(float(m), 4) for m in np.maximum.accumulate(means)]


def survival(accepts: NDArray[np.uint8], k: int) -> Floats:
    """Return P(the first i + 1 tokens are accepted) in rounds of `k`.  # (k,)"""
    counts = np.concatenate([fixed_k_rounds(row, k) for row in accepts])
    return np.array([np.mean(counts > i) for i in range(k)])
