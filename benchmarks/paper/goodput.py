"""System goodput beside what the capacities ask for: says whether a system is bound by tokens per second."""

from __future__ import annotations

from typing import Any

from benchmarks.paper.cells import Figures, column_of
from benchmarks.paper.targets import RATES_TPS, SYSTEMS, targets


def demand(cells: Figures) -> list[dict[str, Any]]:
    """Return capacity x rate of every class, tokens/s, ours and the published: constant where the server's
    tokens per second bind, falling towards the loose classes where memory or slots do.

    :param cells: ours, by system and column
    """
    published = targets()
    listed = []
    for system in SYSTEMS:
        rates = [rate for rate in RATES_TPS if (system, column_of(rate)) in cells]
        listed.append(
            {
                "system": system,
                "rates_tps": rates,
                "ours_tps": [rate * cells[system, column_of(rate)] for rate in rates],
                "paper_tps": [rate * published[system, column_of(rate)] for rate in rates],
            }
        )
    return listed
