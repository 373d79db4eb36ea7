"""What profiles are made of: numbers that say their unit, their source and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from wisp_gym._validation import Checked, printable

Name = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(printable)]
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


TIME_UNITS = ("s", "ms", "us", "ns")


def within(units: tuple[str, ...], low: float, high: float) -> Callable[[Figure], Figure]:
    """Return a validator of figures: the unit is one of these, the value in the unit used in code lies in
    a range.

    The ranges are far wider than anything built; they keep a slip of the keyboard out of the arithmetic.

    :param units: allowed units; :param low: least value; :param high: greatest
    """

    def check(figure: Figure) -> Figure:
        if figure.unit not in units:
            raise ValueError(f"unit {figure.unit!r} must be {' or '.join(units)}")
        if not low <= figure.si() <= high:
            allowed = f"{low:g}..{high:g} {CODE_UNITS[units[0]]}".strip()
            raise ValueError(f"value {figure.value:g} {figure.unit} must lie in {allowed}")
        return figure

    return check


CODE_UNITS = {unit: unit for unit in FACTORS} | {"1": "", "TFLOP/s": "FLOP/s"}
"""What a value is in once `Figure.si` has turned it into the unit used in code, by the first unit of a
kind."""

time_figure = within(TIME_UNITS, 0.0, 10.0)
