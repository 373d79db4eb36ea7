"""Event logs as files: Parquet, or CSV, which needs no other library. The same rows give the same bytes."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from wisp_gym.errors import InputError, nearest
from wisp_gym.pipeline.log import KINDS, log_frame

Rows = npt.NDArray[np.int64]
Form = Literal["parquet", "csv"]

ROWS_TOGETHER = 2**18
"""Rows that are written at a time: 16 MiB of memory."""

NUMBERS = ("a", "b", "c", "d")
COLUMNS = ("time_ns", "kind", "device", "session", *NUMBERS)
"""Of every file: simulated time, what happened, to whom (-1: the server), and four numbers that the kind
explains (docs/event-log.md)."""


def check_form(form: str) -> Form:
    """Return the form of a log's file, once it is sure that it can be written.

    :param form: "parquet" or "csv"
    :raises InputError: neither, or the library that writes it is not installed
    """
    known: Form
    for known in ("parquet", "csv"):
        if form == known:
            if known == "parquet" and importlib.util.find_spec("pyarrow") is None:
                raise InputError(
                    "event logs as parquet: pyarrow is not installed; --log-format csv needs none"
                )
            return known
    raise InputError(f"--log-format: unknown {form!r}; {nearest(form, get_args(Form))}")


class LogWriter:
    """Writes a log into a file as its rows come, many at a time.

    :param path: of the file
    :param form: of it
    :raises OSError: it cannot be written
    """

    def __init__(self, path: Path, form: Form) -> None:
        self.rows = 0
        self._waiting: list[Rows] = []
        self._count = 0
        self._file: Any = (_Csv if form == "csv" else _Parquet)(path)

    def add(self, rows: Rows) -> None:
        """Take rows, copied.  # (n, 8)"""
        self._waiting.append(rows.copy())
        self._count += len(rows)
        self.rows += len(rows)
        while self._count >= ROWS_TOGETHER:
            self._write(ROWS_TOGETHER)

    def close(self) -> None:
        """Write what is left and close the file."""
        try:
            if self._count or not self.rows:
                self._write(self._count)
        finally:
            self._file.close()

    def _write(self, count: int) -> None:
        """Write the first rows of those that wait: files do not depend on how many came at a time."""
        rows = np.concatenate([*self._waiting, np.empty((0, len(COLUMNS)), np.int64)])
        self._file.write(rows[:count])
        self._waiting = [rows[count:]]
        self._count = len(rows) - count


class _Csv:
    """A CSV file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._file.write(",".join(COLUMNS) + "\n")

    def write(self, rows: Rows) -> None:
        """Append rows."""
        log_frame(rows).to_csv(self._file, index=False, header=False, lineterminator="\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Parquet:
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = [pa.int64(), pa.dictionary(pa.int8(), pa.string()), pa.int32(), pa.int32()]
        types += [pa.int64()] * len(NUMBERS)
        self._schema = pa.schema(list(zip(COLUMNS, types, strict=True)))
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, rows: Rows) -> None:
        """Append rows."""
        import pyarrow as pa

        kind = pa.DictionaryArray.from_arrays(pa.array(rows[:, 1], pa.int8()), list(KINDS))
        columns: list[Any] = [pa.array(np.ascontiguousarray(rows[:, at])) for at in range(len(COLUMNS))]
        columns[1:4] = [kind, *(column.cast(pa.int32()) for column in columns[2:4])]
        self._file.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def write_rows(rows: Rows, path: Path, form: Form) -> None:
    """Write a log into a file.

    :param rows: as `Simulation.events`  # (rows, 8)
    :raises OSError: it cannot be written
    """
    writer = LogWriter(path, form)
    writer.add(rows)
    writer.close()


def read_rows(content: bytes, name: str) -> Rows:
    """Return the log that a file holds.

    :param content: of the file
    :param name: of the file; its ending says the form
    :raises InputError: it holds none, or pyarrow is needed and not installed
    """
    form = check_form(name.rpartition(".")[2])
    try:
        return _read_csv(content) if form == "csv" else _read_parquet(content)
    except (ValueError, KeyError, TypeError, OSError, OverflowError) as error:
        raise InputError(f"{name}: not an event log ({str(error)[:120]})") from None


def _read_csv(content: bytes) -> Rows:
    """Return the rows of a CSV file."""
    import pandas as pd

    types: dict[str, Any] = dict.fromkeys(COLUMNS, "int64") | {"kind": "category"}
    frame = pd.read_csv(io.BytesIO(content), dtype=types, encoding="utf-8")
    if tuple(frame.columns) != COLUMNS:
        raise ValueError(f"columns must be {', '.join(COLUMNS)}")
    kind = frame["kind"].cat
    columns = {name: kind.codes if name == "kind" else frame[name] for name in COLUMNS}
    return _rows({name: column.to_numpy() for name, column in columns.items()}, list(kind.categories))


def _read_parquet(content: bytes) -> Rows:
    """Return the rows of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(content), read_dictionary=["kind"])
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None
    if tuple(table.column_names) != COLUMNS or any(column.null_count for column in table.columns):
        raise ValueError(f"columns must be {', '.join(COLUMNS)}, without nulls")
    kind = table.column("kind").combine_chunks()
    if not isinstance(kind, pa.DictionaryArray):
        raise ValueError("kind must be text")
    columns = {name: kind.indices if name == "kind" else table.column(name) for name in COLUMNS}
    return _rows({name: column.to_numpy() for name, column in columns.items()}, kind.dictionary.to_pylist())


def _rows(columns: dict[str, npt.NDArray[Any]], kinds: list[Any]) -> Rows:
    """Return a file's columns as rows with the kinds by their numbers in KINDS.

    :param columns: by name; of the kind, places in `kinds`
    :raises ValueError: a column that does not hold whole numbers, or an unknown kind
    """
    strange = [kind for kind in kinds if kind not in KINDS]
    if strange:
        raise ValueError(f"unknown kind {str(strange[0])[:40]!r}")
    if columns["kind"].min(initial=0) < 0:
        raise ValueError("kind must not be empty")
    numbers = np.array([KINDS.index(kind) for kind in kinds], np.int64)
    rows = np.empty((len(columns["kind"]), len(COLUMNS)), np.int64)
    for at, name in enumerate(COLUMNS):
        values = numbers[columns[name]] if name == "kind" and len(rows) else columns[name]
        if values.dtype.kind != "i":
            raise ValueError(f"{name} must be whole numbers")
        rows[:, at] = values
    return rows
