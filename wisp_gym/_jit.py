"""Decorators of kernel functions: compiled by Numba, or the same Python when Numba is switched off."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np

from wisp_gym._code_cache import CodeFile, tell_once

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

    The pipeline hands some forty arrays from function to function; counting references to them took
    most of its time. The caller holds them all while the kernel runs, so nothing is counted inside.
    """
    return _compile(function, counts_references=False)


def _compile(function: Function, counts_references: bool) -> Function:
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return np.errstate(over="ignore")(function)
    options: dict[str, Any] = {"cache": True, "error_model": "numpy", "forceinline": True}
    if not counts_references:
        options["_nrt"] = False
    try:
        dispatcher: Any = numba.njit(**options)(function)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        tell_once("no folder for it can be written to")
        options["cache"] = False
        dispatcher = numba.njit(**options)(function)
    if options["cache"]:
        dispatcher = _kept(dispatcher, function, options)
    wrapped: Function = dispatcher
    return wrapped


def _kept(dispatcher: Any, function: Function, options: dict[str, Any]) -> Any:
    """Return a dispatcher whose machine code is kept as `CodeFile` does, under a stamp of all sources."""
    plain = getattr(dispatcher._cache, "_cache_file", None)
    stamp, folder = getattr(plain, "_source_stamp", None), getattr(dispatcher._cache, "_cache_path", None)
    if stamp is None or folder is None:  # a Numba that keeps it elsewhere: compile anew, not stale code
        return numba.njit(**options | {"cache": False})(function)
    base = dispatcher._cache._impl.filename_base
    dispatcher._cache._cache_file = CodeFile(folder, base, (stamp, _sources_digest()))
    return dispatcher


@cache
def _sources_digest() -> str:
    """Return a hash of the library's source.

    Numba keeps a function's machine code until that function's own file changes, though other files'
    functions are compiled into it. With this in the stamp, any change of the library makes all of it
    compile anew.
    """
    digest = sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
