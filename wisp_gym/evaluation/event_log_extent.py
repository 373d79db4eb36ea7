"""Which rows an evaluation has, and so which event logs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product

LONGEST_NAME = 60

RowKey = tuple[str | None, int | None, str, int]
"""Fleet, devices, policy, seed of a row; None and None in a plain comparison."""


@dataclass(frozen=True)
class Extent:
    """Which rows an evaluation has: all combinations.

    :param policies: in order; :param seeds: likewise
    :param fleets: kinds of fleets, of a sweep of loads; :param loads: their sizes
    """

    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    fleets: tuple[str, ...] = ()
    loads: tuple[int, ...] = ()

    def count(self) -> int:
        """Return how many rows there are."""
        return len(self.fleets or (None,)) * len(self.loads or (None,)) * len(self.policies) * len(self.seeds)

    def places(self) -> list[tuple[str | None, int | None]]:
        """Return (fleet, devices) of every scenario that is run; (None, None) in a plain comparison."""
        fleets: tuple[str | None, ...] = self.fleets or (None,)
        loads: tuple[int | None, ...] = self.loads or (None,)
        return list(product(fleets, loads))

    def rows(self) -> list[RowKey]:
        """Return every row, in order."""
        return [(*place, *row) for place in self.places() for row in product(self.policies, self.seeds)]

    def stem(self, fleet: str | None, devices: int | None, policy: str, seed: int) -> str:
        """Return the beginning of the names of a row's files."""
        load = "" if fleet is None else f"{_plain(fleet)}-{devices}-"
        return f"{load}{self.policies.index(policy):02d}-{_plain(policy)}-s{seed}"


def _plain(name: str) -> str:
    """Return a name fit for a file's."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:LONGEST_NAME] or "policy"
