"""Centralized serving's continuous batching: sessions that hold KV memory take turns, the rest queue for it.

Rotation takes the sessions that have waited longest since they were served; a cold one is admitted in its
turn, but only into memory that nobody holds. Run-to-completion keeps to those admitted first, and takes
cold ones into what is left.
"""

from __future__ import annotations

from typing import Any

from wisp_gym._jit import kernel


@kernel
def continuous_key(request: Any, to_completion: int) -> tuple[int, float]:
    """Rank requests: in rotation by the time since they were served, to completion by the time they were
    admitted."""
    if to_completion == 1:
        if request["cached"] == 0:
            return 1, float(request["arrived_ns"])
        return 0, float(request["admitted_ns"])
    return 0, float(max(request["arrived_ns"], request["served_ns"]))
