"""Reading arrivals and lengths from a CSV file, row by row, with a line number for whatever is wrong."""

from __future__ import annotations

import csv
import hashlib
import math
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from wisp_gym.errors import InputError

MAX_ROWS = 5_000_000
MAX_LINE_BYTES = 10_000
MAX_TOKENS = 100_000_000
MAX_MS = 3.2e11  # ten years; int64 nanoseconds hold 292

OWN_COLUMNS = ("t_ms", "input_tokens", "output_tokens")
AZURE_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")

NUMBER = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9:]{8})(?:\.([0-9]{1,9}))?(Z|[-+][0-9]{2}:?[0-9]{2})?"
)


@dataclass(frozen=True)
class Requests:
    """Requests in order of arrival; entries i of the three arrays belong together.

    Arrays are read-only. Rows of one time keep their order in the file.
    """

    arrival_ns: NDArray[np.int64]  # (requests,) since the start of the scenario, not decreasing
    prompt_tokens: NDArray[np.int32]  # (requests,) at least 1
    output_tokens: NDArray[np.int32]  # (requests,) at least 1

    def __len__(self) -> int:
        return len(self.arrival_ns)

    def take(self, chosen: NDArray[np.bool_] | slice) -> Requests:
        """Return some of the requests, in the same order.

        :param chosen: a mask bool[requests] or a slice
        """
        taken = Requests(self.arrival_ns[chosen], self.prompt_tokens[chosen], self.output_tokens[chosen])
        for column in (taken.arrival_ns, taken.prompt_tokens, taken.output_tokens):
            column.flags.writeable = False
        return taken


@dataclass(frozen=True)
class Trace:
    """A trace file: its requests, the number of rows without output (left out), its SHA-256."""

    requests: Requests
    no_output: int
    sha256: str


def read(path: Path) -> Trace:
    """Return the requests of a CSV file.

    The columns are t_ms, input_tokens, output_tokens (times in ms since the start), or those of Azure's
    public traces, TIMESTAMP, ContextTokens, GeneratedTokens (ISO times; the earliest becomes 0). Others are
    ignored. Rows may come in any order: they are sorted by time, rows of one time staying in order. A row
    that asks for 0 output tokens is left out and counted.

    :raises InputError: where the file cannot be read, a column is missing or a row is wrong (line named)
    """
    try:
        if path.is_dir():
            raise InputError(f"workload.trace: {path}: is a folder, must be a CSV file")
        if not path.exists():
            raise InputError(f"workload.trace: {path}: no such file")
        if not path.is_file():
            raise InputError(f"workload.trace: {path}: must be an ordinary file")
        with path.open("rb") as file:
            return _read(file, path)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(
            f"workload.trace: {path}: cannot be read ({getattr(error, 'strerror', None) or error})"
        ) from None


def _read(file: BinaryIO, path: Path) -> Trace:
    digest = hashlib.sha256()
    rows = _rows(file, path, digest.update)
    _, header = next(rows, (0, []))
    columns, time_of = _columns(header, path)
    times, prompts, outputs = array("q"), array("q"), array("q")
    no_output = 0
    for line, fields in rows:
        if len(fields) != len(header):
            raise _bad(path, line, "row", ",".join(fields), f"must have {len(header)} fields")
        time_ns = time_of(fields[columns[0]].strip(), path, line)
        prompt = _tokens(fields[columns[1]], header[columns[1]], 1, path, line)
        output = _tokens(fields[columns[2]], header[columns[2]], 0, path, line)
        if output == 0:
            no_output += 1
            continue
        if len(times) == MAX_ROWS:
            raise InputError(
                f"workload.trace: {path} line {line}: more than {MAX_ROWS} requests, cut the file"
            )
        times.append(time_ns)
        prompts.append(prompt)
        outputs.append(output)
    if not times:
        raise InputError(
            f"workload.trace: {path}: holds no request, must have at least one row with output tokens"
        )
    return Trace(
        _sorted(times, prompts, outputs, from_zero=time_of is _timestamp_ns), no_output, digest.hexdigest()
    )


