"""Stored results as plots need them: rows, class rates, capacities."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from wisp_gym._files import read_bytes
from wisp_gym._json import parse_json
from wisp_gym.errors import InputError
from wisp_gym.evaluation.fleets import MIX, class_name
from wisp_gym.evaluation.output import unsealed
from wisp_gym.evaluation.statistics import Estimate, mean
from wisp_gym.evaluation.summary import CLASSES, pooled

SOURCES = ("metrics.csv", "loads.csv", "capacity.csv", "grid.csv")
"""What is drawn: a comparison, a sweep of loads, a study of capacities, a grid of pairs."""

MAX_BYTES = 256 << 20
MOST_COLUMNS = 1000


@dataclass(frozen=True, eq=False)
class Results:
    """Rows of one of the files that an evaluation writes.

    :param source: the file's name
    :param rows: one a fleet, policy, size and seed
    :param rates_tps: of the SLO classes, loosest first
    :param capacities: entries of capacity.json; none of other results
    """

    source: str
    rows: pd.DataFrame
    rates_tps: tuple[float, ...]
    capacities: tuple[dict[str, Any], ...] = ()

    @property
    def policies(self) -> list[str]:
        """Names of the policies, in order."""
        return [str(name) for name in self.rows["policy"].unique()]

    @property
    def fleets(self) -> list[str]:
        """Names of the fleets' kinds, in order."""
        return [str(name) for name in self.rows["fleet"].unique()]

    @property
    def seeds(self) -> int:
        """How many worlds there are."""
        return int(self.rows["seed"].nunique())

    def of(self, policy: str, fleet: str | None = None) -> Results:
        """Return the rows of one policy, in one kind of fleet where one is named."""
        rows = self.rows[self.rows["policy"] == policy]
        return self._with(rows if fleet is None else rows[rows["fleet"] == fleet])

    def _with(self, rows: pd.DataFrame) -> Results:
        return Results(self.source, rows, self.rates_tps, self.capacities)

    def at(self, devices: float) -> Results:
        """Return the rows of one size."""
        return self._with(self.rows[self.rows["devices"] == devices])

    def sizes(self) -> list[float]:
        """Return the fleet sizes, ascending."""
        return sorted(float(size) for size in self.rows["devices"].unique())

    def values(self, name: str) -> list[float]:
        """Return a metric of every row."""
        return [float(value) for value in self.rows[name]]

    def pooled(self, name: str) -> float:
        """Return a metric over the seeds: of ratios the ratio of sums."""
        return pooled(name, self.values)

    def estimate(self, name: str) -> Estimate:
        """Return a metric's mean over the seeds and its interval."""
        return mean(self.values(name))

    def worst_class(self) -> Estimate:
        """Return the attainment of the class where its mean over the seeds is lowest."""
        found = [self.estimate(f"attainment_class_{number}") for number in CLASSES]
        return min((one for one in found if one.seeds), key=lambda one: one.value)

    def parts_s(self) -> dict[str, float]:
        """Return where the time goes, s per committed token: drafting kept and wasted, and the rest."""
        parts = {name: self.pooled(f"{name}_per_token_s") for name in ("draft", "network", "queue", "verify")}
        waste = self.pooled("wdt_per_token_s")
        return parts | {"waste": waste, "draft": max(0.0, parts["draft"] - waste)}

    def curve(self, figure_of: Callable[[Results], Estimate]) -> npt.NDArray[np.float64]:
        """Return size, value, low and high of a figure at every size.  # (4, sizes)"""
        points = [(size, figure_of(self.at(size))) for size in self.sizes()]
        return np.array([(size, one.value, one.low, one.high) for size, one in points]).T

    def classes(self) -> list[tuple[int, str]]:
        """Return number and name of the classes that have devices in any row."""
        return [
            (number, class_name(rate))
            for number, rate in enumerate(self.rates_tps, 1)
            if not self.rows[f"attainment_class_{number}"].isna().all()
        ]


def read_results(folder: Path) -> list[Results]:
    """Return what a folder of results holds: a comparison, a sweep, capacities.

    :raises InputError: it holds none, or a file is not what evaluate.py writes
    """
    there = [name for name in SOURCES if (folder / name).is_file()]
    if not there or not (folder / "manifest.json").is_file():
        raise InputError(
            f"{folder}: no results to draw: must hold manifest.json and one of {', '.join(SOURCES)}"
        )
    why = unsealed(folder)
    if why is not None:
        raise InputError(f"{folder}: {why}; the results are no whole set: run evaluate.py again")
    return [_read(folder, name) for name in there]


def _read(folder: Path, name: str) -> Results:
    """Return the results of one file."""
    try:
        manifest = _json(folder / "manifest.json")
        rates = tuple(float(rate) for rate in manifest["scenario"]["classes"]["rates_tps"])
        content = io.BytesIO(read_bytes(folder / name, MAX_BYTES, "a CSV file"))
        rows = pd.read_csv(content, dtype={"policy": str, "controller": str, "fleet": str})
        _check(rows)
        if "fleet" not in rows:
            rows.insert(0, "fleet", MIX)
        entries = _json(folder / "capacity.json")["capacities"] if "cap" in name else []
    except InputError:
        raise
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"{folder / name}: cannot be drawn: {type(error).__name__}: {error}") from None
    return Results(name, rows, rates, tuple(entries))


def _json(path: Path) -> Any:
    """Return what a JSON file of the results holds."""
    return parse_json(read_bytes(path, MAX_BYTES, "a JSON file"), str(path), not_finite=True)


def _check(rows: pd.DataFrame, needed: Sequence[str] = ("policy", "seed", "devices", "goodput_tps")) -> None:
    """Refuse rows without what every plot needs."""
    missing = [name for name in needed if name not in rows]
    if missing or rows.empty:
        raise ValueError(f"no column {missing[0]!r}" if missing else "no rows")
    if len(rows.columns) > MOST_COLUMNS:
        raise ValueError(f"{len(rows.columns)} columns")
