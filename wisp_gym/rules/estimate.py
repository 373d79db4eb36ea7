"""WISP's verification time estimator: four terms, linear, fitted by least squares to profiled batches.

T = c0 + c1 * sum(new) + c2 * sum(new * (new + cached)) + c3 * sum(cached). The scheduler plans with it; the
pipeline runs on the profile's measured curve, which has steps that a linear form cannot follow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel
from wisp_gym.world.rng import bits, key
from wisp_gym.world.server import attention_pairs, pass_time_ns

FloatArray = npt.NDArray[np.float64]

BATCHES = 123
"""Batches of the fit, as many as the paper's."""

_DESIGN_SEED = 0x57495350


@kernel
def estimate_ns(coefficients: FloatArray, new: float, pairs: float, cached: float) -> float:
    """Return the estimated time of a pass, ns.

    :param coefficients: c0..c3, ns
    :param new: sum of new tokens; :param pairs: sum of new * (new + cached); :param cached: sum of cached
    tokens
    """
    return coefficients[0] + coefficients[1] * new + coefficients[2] * pairs + coefficients[3] * cached


def _below(draw: np.uint64, i: int, bound: int) -> int:
    """A number of 0..bound-1."""
    return int(bits(draw, i)) % bound


def _batch(i: int, max_batch: int, max_new: int, context: int) -> list[tuple[int, int]]:
    """One profiled batch: (new, cached) of each member; about one in ten members is cold."""
    draw = np.uint64(key(_DESIGN_SEED, 0, 0, i))
    members: list[tuple[int, int]] = []
    room = max_new
    for m in range(1 + _below(draw, 0, max_batch)):
        length = 1 + _below(draw, 3 * m + 1, 2 * context)
        cold = _below(draw, 3 * m + 2, 10) == 0
        new = length if cold else 1 + _below(draw, 3 * m + 3, 9)
        if new > room:
            break
        members.append((new, 0 if cold else length))
        room -= new
    return members or [(1, context)]


def fit_estimator(server: Any, pass_ns: FloatArray, context: int) -> FloatArray:
    """Fit the estimator to batches of a server under a scenario's limits.

    :param server: a SERVER record; :param pass_ns: its g(S)
    :param context: typical context of a session, tokens
    :return: c0..c3, ns  # (4,)
    """
    rows = np.empty((BATCHES, 4))
    times = np.empty(BATCHES)
    for i in range(BATCHES):
        members = _batch(i, int(server["max_batch"]), int(server["max_new"]), max(context, 1))
        new = sum(member[0] for member in members)
        cached = sum(member[1] for member in members)
        rows[i] = 1.0, new, sum(n * (n + c) for n, c in members), cached
        attended = sum(attention_pairs(n, c) for n, c in members)
        times[i] = pass_time_ns(server, pass_ns, new, cached, attended, len(members))
    scale = np.abs(rows).max(axis=0)
    scale[scale == 0] = 1.0
    solution = np.linalg.lstsq(rows / scale, times, rcond=None)[0]
    return np.asarray(solution / scale, np.float64)
