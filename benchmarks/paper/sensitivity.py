"""Section `sensitivity`: every calibrated parameter, and KV memory, by 20 % down and up, one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.paper.cells import Cells, deviations, figures, summary
from benchmarks.paper.parameters import Parameter, calibrated, moved
from benchmarks.paper.ratios import headlines
from benchmarks.paper.targets import SYSTEMS, targets
from benchmarks.paper.work import Work
from wisp_gym.scenario import load

FACTORS = (0.8, 1.2)


def run(work: Work) -> dict[str, Any]:
    """Measure the table with every calibrated parameter moved, and say how the result moves."""
    parameters = calibrated()[:2] if work.brief else moved()
    moves = [(one, one.scaled(work.scenario, factor)) for one in parameters for factor in FACTORS]
    reference = work.reference()
    of_scenario = _scenarios(work, [move for move in moves if not move[0].of_policy])
    of_policies = _policies(work, [move for move in moves if move[0].of_policy])
    measured = of_scenario | of_policies
    return {
        "seeds": len(work.few),
        "reference": described(reference),
        "moves": [
            {
                "parameter": one.place,
                "from": one.value(work.scenario),
                "to": value,
                **described(measured[_name(one, value)]),
            }
            for one, value in moves
        ],
    }


def described(cells: Cells) -> dict[str, Any]:
    """Return headline ratios and how far the cells are from the published ones, in short."""
    ours = figures(cells)
    short = summary(deviations(ours, targets()).values())
    kept = {name: short[name] for name in ("max_deviation", "median_deviation")}
    return {"headlines": headlines(ours), **kept}


def _name(parameter: Parameter, value: float) -> str:
    """Return a move's name."""
    return f"{parameter.place}={value:g}"


def _scenarios(work: Work, moves: list[tuple[Parameter, float]]) -> dict[str, Cells]:
    """Measure all systems where the scenario changes."""
    variants = {_name(one, value): load(work.scenario, one.changed(value)[0]) for one, value in moves}
    if not variants:
        return {}
    return dict(work.variants("sensitivity-scenario", variants, SYSTEMS, work.near_reference()))


def _policies(work: Work, moves: list[tuple[Parameter, float]]) -> dict[str, Cells]:
    """Measure the changed system alone where a policy changes; the others are those of the reference."""
    renamed = {_name(one, value): one.changed(value)[1] for one, value in moves}
    names = [name for changes in renamed.values() for name in changes.values()]
    if not names:
        return {}
    found = work.variants("sensitivity-policies", {"": work.scenario}, names, work.near_reference())[""]
    return {move: replaced(work.reference(), found, changes) for move, changes in renamed.items()}


def replaced(reference: Cells, found: Cells, changes: Mapping[str, str]) -> Cells:
    """Return the reference's cells with those of changed systems replaced."""
    return {
        (system, column): found[changes[system], column] if system in changes else cell
        for (system, column), cell in reference.items()
    }
