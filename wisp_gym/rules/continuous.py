"""Centralized serving's continuous batching: sessions that hold KV memory take turns, the rest queue for it.

Rotation takes the sessions that have waited longest since they were served; a cold one is admitted in its
turn, but only into memory that nobody holds. Run-to-completion keeps to those admitted first, and takes
cold ones into what is left.

How much memory a session is admitted with is a reading. For its whole output, as a server does that never
preempts: nobody admitted is evicted, and when nobody else fits, those admitted are waited for. Or for what it
has, as vLLM does: when memory runs short the youngest is evicted and computed again later.
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
