"""JSON whose bytes depend on nothing but its content."""

from __future__ import annotations

import json
import math
from typing import Any


def json_bytes(content: dict[str, Any]) -> bytes:
    """Return JSON in which undefined numbers are null and others have 12 significant digits."""
    return (json.dumps(_jsonable(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(
        "utf-8", "backslashreplace"
    )


def _jsonable(value: Any) -> Any:
    """Return a value with its numbers made fit for JSON."""
    if isinstance(value, dict):
        return {str(key): _jsonable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(entry) for entry in value]
    if isinstance(value, float):
        return float(format(value, ".12g")) if math.isfinite(value) else None
    return value
