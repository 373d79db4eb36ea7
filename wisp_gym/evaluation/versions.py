"""The versions of what can change a result."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("wisp-gym", "numpy", "numba", "llvmlite", "pydantic", "gymnasium", "torch")


def versions() -> dict[str, str]:
    """Return the versions of Python and of those packages that can change a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
