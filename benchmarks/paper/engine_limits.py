"""Section `limits`: every system's capacities and goodput at several engine limits, and where orders flip."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from benchmarks.paper.cells import Cells, records
from benchmarks.paper.targets import CAPACITY_DEVICES, RATES_TPS, SYSTEMS
from benchmarks.paper.work import Guess, Work
from wisp_gym.scenario import load

LIMITS = (8, 16, 32, 64, 128, 256)


def run(work: Work) -> dict[str, Any]:
    """Measure the table at every limit."""
    limits = LIMITS[:2] if work.brief else LIMITS
    variants = {str(limit): load(work.scenario, [f"server.max_batch={limit}"]) for limit in limits}
    found = work.variants("limits", variants, SYSTEMS, _guess(work))
    by_limit = {int(name): cells for name, cells in found.items()}
    return {
        "seeds": len(work.few),
        "limits": [{"max_batch": limit, "cells": records(cells)} for limit, cells in by_limit.items()],
        "flips": flips(by_limit),
    }


def _guess(work: Work) -> Guess:
    """Return a guess: centralized serving grows with the limit up to a point, WISP less."""
    near = work.near_reference()
    most = {"centralized": 4.0, "wisp": 1.3, "sled": 1.0}

    def guess(variant: str, system: str, column: str) -> float:
        factor = int(variant) / work.scenario.server.max_batch
        return near("", system, column) * min(max(factor, 0.5), most[system])

    return guess


def flips(by_limit: Mapping[int, Cells]) -> list[dict[str, Any]]:
    """Return, for every column and pair of systems, who is ahead at the lowest limit and where that turns."""
    limits = sorted(by_limit)
    columns = [column for system, column in by_limit[limits[0]] if system == SYSTEMS[0]]
    listed = []
    for column in columns:
        for one, other in combinations(SYSTEMS, 2):
            first = [by_limit[limit][one, column].value for limit in limits]
            second = [by_limit[limit][other, column].value for limit in limits]
            listed.append(
                {
                    "column": column,
                    "above": one,
                    "below": other,
                    "ratio": [a / b if b else None for a, b in zip(first, second, strict=True)],
                    "flips_at": crossings(limits, first, second),
                }
            )
    return listed


def crossings(limits: Sequence[int], first: Sequence[float], second: Sequence[float]) -> list[float]:
    """Return the limits at which the larger of two figures becomes the smaller.

    Between two limits the logarithm of the figures' ratio is taken to be a straight line over the limit's.

    :param limits: ascending; :param first, second: a figure at each; where one is 0 nothing is said
    """
    found = []
    for at in range(len(limits) - 1):
        ends = (first[at], second[at], first[at + 1], second[at + 1])
        if min(ends) <= 0:
            continue
        left, right = math.log(first[at] / second[at]), math.log(first[at + 1] / second[at + 1])
        if (left > 0) != (right > 0) and left != right:
            low, high = math.log(limits[at]), math.log(limits[at + 1])
            found.append(math.exp(low + (high - low) * left / (left - right)))
    return found


def holds_more_than_published(by_limit: Sequence[Mapping[str, Any]], limit: int, system: str) -> list[str]:
    """Return the classes of which a system at a limit holds more devices than the paper's WISP.

    :param by_limit: as in the result of `run`
    """
    published = {
        f"{rate:g} tok/s": devices for rate, devices in zip(RATES_TPS, CAPACITY_DEVICES["wisp"], strict=True)
    }
    for entry in by_limit:
        if entry["max_batch"] == limit:
            return [
                cell["column"]
                for cell in entry["cells"]
                if cell["system"] == system and cell["value"] > published.get(cell["column"], math.inf)
            ]
    return []
