"""A folder that one run at a time writes into."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from wisp_gym.errors import InputError

_HELD = (errno.EWOULDBLOCK, errno.EACCES)
_TRIES = 20


@contextmanager
def held(folder: Path, names: Sequence[str] = (), who: str = "another evaluation") -> Iterator[None]:
    """Keep others out of a folder; the lock goes with the process, however that ends.

    Folders that had to be made for it are taken away again if nothing has been written into them. Where the
    file system knows no locks nobody is kept out.

    :param folder: made if it is missing
    :param names: of the files to be written: what a killed run left half written of them is removed
    :param who: may hold it, for the message
    :raises InputError: another holds it
    :raises OSError: it cannot be made or read
    """
    made: list[Path] = []
    try:
        handle = _open_locked(folder, made, who)
        try:
            for name in names:
                for half_written in folder.glob(f".{name}-*"):
                    half_written.unlink(missing_ok=True)
            yield
        finally:
            _take_away(made)  # while it is locked: whoever waits for it sees that it has gone
            os.close(handle)
    finally:
        _take_away(made)


def _open_locked(folder: Path, made: list[Path], who: str) -> int:
    """Return a handle of the folder, locked; folders that had to be made join `made`, deepest last."""
    for _ in range(_TRIES):
        _make(folder, made)
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # the run before has just taken its empty folder away
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                os.close(handle)
                raise InputError(f"{folder}: {who} is writing into it") from None
        if _is_still(folder, handle):
            return handle
        os.close(handle)
    raise InputError(f"{folder}: is taken away again and again by other runs")


def _make(folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it, and note which were missing."""
    missing = []
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        missing.append(there)
        there = there.parent
    for one in reversed(missing):
        with suppress(FileExistsError):
            one.mkdir()
            made.append(one)
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file; a folder is needed")


def _is_still(folder: Path, handle: int) -> bool:
    """Return whether the folder of a handle is the one that stands under that name."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(folder))
    except FileNotFoundError:
        return False


def _take_away(made: list[Path]) -> None:
    """Remove the folders that are still empty, deepest first."""
    with suppress(OSError):
        while made:
            made[-1].rmdir()
            made.pop()
