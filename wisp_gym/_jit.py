"""Decorators of kernel functions: compiled by Numba, or the same Python when Numba is switched off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile `function` and keep the machine code on disk.

    With NUMBA_DISABLE_JIT=1 the function runs as written. Its 64-bit hashes wrap around on purpose, which
    NumPy's scalars would warn of, so that warning is off inside it.
    """
    return _compile(function, counts_references=True)


def kernel(function: Function) -> Function:
    """Compile a function that makes no array: what `compiled` does, without counting references to its
    arguments.

    The pipeline hands some forty arrays from function to function; counting references to them took two
    thirds of its time. The caller holds them all while the kernel runs, so nothing is counted inside.
    """
    return _compile(function, counts_references=False)


def _compile(function: Function, counts_references: bool) -> Function:
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return np.errstate(over="ignore")(function)
    options: dict[str, Any] = {"cache": True, "error_model": "numpy", "forceinline": True}
    if not counts_references:
        options["_nrt"] = False
    wrapped: Function = numba.njit(**options)(function)
    return wrapped
