"""First come, first served."""

from __future__ import annotations

from typing import Any

from wisp_gym._jit import kernel


@kernel
def fcfs_key(request: Any) -> tuple[int, float]:
    """Rank a request by when it joined the queue."""
    return 0, float(request["arrived_ns"])
