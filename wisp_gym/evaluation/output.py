"""A folder of results that is either written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from wisp_gym._files import check_target
from wisp_gym.errors import InputError

CSV_FILE, SUMMARY_FILE, MANIFEST_FILE = "metrics.csv", "summary.json", "manifest.json"
FILES = (CSV_FILE, SUMMARY_FILE, MANIFEST_FILE)
"""What an evaluation writes."""

LONGEST_NAME = 100


def default_folder(scenario: str, policies: Sequence[str]) -> Path:
    """Return results/<scenario>-<policies> under the current folder, a legible name for any policy.

    :param scenario: its name
    :param policies: their names, and what else tells one comparison from another
    """
    spelt = "-".join([scenario, *policies])
    name = re.sub(r"[^A-Za-z0-9.]+", "-", spelt).strip("-.") or "results"
    if len(name) > LONGEST_NAME:
        name = f"{name[:LONGEST_NAME]}-{hashlib.sha256(spelt.encode()).hexdigest()[:8]}"
    return Path("results") / name


def check_writable(folder: Path, names: Sequence[str] = FILES, option: str = "--out") -> None:
    """Make sure, before any work, that files can be written into a folder. Leaves no trace.

    :param folder: where results go; it may not exist yet
    :param names: of the files
    :param option: what the user gave it with
    :raises InputError: they cannot
    """
    there = folder.absolute()
    try:
        while not there.exists() and there != there.parent:
            if there.is_symlink():
                raise InputError(f"{option} {folder}: {there} is a link to nowhere or to itself")
            there = there.parent
        if not there.is_dir():
            raise InputError(f"{option} {folder}: {there} is a file; a folder is needed")
        for name in names:
            check_target(folder / name, f"{option} {folder}")
        os.rmdir(tempfile.mkdtemp(prefix=".wisp-gym-", dir=there))
        for name in names:  # what it is written as first has a longer name
            handle, path = tempfile.mkstemp(prefix=f".{name}-", dir=there)
            os.close(handle)
            os.unlink(path)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{option} {folder}: {there} cannot be written to ({reason})") from error


def write_together(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files under other names and rename them at the end: old ones stay until all new ones are there.

    :param folder: made if it is missing
    :param files: content by name in the folder, or by absolute path
    :raises OSError: the disk is full or gone; nothing is left behind
    """
    folder.mkdir(parents=True, exist_ok=True)
    made: list[tuple[Path, Path]] = []
    try:
        for name, content in files.items():
            final = folder / name
            final.parent.mkdir(parents=True, exist_ok=True)
            handle, path = tempfile.mkstemp(prefix=f".{final.name}-", dir=final.parent)
            made.append((Path(path), final))
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                os.fchmod(file.fileno(), 0o644)
        for temporary, final in made:
            os.replace(temporary, final)
    finally:
        for temporary, _ in made:
            temporary.unlink(missing_ok=True)
