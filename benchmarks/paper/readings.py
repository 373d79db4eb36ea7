"""Section `readings`: choices that are no fitted numbers, each undone alone; assumed lengths moved."""

from __future__ import annotations

from typing import Any, NamedTuple

from benchmarks.paper.cells import Cells
from benchmarks.paper.sensitivity import described, replaced
from benchmarks.paper.targets import SYSTEMS
from benchmarks.paper.work import Work
from wisp_gym.scenario import load


class Reading(NamedTuple):
    """Another choice.

    what: in words
    overrides: of the scenario
    policies: names of policies in place of a system's
    """

    what: str
    overrides: tuple[str, ...] = ()
    policies: tuple[tuple[str, str], ...] = ()


READINGS = (
    Reading("no flow control", ("workload.lead_s=null",)),
    Reading("KV memory of 33,000 tokens, as public runs show", ("server.kv_tokens=33000",)),
    Reading("vLLM's default block of 16", ("server.block=16",)),
    Reading("sessions keep every token (block of 1)", ("server.block=1",)),
    Reading("deadlines on the session's timeline", (), (("wisp", "wisp:deadline=timeline"),)),
    Reading("late requests first", (), (("wisp", "wisp:late=urgent"),)),
    Reading("late requests as written", (), (("wisp", "wisp:late=literal"),)),
    Reading("WISP's margin of two passes", (), (("wisp", "wisp:margin=0.1"),)),
    Reading("suspect tokens dropped", (), (("wisp", "wisp:suspect=drop"),)),
    Reading("admission for what a session has", (), (("centralized", "centralized:grow"),)),
    Reading("prompts 20 % shorter", ("workload.prompt_tokens.median=80",)),
    Reading("prompts 20 % longer", ("workload.prompt_tokens.median=120",)),
    Reading("outputs 20 % shorter", ("workload.output_tokens.median=96",)),
    Reading("outputs 20 % longer", ("workload.output_tokens.median=144",)),
)


def run(work: Work) -> dict[str, Any]:
    """Measure the table under every other reading, and say how the result moves."""
    chosen = READINGS[:1] + READINGS[4:5] if work.brief else READINGS
    found = _of_scenarios(work, chosen) | _of_policies(work, chosen)
    entries = [
        {"what": one.what, "cells": _short(found[one.what]), **described(found[one.what])} for one in chosen
    ]
    return {"seeds": len(work.few), "reference": described(work.reference()), "readings": entries}


def _of_scenarios(work: Work, chosen: tuple[Reading, ...]) -> dict[str, Cells]:
    """Measure all systems where the scenario changes."""
    variants = {one.what: load(work.scenario, list(one.overrides)) for one in chosen if one.overrides}
    return dict(work.variants("readings-scenario", variants, SYSTEMS, work.near_reference()))


def _of_policies(work: Work, chosen: tuple[Reading, ...]) -> dict[str, Cells]:
    """Measure the changed system alone where a policy changes; the others are those of the reference."""
    names = [name for one in chosen for _, name in one.policies]
    if not names:
        return {}
    found = work.variants("readings-policies", {"": work.scenario}, names, work.near_reference())[""]
    return {one.what: replaced(work.reference(), found, dict(one.policies)) for one in chosen if one.policies}


def _short(cells: Cells) -> list[dict[str, Any]]:
    """Return the cells' values."""
    return [
        {"system": system, "column": column, "value": cell.value} for (system, column), cell in cells.items()
    ]
