"""What the tests of faults give to processes of their own; light to import."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from pathlib import Path

from wisp_gym.errors import InputError

FULL = OSError(errno.ENOSPC, "No space left on device")


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def a_set(word: str) -> dict[str, bytes]:
    """A CSV, a JSON and the manifest that has their hashes."""
    files = {"metrics.csv": f"{word} rows".encode(), "summary.json": f"{word} figures".encode()}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return {"manifest.json": json.dumps({"sha256": hashes}).encode(), **files}


def slow(folder: str) -> None:
    """Say that this process is at work, then be long at it."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)


def odd(number: int) -> int:
    if number == 3:
        raise InputError("three")
    if number == 9:
        os._exit(7)
    return number
