"""Where machine code is kept between runs: Numba's cache, made to outlast kills, full and read-only disks."""

from __future__ import annotations

import itertools
import pickle
import sys
from functools import cache
from typing import Any

from numba.core.caching import IndexDataCacheFile

_Plain: Any = IndexDataCacheFile


class CodeFile(_Plain):  # type: ignore[misc]
    """The index and the machine code of one function.

    Numba's own writes the index first: a process killed between the two leaves a new index that names the old
    machine code, which would then be run. Here the code is written first. A file that cannot be read is one
    that is not there; one that cannot be written costs a line and the time to compile again.
    """

    def save(self, key: Any, data: Any) -> None:
        """Save machine code, then the index that names it.

        :param key: signature, processor, hashes of the function's own code
        :param data: the machine code
        """
        try:
            overloads = self._load_index()
            name = overloads.get(key)
            if name is None:
                taken = set(overloads.values())
                name = next(one for one in map(self._data_name, itertools.count(1)) if one not in taken)
            self._save_data(name, data)
            self._save_index(overloads | {key: name})
        except OSError as error:
            tell_once(error.strerror or str(error))

    def load(self, key: Any) -> Any:
        """Return kept machine code; None where there is none that can be read.

        :param key: as for `save`
        """
        try:
            return super().load(key)
        except OSError:
            return None

    def _load_index(self) -> Any:
        try:
            return super()._load_index()
        except _UNREADABLE:
            return {}

    def _load_data(self, name: str) -> Any:
        try:
            return super()._load_data(name)
        except _UNREADABLE as error:
            raise OSError(f"{name}: damaged") from error


_UNREADABLE = (OSError, EOFError, pickle.UnpicklingError, ValueError, TypeError, AttributeError, IndexError)


@cache
def tell_once(why: str) -> None:
    """Say on standard error that code has to be compiled again next time, once for every reason.

    :param why: what hinders
    """
    print(f"note: compiled code cannot be kept ({why}); every process compiles it anew", file=sys.stderr)
