"""Earliest deadline first."""

from __future__ import annotations

from typing import Any

from wisp_gym._jit import kernel


@kernel
def edf_key(request: Any) -> tuple[int, float]:
    """Rank a request by its deadline."""
    return 0, request["deadline_ns"]