def _sorted(times: array[int], prompts: array[int], outputs: array[int], from_zero: bool) -> Requests:
    arrival = np.frombuffer(times, dtype=np.int64)
    order = np.argsort(arrival, kind="stable")
    arrival = arrival[order]
    if from_zero:
        arrival = arrival - arrival[0]
    lengths = [np.frombuffer(part, dtype=np.int64)[order].astype(np.int32) for part in (prompts, outputs)]
    return Requests(arrival, *lengths).take(slice(None))


def _rows(file: BinaryIO, path: Path, seen: Callable[[bytes], None]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, fields) of each line that is not blank; memory stays that of one line."""
    line = 0
    while content := file.readline(MAX_LINE_BYTES + 1):
        line += 1
        seen(content)
        if len(content) > MAX_LINE_BYTES:
            raise InputError(
                f"workload.trace: {path} line {line}: longer than {MAX_LINE_BYTES} bytes, must be a CSV row"
            )
        try:
            text = content.decode("utf-8-sig" if line == 1 else "utf-8").strip("\r\n")
            if not text.isprintable() and not text.replace("\t", "").isprintable():
                raise ValueError("control characters")
            fields = next(csv.reader([text], strict=True)) if text.strip() else []
        except (ValueError, csv.Error):
            raise InputError(f"workload.trace: {path} line {line}: not a CSV row of text") from None
        if fields:
            yield line, fields


TimeReader = Callable[[str, Path, int], int]


def _columns(header: list[str], path: Path) -> tuple[tuple[int, int, int], TimeReader]:
    """Return the places of time, input and output, and how to read a time."""
    names = [name.strip() for name in header]
    for wanted, reader in ((OWN_COLUMNS, _milliseconds_ns), (AZURE_COLUMNS, _timestamp_ns)):
        if all(names.count(name) == 1 for name in wanted):
            first, second, third = (names.index(name) for name in wanted)
            return (first, second, third), reader
    found = ", ".join(names)[:80] if names else "nothing"
    raise InputError(
        f"workload.trace: {path} line 1: columns {found}: must hold each of {', '.join(OWN_COLUMNS)}, "
        f"or of {', '.join(AZURE_COLUMNS)}, once"
    )


def _milliseconds_ns(text: str, path: Path, line: int) -> int:
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    if not 0 <= value <= MAX_MS:
        raise _bad(path, line, "t_ms", text, f"must be a number of milliseconds, 0..{MAX_MS:g}")
    return round(value * 1e6)


def _timestamp_ns(text: str, path: Path, line: int) -> int:
    match = TIMESTAMP.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        day, clock, fraction, zone = match.groups()
        moment = datetime.fromisoformat(f"{day}T{clock}{zone or '+00:00'}")
        seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // _SECOND
        nanoseconds = seconds * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))
        if not abs(nanoseconds) < 1 << 62:
            raise ValueError
    except ValueError:
        allowed = "must be a time as in 2023-11-16 18:15:46.6805900"
        raise _bad(path, line, "TIMESTAMP", text, allowed) from None
    return nanoseconds


_SECOND = datetime(1970, 1, 1, 0, 0, 1) - datetime(1970, 1, 1)


def _tokens(text: str, column: str, least: int, path: Path, line: int) -> int:
    digits = text.strip()
    if not (
        digits.isascii() and digits.isdigit() and len(digits) <= 12 and least <= int(digits) <= MAX_TOKENS
    ):
        raise _bad(path, line, column.strip(), text, f"must be a whole number, {least}..{MAX_TOKENS}")
    return int(digits)


def _bad(path: Path, line: int, field: str, value: str, allowed: str) -> InputError:
    return InputError(f"workload.trace: {path} line {line}: {field} = {value[:40]!r}: {allowed}")
