"""Profiled batches of a server: which ones, and how long they take, noise included, as in a profile run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym.estimation.fit import FITTED, PROFILED, Errors, errors_of, fit, split
from wisp_gym.world.rng import bits, key
from wisp_gym.world.server import attention_pairs, pass_time_ns

FloatArray = npt.NDArray[np.float64]

Member = tuple[int, int]
"""New and cached tokens of a request."""

COLD_EVERY = 10
"""One member in so many is cold in the served design."""

LONGEST_DRAFT = 9
"""Most new tokens of a warm member: the last committed token and a draft of 8."""

_SERVED_SEED, _WIDE_SEED, _NOISE_SEED = 0x57495350, 0x57494445, 0x4E4F4953

WIDE_NEW = 128
"""Most new tokens of a request in the wide design."""

WIDE_CACHED = 2048
"""Most cached tokens of a request in the wide design."""


@dataclass(frozen=True)
class Batches:
    """Batches with their times.

    :param sums: 1, sum(new), sum(new * (new + cached)), sum(cached)  # (batches, 4)
    :param times_ns: of each  # (batches,)
    """

    sums: FloatArray
    times_ns: FloatArray

    def part(self, which: npt.NDArray[np.int64]) -> Batches:
        """Return some of the batches."""
        return Batches(self.sums[which], self.times_ns[which])

    def fit_and_test(self, fitted: int | None = None) -> tuple[FloatArray, Errors]:
        """Return c0..c3 (ns) fitted to the first part of the split, and their errors on the other.

        :param fitted: batches in the fit; None: the paper's share
        """
        ours, held_out = split(len(self.times_ns), fitted)
        coefficients = fit(self.sums[ours], self.times_ns[ours])
        return coefficients, errors_of(coefficients, self.sums[held_out], self.times_ns[held_out])


def sums_of(members: Sequence[Member]) -> tuple[float, float, float, float]:
    """Return what the estimator reads of a batch."""
    new = float(sum(n for n, _ in members))
    return 1.0, new, float(sum(n * (n + c) for n, c in members)), float(sum(c for _, c in members))


def _below(draw: np.uint64, i: int, bound: int) -> int:
    """A number of 0..bound-1."""
    return int(bits(draw, i)) % bound


def served_design(max_batch: int, max_new: int, context: int, count: int = PROFILED) -> list[list[Member]]:
    """Return batches like those that a verifier serves: any number of requests up to the engine's limit, nine
    in ten warm with 1 to 9 new tokens, the others cold.

    :param max_batch: engine limit on requests; :param max_new: on new tokens
    :param context: typical context of a session, tokens; contexts are uniform on 1 to twice that
    :param count: how many
    """
    batches = []
    for i in range(count):
        draw = np.uint64(key(_SERVED_SEED, 0, 0, i))
        room, members = max_new, []
        for m in range(1 + _below(draw, 0, max_batch)):
            length = 1 + _below(draw, 3 * m + 1, 2 * context)
            cold = _below(draw, 3 * m + 2, COLD_EVERY) == 0
            # a long prompt goes in chunks of half of what a pass takes
            new = min(length, (max_new + 1) // 2) if cold else 1 + _below(draw, 3 * m + 3, LONGEST_DRAFT)
            if new > room:
                break
            members.append((new, 0 if cold else length))
            room -= new
        batches.append(members)
    return batches


def wide_design(max_batch: int, max_new: int, count: int = PROFILED) -> list[list[Member]]:
    """Return batches of like requests over the whole range: 1 to `max_batch` requests, each with 1 to 128 new
    tokens (log-uniform) on 0 to 2,048 cached ones (uniform).

    :param max_batch: most requests; :param max_new: most new tokens of a batch; :param count: how many
    """
    batches = []
    for i in range(count):
        draw = np.uint64(key(_WIDE_SEED, 0, 0, i))
        requests = 1 + _below(draw, 0, max_batch)
        new = int(WIDE_NEW ** (_below(draw, 1, 1 << 20) / (1 << 20)))
        cached = _below(draw, 2, WIDE_CACHED + 1)
        batches.append([(min(new, max_new // requests), cached)] * requests)
    return batches


def profiled(
    server: Any, pass_ns: FloatArray, noise: FloatArray, design: Sequence[Sequence[Member]]
) -> Batches:
    """Return the batches of a design as a profile run on a server would find them, noise included.

    :param server: a SERVER record; :param pass_ns: its g(S); :param noise: equally likely factors on a time
    """
    times = np.empty(len(design))
    for i, members in enumerate(design):
        attended = sum(attention_pairs(n, c) for n, c in members)
        new, cached = sum(n for n, _ in members), sum(c for _, c in members)
        factor = noise[_below(np.uint64(key(_NOISE_SEED, 0, 0, 0)), i, len(noise))]
        times[i] = factor * pass_time_ns(server, pass_ns, new, cached, attended, len(members))
    return Batches(np.array([sums_of(members) for members in design]), times)


def fit_estimator(
    server: Any, pass_ns: FloatArray, noise: FloatArray, context: int
) -> tuple[FloatArray, Errors]:
    """Fit the estimator to a server under a scenario's limits: 173 batches of the served design, 123 of them
    fitted, 50 held out.

    :param server: a SERVER record; :param pass_ns: its g(S); :param noise: equally likely factors on a time
    :param context: typical context of a session, tokens
    :return: c0..c3, ns  # (4,); the errors on the 50
    """
    design = served_design(int(server["max_batch"]), int(server["max_new"]), max(context, 1))
    return profiled(server, pass_ns, noise, design).fit_and_test(FITTED)
