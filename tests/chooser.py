"""Where random cases take their decisions from: a plain seed, or hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

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
        """Return one of 41 evenly spaced numbers, both ends included."""
        return round(low + (high - low) * self.integer(0, 40) / 40, 6)

    def chance(self, percent: int) -> bool:
        """Return True in so many of 100 cases; hypothesis shrinks towards False."""
        return self.integer(0, 99) >= 100 - percent
