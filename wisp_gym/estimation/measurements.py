"""A server's own measurements, as a CSV file: one row per request of each batch.

    batch,new,cached,time_ms
    0,5,210,47.1
    0,1,180,47.1
    1,120,0,52.4

`batch` is any name of the batch a request was in; `new` its new tokens, `cached` those found in the KV cache;
`time_ms` the time of the whole batch, the same in each of its rows. Other columns are ignored.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wisp_gym._files import read_bytes
from wisp_gym.errors import InputError
from wisp_gym.estimation.batches import Batches, Member, sums_of

COLUMNS = ("batch", "new", "cached", "time_ms")
LEAST_BATCHES = 20
MAX_BYTES = 64 << 20
MAX_TOKENS = 10_000_000
MAX_MS = 1e7
NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?|\.[0-9]+([eE][-+]?[0-9]+)?")


def read_measurements(path: Path) -> Batches:
    """Return the batches of a CSV file, in the order in which they first appear.

    :raises InputError: the file cannot be read, a column is missing, a row is wrong (line named), the
    rows of a batch disagree on its time, or there are fewer than 20 batches
    """
    members: dict[str, list[Member]] = {}
    times: dict[str, float] = {}
    for line, (batch, new, cached, time) in _rows(path):
        time_ms = float(time) if NUMBER.fullmatch(time) else math.nan
        if not 0 < time_ms <= MAX_MS:
            raise _bad(path, line, "time_ms", time, f"must be milliseconds above 0, at most {MAX_MS:g}")
        if times.setdefault(batch, time_ms) != time_ms:
            raise _bad(
                path, line, "time_ms", time, f"batch {batch[:40]!r} has {times[batch]:g} in an earlier row"
            )
        member = (_tokens(path, line, "new", new, 1), _tokens(path, line, "cached", cached, 0))
        members.setdefault(batch, []).append(member)
    if len(members) < LEAST_BATCHES:
        raise InputError(f"{path}: holds {len(members)} batches: must hold at least {LEAST_BATCHES}")
    sums = np.array([sums_of(batch) for batch in members.values()])
    return Batches(sums, 1e6 * np.array([times[batch] for batch in members]))


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, the four columns) of each row that is not blank."""
    reader = csv.reader(_text(path).splitlines(), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in COLUMNS if header.count(name) != 1]
        if missing:
            found = ", ".join(header)[:80] or "nothing"
            raise InputError(f"{path} line 1: columns {found}: must hold each of {', '.join(COLUMNS)} once")
        places = [header.index(name) for name in COLUMNS]
        for fields in reader:
            if not fields:
                continue
            if len(fields) != len(header):
                raise _bad(path, reader.line_num, "row", ",".join(fields), f"must have {len(header)} fields")
            yield reader.line_num, [fields[place].strip() for place in places]
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num}: not a CSV row ({error})") from None


def _text(path: Path) -> str:
    try:
        return read_bytes(path, MAX_BYTES, "a CSV file").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None


def _tokens(path: Path, line: int, column: str, text: str, least: int) -> int:
    whole = text.isascii() and text.isdigit() and len(text) <= 8
    if not whole or not least <= int(text) <= MAX_TOKENS:
        raise _bad(path, line, column, text, f"must be a whole number, {least}..{MAX_TOKENS}")
    return int(text)


def _bad(path: Path, line: int, field: str, value: str, allowed: str) -> InputError:
    return InputError(f"{path} line {line}: {field} = {value[:40]!r}: {allowed}")
