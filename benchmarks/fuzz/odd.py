"""What can be wrong with data: odd values, missing and unknown keys; and how it is written."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from typing import Any

import yaml

DEEP = 10_000
"""Levels of the deepest nesting."""


class Raw(str):
    """Text that stands in YAML or JSON as it is, without quotes."""


LONG = "x" * 10_000

TEXTS = (
    "",
    " ",
    "abc",
    "0",
    "1",
    "nan",
    "null",
    "½",
    "\u0661\u0662",
    "\ud800",
    "a\ud800.yaml",
    "\0",
    "a\0b.yaml",
    "a\nb",
    "\x1b[31mred",
    "\u202ertl/.yaml",
    "../../../etc/passwd",
    "/etc/passwd",
    "/dev/zero",
    "/dev/zero/x.yaml",
    "/proc/self/mem",
    "nowhere.yaml",
    "./",
    "/",
    "~root/x.yaml",
    "C:\\x.yaml",
    "%s%n{}",
    "x" * 300 + ".yaml",
    LONG,
    LONG + ".yaml",
)

NUMBERS = (
    0,
    -1,
    -0.0,
    0.5,
    1.5,
    1e308,
    -1e308,
    5e-324,
    1e-12,
    2**31,
    2**53 + 1,
    2**63,
    2**64,
    -(2**63),
    10**18,
)

RAWS = (
    "1e400",
    "-1e400",
    ".nan",
    "NaN",
    ".inf",
    "Infinity",
    "-.INF",
    "0x10",
    "1_000",
    "010",
    "1:30",
    "2024-01-01",
    "yes",
    "off",
    "~",
    "1" * 25,
    "9" * 5000,
    "1e",
    "+1",
    "--1",
    "1.",
    "!!python/object/apply:os.system [id]",
    "!!binary aGk=",
    "!!float 1",
    "!x 1",
    "*a",
    "&a 1",
    "&a [*a]",
    "<<",
    "@",
    "`",
    "{",
    "[1, 2",
    "? x",
    "|",
    "- 1",
    '"\\ud83d"',
    '"\\u0000"',
    '"\\x1b[0m"',
    "[" * 20 + "]" * 20,
    "[" * DEEP,
    "[" * DEEP + "]" * DEEP,
    "{a: " * 500 + "1" + "}" * 500,
)

CONTAINERS: tuple[Any, ...] = ([], {}, [[]], [None], [1], [0, 0], {"a": 1}, [[1, 2], [3]], list(range(5000)))


def odd_value(rng: random.Random) -> Any:
    """Return something that hardly any field takes."""
    pools: tuple[tuple[Any, ...], ...] = (
        TEXTS,
        NUMBERS,
        tuple(map(Raw, RAWS)),
        CONTAINERS,
        (None, True, False),
    )
    return copy.deepcopy(rng.choice(rng.choice(pools)))


def _entries(data: Any, path: str = "") -> list[tuple[Any, Any, str]]:
    """Return every entry of nested data: what holds it, its key, and the way to it in words."""
    keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    found: list[tuple[Any, Any, str]] = []
    for key in keys:
        here = f"{path}.{key}".lstrip(".")
        found += [(data, key, here), *_entries(data[key], here)]
    return found


def mutated(data: Any, rng: random.Random) -> tuple[Any, str]:
    """Return data with one thing changed, and what.

    :param data: nested mappings and lists; it stays as it is
    """
    data = copy.deepcopy(data)
    entries = _entries(data)
    if not entries:
        return odd_value(rng), "everything replaced"
    holder, key, path = rng.choice(entries)
    value = holder[key]
    ways: list[Callable[[], str]] = [lambda: _replace(holder, key, odd_value(rng))] * 6
    ways += [lambda: _remove(holder, key), lambda: _wrap(holder, key)]
    if isinstance(holder, dict):
        ways += [lambda: _rename(holder, key, rng), lambda: _unknown(holder, rng)]
    else:
        ways += [lambda: _repeat(holder, key, rng), lambda: _repeat(holder, key, rng)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        ways += [lambda: _replace(holder, key, value * rng.choice((-1, 0, 1e-9, 1e9, 1e300)))] * 2
        likely = type(value)(value * rng.choice((0.01, 0.1, 0.5, 2, 10, 100)))
        ways += [lambda: _replace(holder, key, likely)] * 6
        ways += [
            lambda: _replace(holder, key, rng.choice((float(value), str(value), int(value), value + 1e-7)))
        ]
    return data, f"{path}: {rng.choice(ways)()}"


def _replace(holder: Any, key: Any, value: Any) -> str:
    holder[key] = value
    return f"= {short(value)}"


def _remove(holder: Any, key: Any) -> str:
    del holder[key]
    return "removed"


def _wrap(holder: Any, key: Any) -> str:
    holder[key] = [holder[key]]
    return "in a list"


def _rename(holder: Any, key: Any, rng: random.Random) -> str:
    name = rng.choice((f"{key}s", str(key).upper(), f" {key}", f"{key}\u200b", str(key)[:-1], LONG, 1, 1.5))
    holder[name] = holder.pop(key)
    return f"renamed {short(name)}"


def _unknown(holder: Any, rng: random.Random) -> str:
    name = rng.choice(("unknown", "", "__class__", "\ud800", "a.b", -1, 2**70, LONG, "model_config", "ユニ"))
    holder[name] = odd_value(rng)
    return f"beside it {short(name)}"


def _repeat(holder: Any, key: Any, rng: random.Random) -> str:
    times = rng.choice((1, 2, 100, 20_000))
    holder[key:key] = [holder[key]] * times
    return f"{times} times more"


def short(value: Any) -> str:
    """Return a value in a few printable characters."""
    text = value if isinstance(value, Raw) else repr(value)
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= 60 else f"{text[:40]}... ({len(text)} characters)"


def as_text(data: Any, form: str) -> bytes:
    """Return data as YAML or JSON, raw parts as they are.

    :param form: "yaml" or "json"
    """
    raws: list[str] = []

    def plain(value: Any) -> Any:
        if isinstance(value, Raw):
            raws.append(value)
            return f"RAW{len(raws) - 1}WAR"
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items()}
        return [plain(entry) for entry in value] if isinstance(value, list) else value

    data = plain(data)
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False) if form == "yaml" else json.dumps(data, indent=1)
    text = re.sub(r"""["']?RAW(\d+)WAR["']?""", lambda found: raws[int(found[1])], text)
    return text.encode("utf-8", "backslashreplace")


class _Dumper(yaml.SafeDumper):
    """Writes no aliases: the loader refuses them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
