"""How fast is the machine just now? The time of a fixed piece of work stands beside every timing."""

from __future__ import annotations

import time


def python_loop_s() -> float:
    """Return the time of a fixed loop of plain Python, s."""
    begin = time.perf_counter()
    total = 0
    for i in range(2_000_000):
        total += i & 7
    return time.perf_counter() - begin
