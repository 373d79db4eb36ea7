"""Draw all plots of a folder of results and keep them beside the results."""

from __future__ import annotations

import io
import re
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from wisp_gym.errors import InputError
from wisp_gym.evaluation.fleets import MIX
from wisp_gym.evaluation.output import write_together
from wisp_gym.evaluation.plots import bars, capacities, grid, loads
from wisp_gym.evaluation.plots.results import Results, read_results
from wisp_gym.evaluation.plots.style import RC

FOLDER = "plots"
METADATA = {"pdf": {"CreationDate": None, "ModDate": None}, "png": {"Software": None}}
"""No dates and versions in the files: the same results give the same bytes."""


def draw(folder: Path) -> list[str]:
    """Draw the plots of a folder of results, PDF and PNG, into its folder `plots/`, and return their names.

    :param folder: what evaluate.py wrote
    :raises InputError: it holds no results, or a file that cannot be drawn
    :raises OSError: plots cannot be written
    """
    with matplotlib.rc_context(RC):
        made = figures(folder)
        files = {f"{name}.{form}": _bytes(made[name], form) for name in made for form in METADATA}
    write_together(folder / FOLDER, files)
    return list(made)


def figures(folder: Path) -> dict[str, Figure]:
    """Return the plots of a folder of results, by name.

    :raises InputError: it holds no results, or a file that cannot be drawn
    """
    made: dict[str, Figure] = {}
    with matplotlib.rc_context(RC):
        for results in read_results(folder):
            try:
                made |= KINDS.get(results.source, _loads)(results)
            except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError) as error:
                # The rows are not what evaluate.py writes: a column or a number is missing.
                told = f"cannot be drawn: {type(error).__name__}: {error}"
                raise InputError(f"{folder / results.source}: {told}") from error
    return made


def _comparison(results: Results) -> dict[str, Figure]:
    """Return the plots of a comparison."""
    return {
        "goodput": bars.goodput(results),
        "class-attainment": bars.class_attainment(results),
        "time-parts": bars.time_parts(results),
        "time-between-tokens": bars.time_between_tokens(results),
        "wdt-vi": bars.waste_and_interference(results),
    }


def _loads(results: Results) -> dict[str, Figure]:
    """Return the plots of a sweep of loads or of capacities."""
    main = loads.main_fleet(results)
    made = {
        "load-time-parts": loads.time_parts(results, main),
        "load-time-between-tokens": loads.time_between_tokens(results, main),
        "load-wdt-vi": loads.waste_and_interference(results, main),
    }
    for fleet in results.fleets:
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", fleet)
        made[f"load-goodput-{slug}"] = loads.goodput(results, fleet)
        made[f"load-attainment-{slug}"] = loads.attainment(results, fleet)
    if main == MIX:
        made["load-class-attainment"] = loads.class_attainment(results, main)
    alone = [fleet for fleet in results.fleets if fleet != MIX]
    if len(alone) > 1:
        made["load-alone-attainment"] = loads.alone_attainment(results, alone)
    return made | ({"capacity": capacities.capacity(results)} if results.capacities else {})


KINDS = {"metrics.csv": _comparison, "grid.csv": grid.heat_maps}
"""How the rows of a file are drawn; all others are of several loads."""


def _bytes(made: Figure, form: str) -> bytes:
    """Return a figure as a file."""
    file = io.BytesIO()
    made.savefig(file, format=form, metadata=METADATA[form])
    return file.getvalue()
