"""The published figures: WISP (arXiv 2601.11652), Qwen3-32B on one A100 80GB.

The tables are as readers of the full paper (v2) noted them; their ratios give the abstract's headlines.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.paper.cells import GOODPUT, Figures, column_of

SOURCE = "arXiv 2601.11652"
SYSTEMS = ("wisp", "centralized", "sled")
RATES_TPS = (2.0, 4.0, 6.0, 8.0)
TIGHTEST = column_of(RATES_TPS[-1])
"""The class of the headline capacities: where the paper's ratios are highest."""

CAPACITY_DEVICES: Mapping[str, tuple[int, ...]] = {
    "wisp": (164, 142, 103, 86),
    "centralized": (97, 80, 54, 41),
    "sled": (83, 42, 27, 21),
}
"""Most devices of one class served at once, by system, for `RATES_TPS`."""

GOODPUT_TPS: Mapping[str, float] = {"wisp": 631.86, "centralized": 326.12, "sled": 170.82}
"""System goodput, tokens/s."""

HEADLINES: Mapping[tuple[str, str], float] = {
    ("capacity", "centralized"): 2.1,
    ("capacity", "sled"): 4.1,
    ("goodput", "centralized"): 1.94,
    ("goodput", "sled"): 3.7,
}
"""The abstract's "up to": WISP's figure over that of another system."""


def targets() -> Figures:
    """Return the 15 published cells: devices of each class, tokens/s of the mix."""
    cells = {
        (system, column_of(rate)): float(devices)
        for system, capacities in CAPACITY_DEVICES.items()
        for rate, devices in zip(RATES_TPS, capacities, strict=True)
    }
    return cells | {(system, GOODPUT): tps for system, tps in GOODPUT_TPS.items()}
