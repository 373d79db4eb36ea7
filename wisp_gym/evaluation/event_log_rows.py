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


def write_rows(rows: Rows, path: Path, form: Form) -> None:
    """Write a log into a file.

    :param rows: as `Simulation.events`  # (rows, 8)
    :raises OSError: it cannot be written
    """
    if form == "csv":
        log_frame(rows).to_csv(path, index=False, lineterminator="\n")
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.DictionaryArray.from_arrays(pa.array(rows[:, 1], pa.int8()), list(KINDS))
    columns: list[Any] = [pa.array(rows[:, 0]), kind]
    columns += [pa.array(rows[:, at], pa.int32()) for at in (2, 3)]
    columns += [pa.array(np.ascontiguousarray(rows[:, at])) for at in range(4, 8)]
    pq.write_table(pa.table(columns, names=list(COLUMNS)), path, compression="zstd")


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

    types: dict[str, Any] = dict.fromkeys(COLUMNS, "int64") | {"kind": "str"}
    frame = pd.read_csv(io.BytesIO(content), dtype=types, encoding="utf-8")
    if tuple(frame.columns) != COLUMNS:
        raise ValueError(f"columns must be {', '.join(COLUMNS)}")
    return _rows({name: frame[name].to_numpy() for name in COLUMNS})


def _read_parquet(content: bytes) -> Rows:
    """Return the rows of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(content))
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None
    if tuple(table.column_names) != COLUMNS or any(column.null_count for column in table.columns):
        raise ValueError(f"columns must be {', '.join(COLUMNS)}, without nulls")
    return _rows({name: table.column(name).to_numpy() for name in COLUMNS})


def _rows(columns: dict[str, npt.NDArray[Any]]) -> Rows:
    """Return a file's columns as rows with the kinds by number.

    :raises ValueError: a column that does not hold whole numbers, or an unknown kind
    """
    kinds, which = np.unique(columns["kind"].astype(str), return_inverse=True)
    strange = [kind for kind in kinds.tolist() if kind not in KINDS]
    if strange:
        raise ValueError(f"unknown kind {strange[0]!r}")
    numbers = np.array([KINDS.index(kind) for kind in kinds.tolist()], np.int64)
    rows = np.empty((len(which), len(COLUMNS)), np.int64)
    for at, name in enumerate(COLUMNS):
        values = numbers[which.reshape(-1)] if name == "kind" else columns[name]
        if values.dtype.kind != "i":
            raise ValueError(f"{name} must be whole numbers")
        rows[:, at] = values
    return rows
