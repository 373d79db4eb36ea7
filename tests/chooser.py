"""Where random cases take their decisions from: a plain seed, or hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

FINE = 10**6
"""Steps between the two ends of a number: what is drawn lies on no grid that could hide a rounding."""

WholeNumber = Callable[[int, int], int]
"""Returns a whole number of low to high, both included."""


def seeded(*seed: int) -> Draw:
    """Return decisions from a generator; the same for the same seed everywhere."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(seed))))
    return Draw(lambda low, high: int(generator.integers(low, high, endpoint=True)))


class Draw:
    """What the descriptions of cases draw with.

    :param integer: source of whole numbers
    """

    def __init__(self, integer: WholeNumber) -> None:
        self.integer = integer

    def choice(self, options: Sequence[T]) -> T:
        """Return one of the options; hypothesis shrinks towards the first."""
        return options[self.integer(0, len(options) - 1)]

    def number(self, low: float, high: float) -> float:
        """Return a number between two, both included, to 6 decimals."""
        return round(low + (high - low) * self.integer(0, FINE) / FINE, 6)

    def spread(self, low: float, high: float) -> float:
        """Return a number between two above 0; each factor is as likely, and so are small ones."""
        return round(low * (high / low) ** (self.integer(0, FINE) / FINE), 6)

    def size(self, low: int, high: int) -> int:
        """Return a whole number between two above 0, both included, small ones more often: odd or even."""
        return min(high, int(low * ((high + 1) / low) ** (self.integer(0, FINE) / FINE)))

    def chance(self, percent: int) -> bool:
        """Return True in so many of 100 cases; hypothesis shrinks towards False."""
        return self.integer(0, 99) >= 100 - percent
