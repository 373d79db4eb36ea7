"""Section `predictions`: other targets and GPUs, with the same parameters; nothing published to compare."""

from __future__ import annotations

from typing import Any

from benchmarks.paper.cells import MIX, figures, records
from benchmarks.paper.ratios import compared
from benchmarks.paper.servers import on_server, pass_s
from benchmarks.paper.targets import SYSTEMS
from benchmarks.paper.work import Guess, Work

SERVERS = {
    "qwen3-14b-a100x1": "qwen3-0.6b-qwen3-14b",
    "llama-3-70b-a100x4": "llama-3.2-1b-llama-3-70b",
    "llama-3-70b-h100x4": "llama-3.2-1b-llama-3-70b",
}
"""Server profiles and the pairs that fit them. The paper names the models, not the GPUs of the larger one."""


def run(work: Work) -> dict[str, Any]:
    """Measure the table on every server."""
    servers = dict(list(SERVERS.items())[:1]) if work.brief else SERVERS
    variants = {name: on_server(work.scenario, name, pair) for name, pair in servers.items()}
    found = work.variants("predictions", variants, SYSTEMS, _faster(work))
    return {
        "seeds": len(work.few),
        "servers": [
            {
                "server": name,
                "acceptance": servers[name],
                "kv_tokens": variants[name].kv_tokens,
                "cells": records({key: cell for key, cell in cells.items() if key[1] != MIX}),
                "ratios": [
                    {"name": record["name"], "ours": record["ours"]} for record in compared(figures(cells))
                ],
            }
            for name, cells in found.items()
        ],
    }


def _faster(work: Work) -> Guess:
    """Return a guess: the reference's capacity, as much larger as a pass is shorter."""
    base = pass_s(work.scenario.server.profile)
    near = work.near_reference()
    return lambda variant, system, column: near("", system, column) * base / pass_s(variant)
