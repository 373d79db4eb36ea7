"""A scenario's fields as a Markdown table: the head of its page in docs/scenarios.

A page holds the table between two comment lines, BEGIN and END, and prose outside of them; `with_fields` puts
the table of today in between.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from wisp_gym.errors import InputError
from wisp_gym.scenario.scenario import Scenario
from wisp_gym.scenario.schema import LogNormal

BEGIN, END = "<!-- generated: fields -->", "<!-- end -->"

_USED = {
    "closed": ("kind", "prompt_tokens", "output_tokens", "think_s", "lead_s"),
    "trace": ("kind", "lead_s", "trace", "stretch"),
    "arrivals": ("kind", "prompt_tokens", "output_tokens", "lead_s", "concurrency", "scale"),
}
"""Fields of a workload that count for its kind; the others are not shown."""

_FIELD = re.compile(r"([a-z_]+(?:(?:, | and )[a-z_]+)*): (.*)")


def describe(scenario: Scenario) -> str:
    """Return a Markdown table of a scenario's fields: name, value, meaning. Units are in names or meanings.

    Defaults are filled in; fields that do not count for its kind of workload, and ranges that are not given,
    are left out.

    :param scenario: from `load` or `as_written`; a trace's path is shown by its file name
    """
    lines = ["| field | value | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {_cell(value)} | {_cell(meaning)} |" for name, value, meaning in _rows(scenario)]
    return "\n".join(lines)


def with_fields(page: str, table: str) -> str:
    """Return a page with what stands between BEGIN and END replaced by a table.

    :param page: Markdown
    :param table: what `describe` made
    :raises InputError: a page without the two lines, once each and in this order
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise InputError(f"page: must hold {BEGIN!r} and after it {END!r}, once each")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return what a model's docstring says of its fields ("name: text", "a, b: text"), by name.

    :param model: of a section of a scenario file
    """
    found: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc(model.__doc__ or "").splitlines()[1:]:
        match = _FIELD.fullmatch(line)
        if match is not None and set(named := re.split(r", | and ", match[1])) <= set(model.model_fields):
            names = named
            found |= dict.fromkeys(names, match[2])
        elif line.startswith(" "):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        else:
            names = []
    return found


def _rows(scenario: Scenario) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and meaning of each field, sections flattened."""
    file, known = scenario.file, meanings(type(scenario.file))
    filled = {
        "server.kv_tokens": scenario.kv_tokens,
        "server.noise_cv": scenario.noise_cv,
        "warmup_s": f"{scenario.warmup():g}",
    }
    for name, value in file:
        if name in ("name", "description"):
            continue
        if not isinstance(value, BaseModel) or isinstance(value, LogNormal):
            yield name, _show(filled.get(name, value)), known.get(name, "")
            continue
        inner = meanings(type(value))
        for key, part in value:
            full = f"{name}.{key}"
            if name == "ranges" and part is not None:
                yield full, _bounds(part), inner.get(key, "")
            elif name != "ranges" and (name != "workload" or key in _USED[scenario.workload.kind]):
                yield full, _show(filled.get(full, part)), inner.get(key, "")


def _bounds(value: Any) -> str:
    """Return a range, or several, as text."""
    if isinstance(value[0], tuple):
        return ", ".join(map(_bounds, value))
    low, high = value
    return f"{low:g} to {high:g}"


def _show(value: Any) -> str:
    """Return a value as text."""
    if isinstance(value, LogNormal):
        return _law(value)
    if isinstance(value, BaseModel):  # a share of the fleet: what, how much
        what, share = (part for _, part in value)
        return f"{_short(what)} {share:g}"
    if isinstance(value, tuple):
        points = bool(value) and isinstance(value[0], tuple)
        return ", ".join(f"{a:g}: {b:g}" for a, b in value) if points else ", ".join(map(_show, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return "not set" if value is None else _short(str(value))


def _law(law: LogNormal) -> str:
    spread = f"sigma {law.sigma:g}, {law.min:g} to {law.max:g}"
    return f"log-normal, median {law.median:g}, {spread} (mean {law.mean:.4g})"


def _short(text: str) -> str:
    """Return a name; of a path, its last part."""
    return re.split(r"[\\/]", text)[-1]


def _cell(text: str) -> str:
    """Return text that cannot break the table."""
    return " ".join(text.split()).replace("|", "\\|")
