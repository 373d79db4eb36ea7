"""A network: the distribution of its round-trip time, and how it hangs together over time."""

from __future__ import annotations

from itertools import pairwise
from statistics import NormalDist
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from wisp_gym.profiles.figures import FACTORS, Figure, Named, Profile, Series, Sourced, within

Share = Annotated[Figure, AfterValidator(within(("1",), 0.0, 1.0))]

LONGEST_RTT_S = 60.0

LEVELS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
"""Probabilities at which a distance model is turned into quantiles."""


class Quantiles(Series):
    """Quantiles of the round-trip time; probabilities from 0 (the shortest seen) to 1 (the longest)."""

    probabilities: tuple[float, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _check(self) -> Quantiles:
        if len(self.probabilities) != len(self.values):
            raise ValueError(
                f"{len(self.probabilities)} probabilities for {len(self.values)} values: must be equal"
            )
        if self.probabilities[0] != 0 or self.probabilities[-1] != 1:
            raise ValueError("probabilities must start at 0 and end at 1")
        if any(b <= a for a, b in pairwise(self.probabilities)):
            raise ValueError("probabilities must increase")
        if any(b < a for a, b in pairwise(self.values)):
            raise ValueError("values must not decrease")
        if self.values[0] < 0 or self.values[-1] <= 0 or self.unit not in ("s", "ms", "us"):
            raise ValueError("values must be times of at least 0 (s, ms or us)")
        if self.values[-1] * FACTORS[self.unit] > LONGEST_RTT_S:
            raise ValueError(f"values must be at most {LONGEST_RTT_S:g} s")
        return self


class Distance(Sourced):
    """Round-trip time linear in the distance, with normal residuals, at least half the line's value."""

    base: float = Field(gt=0)
    per_1000_km: float = Field(ge=0)
    residual_std: float = Field(ge=0)
    distance_km: float = Field(ge=0, le=20_000)

    @model_validator(mode="after")
    def _check(self) -> Distance:
        if self.unit not in ("s", "ms"):
            raise ValueError(f"unit {self.unit!r} must be s or ms")
        return self

    def quantiles(self) -> tuple[float, ...]:
        """Return the round-trip time at LEVELS, in the figure's unit."""
        middle = self.base + self.per_1000_km * self.distance_km / 1000
        scores = [NormalDist().inv_cdf(min(max(level, 1e-4), 1 - 1e-4)) for level in LEVELS]
        return tuple(max(middle / 2, middle + self.residual_std * score) for score in scores)


class NetworkProfile(Profile):
    """Round-trip time of one access network; exactly one of `rtt` and `rtt_by_distance` is given.

    autocorrelation: of the round-trip time with itself 50 ms later. uplink: its part of the round-trip time.
    """

    rtt: Quantiles | None = None
    rtt_by_distance: Distance | None = None
    autocorrelation: Share
    uplink: Share
    statistics: tuple[Named, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> NetworkProfile:
        if (self.rtt is None) == (self.rtt_by_distance is None):
            raise ValueError("exactly one of rtt and rtt_by_distance must be given")
        if self.autocorrelation.value == 1:
            raise ValueError("autocorrelation.value = 1: must be below 1")
        return self

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Probabilities float64[n] of the quantiles, from 0 to 1."""
        return np.array(self.rtt.probabilities if self.rtt else LEVELS, dtype=np.float64)

    @property
    def rtt_s(self) -> NDArray[np.float64]:
        """Round-trip time float64[n] in seconds at each of `probabilities`, not decreasing."""
        if self.rtt is not None:
            return np.array(self.rtt.values) * FACTORS[self.rtt.unit]
        assert self.rtt_by_distance is not None
        return np.array(self.rtt_by_distance.quantiles()) * FACTORS[self.rtt_by_distance.unit]

    @property
    def lag1(self) -> float:
        """Correlation of the round-trip time with itself 50 ms later."""
        return self.autocorrelation.value

    @property
    def up_share(self) -> float:
        """The uplink's share of the round-trip time."""
        return self.uplink.value
