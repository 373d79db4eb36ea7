"""How often a target model accepts a draft: the published figures, and the generator fitted to them."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from wisp_gym._validation import Checked
from wisp_gym.errors import InputError
from wisp_gym.profiles.figures import Cited, Figure, Name, Named, Profile, Series

FIXED_LENGTHS = 33
"""Entries of `expected_accepted`: draft lengths 0 to 32."""

Probability = Annotated[float, Field(ge=0, le=1)]


class AcceptanceRate(Figure):
    """Accepted over drafted tokens when every round drafts `k` tokens, over a task."""

    task: Name
    k: int = Field(ge=1, le=64)
    value: Probability


class Survival(Series):
    """values[i] = P(the first i + 1 drafted tokens are accepted) when every round drafts `k`, over a task.

    rounds: how many rounds were counted, if published.
    """

    task: Name
    k: int = Field(ge=1, le=64)
    rounds: int | None = Field(default=None, ge=1)
    values: tuple[Probability, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Survival:
        if len(self.values) != self.k:
            raise ValueError(f"{len(self.values)} values for k = {self.k}: must be equal")
        if any(b > a for a, b in pairwise(self.values)):
            raise ValueError("values must not increase")
        return self


class Parameters(Checked):
    """Numbers by name, of one unit."""

    unit: Name
    values: dict[str, float]


class Expected(Checked):
    """Mean number of accepted tokens in a round of k drafted ones, k = 0 to 32."""

    unit: Name
    values: tuple[float, ...] = Field(min_length=FIXED_LENGTHS, max_length=FIXED_LENGTHS)

    @model_validator(mode="after")
    def _check(self) -> Expected:
        if self.values[0] != 0 or any(b < a for a, b in pairwise(self.values)):
            raise ValueError("values must start at 0 and not decrease")
        return self


class Fitted(Cited):
    """The generator's parameters as calibration wrote them; `reached` says how well they fit."""

    generator: Parameters
    expected_accepted: Expected
    reached: Parameters | None = None


class AcceptanceProfile(Profile):
    """Acceptance of one draft by one target model.

    predictor: its stop predictor, a shipped one's name or the path of a JSON file (from the profile's
        folder); by default the one of the profile's own name.
    """

    draft: Name
    target: Name
    predictor: str | None = None
    acceptance_rate: tuple[AcceptanceRate, ...] = ()
    survival: tuple[Survival, ...] = ()
    statistics: tuple[Named, ...] = ()
    fitted: Fitted

    @model_validator(mode="after")
    def _check(self) -> AcceptanceProfile:
        if not self.acceptance_rate and not self.survival:
            raise ValueError("acceptance_rate or survival must hold a measured figure")
        return self

    @property
    def generator(self) -> dict[str, float]:
        """The stream generator's parameters by name (units: wisp_gym/world/streams.py)."""
        return dict(self.fitted.generator.values)

    @property
    def expected_accepted(self) -> NDArray[np.float64]:
        """Mean accepted tokens float64[33] of a round of k drafted ones, k = 0 to 32."""
        return np.array(self.fitted.expected_accepted.values, dtype=np.float64)

    def measured_rate(self, k: int, task: str | None = None) -> float:
        """Return the published share of accepted tokens at fixed draft length k.

        :param task: the task it was measured on; None takes the first entry for k
        :raises InputError: where nothing was published for k and the task
        """
        for entry in self.acceptance_rate:
            if entry.k == k and task in (None, entry.task):
                return entry.value
        known = sorted({f"k={entry.k} {entry.task}" for entry in self.acceptance_rate})
        raise InputError(
            f"acceptance profile {self.name}: no rate for k={k}, task={task}; known: {', '.join(known)}"
        )

    def measured_survival(self, k: int, task: str | None = None) -> NDArray[np.float64]:
        """Return float64[k]: the published P(first i + 1 accepted) at fixed draft length k.

        :param task: the task it was measured on; None takes the first entry for k
        :raises InputError: where nothing was published for k and the task
        """
        for entry in self.survival:
            if entry.k == k and task in (None, entry.task):
                return np.array(entry.values, dtype=np.float64)
        known = sorted({f"k={entry.k} {entry.task}" for entry in self.survival})
        raise InputError(
            f"acceptance profile {self.name}: no survival for k={k}, task={task}; known: {', '.join(known)}"
        )
