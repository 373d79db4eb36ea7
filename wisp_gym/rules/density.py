"""Highest value density first: expected accepted tokens per second of a pass of the request's own."""

from __future__ import annotations

from typing import Any

from wisp_gym._jit import kernel


@kernel
def density(request: Any) -> float:
    """Return a request's value density, tokens per ns."""
    return request["expected"] / request["alone_ns"]


@kernel
def density_key(request: Any) -> tuple[int, float]:
    """Rank a request by its value density, highest first."""
    return 0, -density(request)
