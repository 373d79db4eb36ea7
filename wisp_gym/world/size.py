"""How much memory a world and a run of it take, told before it is taken.

What lasts grows with devices and sessions. Token streams do so only in a world that is held whole: in a
streamed one they are there while their session is under way (pipeline/stream_pool.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt

from wisp_gym.errors import InputError

WHOLE_POSITIONS = 16_000_000
"""Most token positions of a world that is held whole, unless that is asked for: 16 MB of agreements, and 128
MB for each kind of stop score that is read."""

MAX_POSITIONS = 100_000_000
"""Most token positions held at a time: 9 bytes each, and as much again where they are laid out anew."""

MAX_SESSION_TOKENS = 10_000_000
"""Longest output of a session: a stream is drawn from its beginning, 50 bytes a token for a moment."""

MAX_SESSIONS = 10_000_000
"""Most sessions of a world; the count of a longer one stops there."""

MEMORY_LIMIT = 4 * 2**30
"""Most bytes that a world and a run of it may take."""

BASE_BYTES = 300_000_000
"""Interpreter, libraries, compiled code."""

DEVICE_BYTES = 800
"""Of a device and all that the pipeline keeps of it."""

SESSION_BYTES = 280
"""Of a session: its record twice, its outcome, and the metrics' table of sessions at the end."""

HELD_BYTES = 9
"""Of a position whose stream is held: agreement, and stop scores on and off the true prefix."""

POOL_POSITIONS = 4_000_000
"""Positions that a streamed world's pool aims to hold; while they are laid out anew, twice."""

MAX_DEVICE_S = 8e9
"""Most seconds that the devices of a class can spend in sessions together: sums of them are int64
nanoseconds, which hold 9.2e9 s."""


class Needs(NamedTuple):
    """What decides how much memory a world takes."""

    devices: int
    sessions: int
    positions: int  # of all token streams
    under_way: float  # of them in sessions that are under way together, at the least
    longest: int  # output of a session, tokens


def run_bytes(needs: Needs, streamed: bool) -> float:
    """Return about how many bytes a world and a run of it take.

    :param streamed: whether token streams are drawn as they are needed
    """
    held = float(HELD_BYTES * needs.positions)
    pool = 2.0 * HELD_BYTES * (POOL_POSITIONS + 2.0 * needs.under_way)
    held = min(held, pool) if streamed else held
    return BASE_BYTES + DEVICE_BYTES * needs.devices + SESSION_BYTES * needs.sessions + held


def is_streamed(needs: Needs, whole: bool | None) -> bool:
    """Return whether a world of this size is streamed; refuse one that would not fit, before it is laid out.

    :param whole: True or False as the caller wants it; None: by its size
    :raises InputError: it is too large
    """
    streamed = needs.positions > WHOLE_POSITIONS if whole is None else not whole
    if needs.sessions > MAX_SESSIONS:
        raise InputError(
            f"world: more than {MAX_SESSIONS} sessions; allowed: fewer devices, a shorter horizon or longer "
            "sessions"
        )
    if needs.longest > MAX_SESSION_TOKENS:
        raise InputError(
            f"world: a session of {needs.longest} output tokens; allowed: at most {MAX_SESSION_TOKENS}"
        )
    held = needs.under_way if streamed else needs.positions
    if held > MAX_POSITIONS:
        raise InputError(
            f"world: {held:.0f} token positions, held at once; allowed: at most {MAX_POSITIONS}: fewer "
            "devices, a shorter horizon or shorter outputs"
        )
    gib = run_bytes(needs, streamed) / 2**30
    if gib > MEMORY_LIMIT / 2**30:
        raise InputError(
            f"world: {needs.devices} devices and {needs.sessions} sessions take about {gib:.1f} GiB; "
            f"allowed: {MEMORY_LIMIT / 2**30:g} GiB: fewer devices, a shorter horizon or longer sessions"
        )
    return streamed


def check_device_seconds(device_s: npt.NDArray[Any]) -> None:
    """Refuse a world in which devices can spend more time in sessions than the counters hold.

    :param device_s: most seconds that they can, by class, all together  # (classes,)
    :raises InputError: too many
    """
    most = float(device_s.max(initial=0.0))
    if most > MAX_DEVICE_S:
        raise InputError(
            f"world: {most:.3g} device-seconds in a class; allowed: at most {MAX_DEVICE_S:g}, what counters "
            "hold: fewer devices or a shorter horizon"
        )
