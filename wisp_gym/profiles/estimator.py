"""A verification time estimator on file: four coefficients, fitted to a user's own measurements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from wisp_gym._files import read_bytes
from wisp_gym._validation import Checked, build
from wisp_gym._yaml import parse
from wisp_gym.errors import InputError

MAX_BYTES = 1 << 16

Coefficient = Annotated[float, Field(ge=0, le=1e6)]


class Estimator(Checked):
    """T = c0 + c1 * sum(new) + c2 * sum(new * (new + cached)) + c3 * sum(cached), in ms.

    c0: ms of every pass; c1: ms per new token; c2: ms per new token and token it sees; c3: ms
        per cached token.
    unit: of the result.
    note: where the coefficients come from.
    """

    c0: Coefficient
    c1: Coefficient
    c2: Coefficient
    c3: Coefficient
    unit: Literal["ms"] = "ms"
    note: str = ""

    def coefficients_ns(self) -> tuple[float, float, float, float]:
        """Return c0..c3 in ns."""
        return 1e6 * self.c0, 1e6 * self.c1, 1e6 * self.c2, 1e6 * self.c3

    def text(self) -> str:
        """Return what a file of it holds."""
        return json.dumps(self.model_dump(), indent=1) + "\n"


def read_estimator(path: Path) -> Estimator:
    """Return the estimator that a JSON file holds: the keys c0, c1, c2, c3 (ms), and unit and note if given.

    :raises InputError: the file cannot be read or does not fit; one line with the key, its value and what is
        allowed
    """
    try:
        text = read_bytes(path, MAX_BYTES, "a JSON file of an estimator").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None
    data = parse(text, str(path))  # JSON is YAML; repeated keys and NaN are refused
    found = build(Estimator, data, str(path))
    if found.c0 + found.c1 + found.c2 + found.c3 == 0:
        raise InputError(f"{path}: c0..c3 are all 0: a pass must take some time")
    return found
