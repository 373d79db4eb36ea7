"""The token streams of chosen sessions, end to end: agreements, and what is made of the draft's signals.

Signals are many (32 bytes a position) and short-lived, so they are drawn a piece at a time, handed to whoever
makes scores of them, and written over by the next piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import compiled
from wisp_gym.errors import InputError
from wisp_gym.world.rng import CAUSE_STREAM, key
from wisp_gym.world.streams import draw_stream

if TYPE_CHECKING:
    from wisp_gym.world.types import World, WorldArrays

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Accepts = npt.NDArray[np.uint8]

Scorer = Callable[[FloatArray, IntArray], FloatArray]
"""Scores of streams laid end to end, from their signals (4, positions) and their lengths (sessions,)."""

PIECE = 65_536
"""Positions drawn at a time, more only where one session is longer."""


@compiled
def draw_sessions(
    seed: np.uint64,
    sessions: Any,
    devices: Any,
    rows: IntArray,
    stream: npt.NDArray[np.float64],
    accepts: Accepts,
    signals: FloatArray,
    off_signals: FloatArray,
) -> None:
    """Fill the token streams of sessions, end to end in the order of `rows`, each addressed by (device,
    session index).

    :param rows: of the sessions
    :param accepts: filled  # (positions,)
    :param signals: filled, or not where its length is 0  # (4, positions or 0)
    :param off_signals: likewise
    """
    end = 0
    for row in rows:
        device = sessions[row]["device"]
        begin = end
        end = begin + sessions[row]["length"]
        draw = key(seed, CAUSE_STREAM, device, row - devices[device]["first_session"])
        draw_stream(draw, stream, accepts[begin:end], signals[:, begin:end], off_signals[:, begin:end])


def draw_accepts(arrays: WorldArrays, stream: npt.NDArray[np.float64], rows: IntArray) -> Accepts:
    """Return where draft and target agree in some of a world's sessions, end to end.  # (positions,)

    :param stream: parameters of the law of the streams  # (14,)
    """
    none = np.empty((4, 0), np.float32)
    accepts = np.empty(int(arrays.sessions["length"][rows].sum()), np.uint8)
    draw_sessions(arrays.seed[0], arrays.sessions, arrays.devices, rows, stream, accepts, none, none)
    return accepts


def whole_signals(world: World) -> tuple[FloatArray, FloatArray]:
    """Return all signals of a world, on the true prefix and off it.  # (4, positions), (4, positions)

    :raises InputError: a world too long to hold them
    """
    if world.streamed:
        raise InputError(
            "world: its token streams are drawn as a run needs them; draw a shorter one to read its signals"
        )
    arrays = world.arrays
    rows = np.arange(len(arrays.sessions))
    positions = int(arrays.sessions["length"].sum())
    accepts = np.empty(positions, np.uint8)
    on, off = np.empty((4, positions), np.float32), np.empty((4, positions), np.float32)
    draw_sessions(arrays.seed[0], arrays.sessions, arrays.devices, rows, world.stream, accepts, on, off)
    return on, off


def scored_streams(world: World, rows: IntArray, scorer: Scorer) -> tuple[Accepts, FloatArray, FloatArray]:
    """Return agreements and scores of sessions, end to end: on the true prefix and off it.

    :param rows: of the sessions
    :param scorer: makes scores of signals
    :return: accepts, scores, off_scores  # (positions,) each
    """
    arrays = world.arrays
    lengths = arrays.sessions["length"][rows]
    positions = int(lengths.sum())
    accepts = np.empty(positions, np.uint8)
    on, off = np.empty(positions, np.float32), np.empty(positions, np.float32)
    most = max(PIECE, int(lengths.max(initial=0)))
    signals, off_signals = np.empty((4, most), np.float32), np.empty((4, most), np.float32)
    for part, begin, end in pieces(lengths):
        size = end - begin
        some, others = signals[:, :size], off_signals[:, :size]
        draw_sessions(
            arrays.seed[0],
            arrays.sessions,
            arrays.devices,
            rows[part],
            world.stream,
            accepts[begin:end],
            some,
            others,
        )
        on[begin:end] = scorer(some, lengths[part])
        off[begin:end] = scorer(others, lengths[part])
    return accepts, on, off


def pieces(lengths: IntArray) -> Iterator[tuple[slice, int, int]]:
    """Yield runs of sessions that hold at most PIECE positions, or one session: which, and where their
    streams, laid end to end, begin and end.

    :param lengths: of the sessions  # (sessions,)
    """
    ends = np.cumsum(lengths)
    first, begin = 0, 0
    while first < len(lengths):
        last = max(first + 1, int(np.searchsorted(ends, begin + PIECE, side="right")))
        yield slice(first, last), begin, int(ends[last - 1])
        first, begin = last, int(ends[last - 1])
