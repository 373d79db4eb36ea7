"""Section `sled`: from SLED to WISP one part at a time: batch size, padding, waiting, drafting, order."""

from __future__ import annotations

from typing import Any

from benchmarks.paper.cells import over
from benchmarks.paper.policies import resolve, variant
from benchmarks.paper.targets import RATES_TPS, TIGHTEST
from benchmarks.paper.work import Work


def steps(max_batch: int) -> list[tuple[str, str]]:
    """Return what changes and the policy that has it, from SLED to WISP.

    :param max_batch: the engine's limit, requests
    """
    whole = {"scheduler__static_size": max_batch}
    drafter = resolve("sled").drafter
    plain = {
        f"drafter__{name}": value for name, value in (("ahead", False),) if getattr(drafter, name, False)
    }
    return [
        ("SLED, static batches", "sled"),
        ("batches up to the engine's limit", variant("sled", **whole)),
        ("no padding", variant("sled", **whole, scheduler__padded=False)),
        ("no waiting for a full batch", variant("sled", scheduler__kind="fcfs", scheduler__padded=False)),
        *(
            [("no drafting ahead", variant("sled", scheduler__kind="fcfs", scheduler__padded=False, **plain))]
            if plain
            else []
        ),
        ("WISP's drafting", variant("wisp", scheduler__kind="fcfs")),
        ("WISP's scheduler: WISP", "wisp"),
    ]


def run(work: Work) -> dict[str, Any]:
    """Measure the capacity of the tightest class, and the goodput, after every step."""
    listed = steps(work.scenario.server.max_batch)
    names = [name for _, name in listed]
    found = work.variants("sled", {"": work.scenario}, names, work.near_reference(), RATES_TPS[-1:])[""]
    capacity = {name: found[name, TIGHTEST] for _, name in listed}
    whole = over(capacity["wisp"].value, capacity["sled"].value)
    records, before = [], capacity["sled"].value
    for label, name in listed:
        value = capacity[name].value
        records.append(
            {
                "step": label,
                "policy": name,
                "capacity_devices": value,
                "low": capacity[name].low,
                "high": capacity[name].high,
                "factor": over(value, before),
                "goodput_tps": found[name, "goodput"].value,
            }
        )
        before = value
    return {"seeds": len(work.few), "column": TIGHTEST, "ratio": whole, "steps": records}
