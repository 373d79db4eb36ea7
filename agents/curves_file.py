"""Curves for tensorboard, written by this thread, so that a disk that is full costs curves and nothing else.

tensorboard's own writer works in a thread of its own: an error there prints a traceback and surfaces later,
anywhere.
"""

from __future__ import annotations

import itertools
import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from stable_baselines3.common.logger import KVWriter
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]
from torch.utils.tensorboard import summary as summaries

from wisp_gym.errors import told

_COUNT = itertools.count()
_SUMMARIES: Any = summaries


def _bins() -> list[float]:
    """Return the edges of tensorboard's own histograms: a tenth wider each, mirrored at 0."""
    edges = [1e-12]
    while edges[-1] < 1e20:
        edges.append(edges[-1] * 1.1)
    return [*(-edge for edge in reversed(edges)), 0.0, *edges]


class CurvesFile(KVWriter):
    """An events file of tensorboard. What cannot be written is told once and left out.

    :param folder: made if it is missing
    :param purge_step: points from this step on, which an interrupted run drew, are hidden; None hides none
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        self._file: BinaryIO | None = None
        self._failed = False
        self._edges = _bins()
        name = f"events.out.tfevents.{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}.{next(_COUNT)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / name).open("wb", buffering=0)
        except OSError as error:
            self._tell(error)
        self._add(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if purge_step is not None:
            start = SessionLog(status=SessionLog.START)
            self._add(Event(wall_time=time.time(), step=purge_step, session_log=start))

    def write(
        self, key_values: Mapping[str, Any], key_excluded: Mapping[str, tuple[str, ...]], step: int = 0
    ) -> None:
        """Draw a point of every curve.

        :param key_values: numbers, and tensors that become histograms, by the curve's name
        :param key_excluded: outputs that a curve is not for
        :param step: decisions so far
        """
        events = bytearray()
        for name in sorted(key_values):
            value = key_values[name]
            if "tensorboard" in (key_excluded.get(name) or ()):
                continue
            if isinstance(value, torch.Tensor | np.ndarray):
                summary = _SUMMARIES.histogram(name, np.asarray(value), self._edges)
            elif isinstance(value, int | float | np.number):
                summary = _SUMMARIES.scalar(name, float(value))
            else:
                continue
            events += _record(Event(wall_time=time.time(), step=step, summary=summary))
        self._append(bytes(events))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _add(self, event: Any) -> None:
        self._append(_record(event))

    def _append(self, records: bytes) -> None:
        """Append whole records, or none of them: readers stop at a torn one."""
        if self._file is None:
            return
        end, written = self._file.tell(), 0
        try:
            while written < len(records):
                written += self._file.write(records[written:])
        except OSError as error:
            self._tell(error)
            try:
                self._file.seek(end)
                self._file.truncate()
            except OSError:
                self.close()

    def _tell(self, error: OSError) -> None:
        if not self._failed:
            print(f"note: curves cannot be written ({told(error)}); training goes on", file=sys.stderr)
        self._failed = True


class _Bytes:
    """What `RecordWriter` writes into."""

    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, content: bytes) -> None:
        """Take bytes in."""
        self.content += content


def _record(event: Any) -> bytes:
    """Return an event with its length and checksums."""
    held = _Bytes()
    RecordWriter(held).write(event.SerializeToString())
    return bytes(held.content)
