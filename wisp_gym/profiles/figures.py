"""What profiles are made of: numbers that say their unit, their source and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from wisp_gym._validation import Checked

Name = Annotated[str, Field(min_length=1, max_length=80)]
Status = Literal["measured", "reported", "composed", "assembled", "estimated"]

FLAGGED: tuple[Status, ...] = ("assembled", "estimated")
"""Statuses that readers are warned of: put together from parts, or a guess."""

FACTORS = {
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "ns": 1e-9,
    "tok/s": 1.0,
    "tokens": 1.0,
    "W": 1.0,
    "1": 1.0,
    "TFLOP/s": 1e12,
}
"""Factors from a figure's unit to the unit used in code (seconds, tokens, watts, FLOP/s)."""


class Source(Checked):
    """Where figures come from.

    title: what it is called.
    address: a URL, DOI, arXiv number or repository with commit.
    licence: of the source.
    """

    title: str = Field(min_length=1)
    address: str = Field(min_length=1)
    licence: Name


class Cited(Checked):
    """What every figure carries beside its value and unit.

    source: a key of sources.yaml or of the profile's own `sources`.
    status: `measured` (a published whole-system figure), `reported` (by the authors of a paper), `composed`
        (summed from published kernel measurements), `assembled` (from parts of several sources), `estimated`
        (a guess with a reason).
    note: what a reader has to know.
    """

    source: Name
    status: Status
    note: str | None = None

    @property
    def flagged(self) -> bool:
        """Whether the figure is put together or guessed rather than published."""
        return self.status in FLAGGED


class Sourced(Cited):
    """A cited figure with its unit."""

    unit: Name


class Figure(Sourced):
    """One number."""

    value: float

    def si(self) -> float:
        """Return the value in the unit used in code: seconds, tokens, watts."""
        return self.value * FACTORS[self.unit]


class Named(Figure):
    """One number with a name, for what has no field of its own."""

    name: Name


class Series(Sourced):
    """A list of numbers of one meaning."""

    values: tuple[float, ...] = Field(min_length=1)


class Table(Sourced):
    """Rows of numbers. `columns` name them; `unit` is that of the last column."""

    columns: tuple[Name, ...] = Field(min_length=1)
    rows: tuple[tuple[float, ...], ...]


class Profile(Checked):
    """What every profile carries: a name, a sentence, and sources beyond those of sources.yaml."""

    name: Name
    description: str = ""
    sources: dict[str, Source] = Field(default_factory=dict)

    def figures(self) -> Iterator[tuple[str, Cited]]:
        """Yield every figure of the profile with its place in the file, as in "decode.0"."""
        yield from _walk(self, "")

    def flagged(self) -> list[str]:
        """Return the places of the figures that are assembled or estimated."""
        return [place for place, figure in self.figures() if figure.flagged]


def _walk(item: object, place: str) -> Iterator[tuple[str, Cited]]:
    if isinstance(item, Cited):
        yield place, item
    if isinstance(item, BaseModel):
        for key in type(item).model_fields:
            yield from _walk(getattr(item, key), f"{place}.{key}".lstrip("."))
    elif isinstance(item, tuple):
        for index, part in enumerate(item):
            yield from _walk(part, f"{place}.{index}")


def time_figure(figure: Figure) -> Figure:
    """Return the figure if it is a time of at least 0; a validator.

    :raises ValueError: where the unit is no time or the value is negative
    """
    if figure.unit not in ("s", "ms", "us", "ns"):
        raise ValueError(f"unit {figure.unit!r} must be one of s, ms, us, ns")
    return at_least_zero(figure)


def at_least_zero(figure: Figure) -> Figure:
    """Return the figure if its value is at least 0 and its unit known; a validator.

    :raises ValueError: where it is not
    """
    if figure.unit not in FACTORS:
        raise ValueError(f"unit {figure.unit!r} must be one of {', '.join(FACTORS)}")
    if figure.value < 0:
        raise ValueError(f"value {figure.value} must be at least 0")
    return figure


def positive(figure: Figure) -> Figure:
    """Return the figure if its value is above 0 and its unit known; a validator.

    :raises ValueError: where it is not
    """
    if at_least_zero(figure).value == 0:
        raise ValueError("value 0 must be above 0")
    return figure
