"""When the sessions of an arrival profile begin: the rate of arrivals under which the expected number of
sessions follows the profile.

A session is *nominally* there from its arrival for length / rate seconds, whatever a controller does.
Arrivals are Poisson with a rate that changes over time, so the expected nominal concurrency at time t is the
integral of rate(s) P(duration > t - s) over s < t: the rate, smoothed by the durations. The rate "concurrency
over mean duration" would therefore cut the peaks off and fill the valleys. Here the integral is inverted: the
rate is constant in cells of STEP_S, and each cell's is the one that meets the profile at the cell's end. It
follows from what came before alone, so a longer horizon changes nothing earlier. A profile that falls faster
than sessions end would need a negative rate and is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from wisp_gym.errors import InputError
from wisp_gym.scenario.schema import LogNormal, ScenarioFile, Workload

FloatArray = NDArray[np.float64]

STEP_S = 0.25
"""Length of a cell; the profile is met exactly at its multiples, and sessions last for tens of seconds."""

LONGEST_SOLVE_S = 60.0
CELL_S, STAY_S = 3e-6, 1e-9
"""What solving takes, about: a time for each cell, and one for each pair of cells that a session spans."""

MARGIN_SD = 6.0
"""Standard deviations of the number of arrivals for which `fleet.devices` must leave room."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Intensity:
    """Expected arrivals since the start of a profile, at each multiple of STEP_S.

    Between two of them arrivals are equally likely at any time.
    """

    expected: FloatArray  # (cells + 1,) not decreasing, from 0

    @property
    def end_s(self) -> float:
        """Up to when it is known, s."""
        return STEP_S * (len(self.expected) - 1)

    def at(self, time_s: float) -> float:
        """Return the expected number of arrivals before a time, s."""
        return float(np.interp(time_s, self._grid(), self.expected))

    def when(self, count: FloatArray) -> FloatArray:
        """Return when so many arrivals are expected, s.

        :param count: expected arrivals, not decreasing  # (n,)
        """
        return np.asarray(np.interp(count, self.expected, self._grid()), np.float64)

    def _grid(self) -> FloatArray:
        return _multiples(len(self.expected))


def _multiples(count: int) -> FloatArray:
    """Return the first multiples of STEP_S, from 0.  # (count,)"""
    return STEP_S * np.arange(count, dtype=np.float64)


def peak_sessions(workload: Workload) -> float:
    """Return the profile's greatest nominal concurrency, sessions."""
    return workload.scale * max((sessions for _, sessions in workload.concurrency), default=0.0)


def profile_end_s(workload: Workload) -> float:
    """Return the time of the profile's last point, s; from there on it stays at its last value."""
    return workload.concurrency[-1][0] if workload.concurrency else 0.0


def nominal_concurrency(workload: Workload, time_s: FloatArray) -> FloatArray:
    """Return the profile at some times, sessions.

    :param time_s: since the profile's start  # (n,)
    """
    times, sessions = zip(*workload.concurrency, strict=True)
    return np.asarray(workload.scale * np.interp(time_s, times, sessions), np.float64)


def mean_time_so_far(file: ScenarioFile, time_s: FloatArray) -> FloatArray:
    """Return E[min(duration, t)], s: how long a session has nominally been there a time t after its arrival.

    It is the integral of P(duration > s) over s < t. A duration is the output length over the rate of the
    session's class, over the classes by their shares.

    :param time_s: times t, s  # (n,)
    """
    ends = length_survival(file.workload.output_tokens)
    tokens = np.arange(len(ends) + 1)
    reached = np.concatenate([[0.0], np.cumsum(ends)])  # E[min(length, l)], tokens
    total = np.zeros(len(time_s))
    for rate, share in zip(file.classes.rates_tps, file.classes.shares, strict=True):
        total += share / rate * np.interp(time_s * rate, tokens, reached)
    return total


def length_survival(law: LogNormal) -> FloatArray:
    """Return P(output length > l) for l from 0 to the longest less one; lengths are rounded draws.  # (n,)

    :param law: of the output length, tokens
    """
    longest = max(1, math.floor(law.max + 0.5))
    return np.array([1.0] + [1.0 - _below(law, length + 0.5) for length in range(1, longest)])


def _below(law: LogNormal, value: float) -> float:
    """Return P(draw < value) of a clipped log-normal law."""
    if value > law.max or value <= law.min:
        return 1.0 if value > law.max else 0.0
    if law.sigma == 0:
        return 1.0 if value > law.median else 0.0
    return NormalDist().cdf(math.log(value / law.median) / law.sigma)


def solve(file: ScenarioFile, end_s: float) -> Intensity:
    """Return the arrivals under which the expected nominal concurrency is the profile, up to a time.

    :param file: a scenario with a profile
    :param end_s: up to when, s; rounded up to a cell
    :raises InputError: a profile that falls faster than sessions end, or one too long to work out
    """
    cells = max(1, math.ceil(end_s / STEP_S))
    grid_s = _multiples(cells + 1)
    wanted = nominal_concurrency(file.workload, grid_s[1:])
    # Sessions there at a cell's end, of those that came so many cells before at a rate of one a second.
    stays = np.diff(mean_time_so_far(file, grid_s))
    stays = stays[: max(1, int(np.count_nonzero(stays)))]
    if cells * (CELL_S + STAY_S * len(stays)) > LONGEST_SOLVE_S:
        raise InputError(
            f"horizon_s = {file.horizon_s:g}: the arrivals of so long a profile with sessions of up to "
            f"{STEP_S * len(stays):g} s take too long to work out; allowed: less of either"
        )
    held = np.zeros(cells + len(stays))
    rate = np.empty(cells)
    allowed = _ROUNDING * (1.0 + peak_sessions(file.workload))
    for i in range(cells):
        missing = wanted[i] - held[i]
        if missing < -allowed:
            raise _too_steep(grid_s[i + 1], wanted[i], held[i])
        rate[i] = max(missing, 0.0) / stays[0]
        held[i : i + len(stays)] += rate[i] * stays
    return Intensity(np.concatenate([[0.0], np.cumsum(STEP_S * rate)]))


def _too_steep(time_s: float, wanted: float, held: float) -> InputError:
    return InputError(
        f"workload.concurrency: {wanted:.1f} sessions at {time_s:g} s: falls faster than sessions end, must "
        f"be at least {held:.1f} there (the sessions already begun)"
    )


def check_arrivals(file: ScenarioFile) -> None:
    """Check that a profile can be met and that the fleet has room for its arrivals.

    :raises InputError: a profile that falls too fast, or more arrivals than `fleet.devices` allows
    """
    intensity = solve(file, max(profile_end_s(file.workload), file.horizon_s))
    expected = intensity.at(file.horizon_s)
    room = math.ceil(expected + MARGIN_SD * math.sqrt(expected))
    if room > file.fleet.devices:
        raise InputError(
            f"fleet.devices = {file.fleet.devices}: each arrival has its own device and {expected:.0f} are "
            f"expected before horizon_s = {file.horizon_s:g}, must be at least {room}"
        )
