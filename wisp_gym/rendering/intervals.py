"""Stretches of time, one after the other: joined where they touch, and cut."""

from __future__ import annotations

Intervals = list[tuple[int, int]]
"""Begin and end of each, ns, in order."""


def join(parts: Intervals) -> Intervals:
    """Return intervals without empty ones, those that touch as one."""
    joined: Intervals = []
    for begin_ns, end_ns in parts:
        if begin_ns == end_ns:
            continue
        if joined and joined[-1][1] == begin_ns:
            begin_ns = joined.pop()[0]
        joined.append((begin_ns, end_ns))
    return joined


def split(parts: Intervals, time_ns: int) -> tuple[Intervals, Intervals]:
    """Return the first `time_ns` of intervals, and the rest."""
    first: Intervals = []
    for at, (begin_ns, end_ns) in enumerate(parts):
        if end_ns - begin_ns > time_ns:
            turn_ns = begin_ns + time_ns
            return join([*first, (begin_ns, turn_ns)]), [(turn_ns, end_ns), *parts[at + 1 :]]
        first.append((begin_ns, end_ns))
        time_ns -= end_ns - begin_ns
    return first, []
