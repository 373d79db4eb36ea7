"""The fit: least squares of relative errors with coefficients that are not negative."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from wisp_gym.world.rng import bits, key

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

TERMS = 4

PROFILED = 173
"""Batches of a profile run, as many as the paper's."""

FITTED = 123
"""Of them in the fit, the other 50 test it, as in the paper."""

_SPLIT_SEED = 0x53504C49


@dataclass(frozen=True)
class Errors:
    """How far estimates are from measured times.

    :param batches: compared
    :param mae_ms: mean absolute error, ms
    :param mape: mean absolute error over the measured time, a share
    :param p95: 95th percentile of the same, a share
    :param r2: coefficient of determination
    """

    batches: int
    mae_ms: float
    mape: float
    p95: float
    r2: float

    def as_dict(self) -> dict[str, float]:
        """Return the errors rounded for a file."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def errors_of(coefficients_ns: FloatArray, sums: FloatArray, times_ns: FloatArray) -> Errors:
    """Return the errors of an estimator on batches.

    :param coefficients_ns: c0..c3  # (4,)
    :param sums: 1, sum(new), sum(new * (new + cached)), sum(cached) of each batch  # (batches, 4)
    :param times_ns: measured  # (batches,)
    """
    error = np.abs(sums @ coefficients_ns - times_ns)
    spread = float(((times_ns - times_ns.mean()) ** 2).sum())
    r2 = 1.0 - float((error**2).sum()) / spread if spread > 0 else float("nan")
    share = error / times_ns
    return Errors(
        len(times_ns),
        float(error.mean()) * 1e-6,
        float(share.mean()),
        float(np.quantile(share, 0.95)),
        r2,
    )


def split(batches: int, fitted: int | None = None) -> tuple[IntArray, IntArray]:
    """Return which batches are fitted and which test the fit: the same random split at every call.

    :param batches: how many there are
    :param fitted: how many of them are fitted; None: the paper's share, 123 of 173
    """
    count = round(batches * FITTED / PROFILED) if fitted is None else fitted
    ranks = np.array([bits(np.uint64(key(_SPLIT_SEED, 0, 0, 0)), i) for i in range(batches)], np.uint64)
    order = np.argsort(ranks, kind="stable")
    return np.sort(order[:count]), np.sort(order[count:])


def fit(sums: FloatArray, times_ns: FloatArray) -> FloatArray:
    """Return c0..c3, none negative, with the least sum of squared relative errors.

    Relative, because a scheduler weighs a millisecond of a short pass as much as two of one twice as long.
    Not negative, because more work never takes less time: free signs let one term stand in for another
    (cached
    tokens for the number of requests), which holds for the batches fitted and no others. With four terms the
    best solution is among the 15 least-squares fits of the subsets of terms.

    :param sums: 1, sum(new), sum(new * (new + cached)), sum(cached) of each batch  # (batches, 4)
    :param times_ns: measured, above 0  # (batches,)
    """
    scale = np.abs(sums).max(axis=0)
    scale[scale == 0] = 1.0
    rows = sums / scale / times_ns[:, None]
    best, least = np.zeros(TERMS), np.inf
    for count in range(1, TERMS + 1):
        for terms in itertools.combinations(range(TERMS), count):
            solution = np.linalg.lstsq(rows[:, terms], np.ones(len(rows)), rcond=None)[0]
            loss = float(((rows[:, terms] @ solution - 1.0) ** 2).sum())
            if solution.min() >= 0 and loss < least:
                best, least = np.zeros(TERMS), loss
                best[list(terms)] = solution
    return np.asarray(best / scale, np.float64)
