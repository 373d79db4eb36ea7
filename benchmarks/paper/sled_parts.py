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
    whole: dict[str, object] = {"scheduler__static_size": max_batch}
    at_once: dict[str, object] = {"scheduler__kind": "fcfs", "scheduler__padded": False}
    listed = [
        ("SLED, static batches", "sled"),
        ("batches up to the engine's limit", variant("sled", **whole)),
        ("no padding", variant("sled", **whole, scheduler__padded=False)),
        ("no waiting for a full batch", variant("sled", **at_once)),
    ]
    if plain := _waits_for_its_answer(resolve("sled").drafter):
        listed.append(("no drafting ahead, no time-out", variant("sled", **at_once, **plain)))
    return [
        *listed,
        ("WISP's drafting", variant("wisp", scheduler__kind="fcfs")),
        ("WISP's scheduler: WISP", "wisp"),
    ]


def _waits_for_its_answer(drafter: object) -> dict[str, object]:
    """Return the settings under which a drafter does nothing while it waits; none where it has no other."""
    active = {"ahead": False, "timeout_s": None}
    return {f"drafter__{name}": off for name, off in active.items() if getattr(drafter, name, off) != off}


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
