"""Section `dip-sd`: everything under the slower law of passes that DiP-SD (arXiv 2604.20919) fitted."""

from __future__ import annotations

from typing import Any

from benchmarks.paper.capacity_table import described
from benchmarks.paper.servers import on_server
from benchmarks.paper.targets import SYSTEMS
from benchmarks.paper.work import Work

SERVER = "qwen3-32b-a100x1-dip-sd"
OTHERS = ("wisp:deadline=timeline", "predictor+fcfs")
"""Shown beside the systems: with long passes it decides how a deadline is read, and whether there is one."""


def run(work: Work) -> dict[str, Any]:
    """Measure the table with passes of 95 ms and 2.9 ms a request of five drafted tokens."""
    variant = on_server(work.scenario, SERVER)
    policies = (*SYSTEMS, *OTHERS)
    cells = work.variants("dip-sd", {SERVER: variant}, policies, work.near_reference(0.5))[SERVER]
    return {"seeds": len(work.few), "server": SERVER} | described(cells)
