"""A folder of results that is either written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from wisp_gym._files import check_target
from wisp_gym.errors import InputError

CSV_FILE, SUMMARY_FILE, MANIFEST_FILE = "metrics.csv", "summary.json", "manifest.json"
FILES = (CSV_FILE, SUMMARY_FILE, MANIFEST_FILE)
"""What an evaluation writes."""

LONGEST_NAME = 100

PROBE_BYTES = 4096
"""Written and dropped before any work: a full disk takes no byte."""


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
    :raises InputError: they cannot: no folder, no permission, no space
    """
    there = existing_parent(folder, option)
    try:
        if not there.is_dir():
            raise InputError(f"{option} {folder}: {there} is a file; a folder is needed")
        for name in names:
            check_target(folder / name, f"{option} {folder}")
        with tempfile.TemporaryFile(prefix=".wisp-gym-", dir=there) as probe:
            probe.write(bytes(PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
        for name in names:  # what it is written as first has a longer name
            handle, path = tempfile.mkstemp(prefix=f".{name}-", dir=there)
            os.close(handle)
            os.unlink(path)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{option} {folder}: {there} cannot be written to ({reason})") from error


def existing_parent(folder: Path, option: str = "--out") -> Path:
    """Return the folder, absolute, or the nearest above it that exists.

    :param option: what the user gave it with
    :raises InputError: a link to nowhere or to itself is in the way, or no such path can be
    """
    there = folder.absolute()
    try:
        while not there.exists() and there != there.parent:
            if there.is_symlink():
                raise InputError(f"{option} {folder}: {there} is a link to nowhere or to itself")
            there = there.parent
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{option} {folder}: {there} cannot be written to ({reason})") from error
    return there


def write_together(
    folder: Path,
    files: Mapping[str, bytes],
    seal: str | Sequence[str] = (),
    written: Mapping[str, Path] | None = None,
) -> None:
    """Write files under other names and rename them at the end: old ones stay until all new ones are there.

    Every file is whole or not there, and on the disk before it gets its name. Renaming several is not one
    step: a process that is killed between two leaves new files beside old ones. Where a file of the set is
    its seal, that mixture has none.

    :param folder: made if it is missing
    :param files: content by name in the folder, or by absolute path
    :param seal: name of the file without which the others are no set, or of several in several folders: the
        old one is removed before the first of the others is renamed, the new one gets its name last
    :param written: files that are there under another name, on the same disk, by absolute path: moved first
    :raises OSError: the disk is full or gone; no half-written file is left behind
    """
    folder.mkdir(parents=True, exist_ok=True)
    made: list[tuple[Path, Path]] = [(path, Path(final)) for final, path in (written or {}).items()]
    try:
        for _, final in made:
            final.parent.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            made.append((_written_beside(folder / name, content), folder / name))
        seals = [folder / name for name in ([seal] if isinstance(seal, str) else seal)]
        made.sort(key=lambda pair: pair[1] in seals)
        for old in seals:
            old.unlink(missing_ok=True)
            _keep_names(old.parent)
        for temporary, final in made:
            os.replace(temporary, final)
    finally:
        for temporary, _ in made:
            temporary.unlink(missing_ok=True)
    for parent in {final.parent for _, final in made}:
        _keep_names(parent)


def _written_beside(final: Path, content: bytes) -> Path:
    """Write a file under a temporary name in the folder of its own, down to the disk; return its path.

    :raises OSError: it cannot be written; the error names the file as it was to be called
    """
    path: str | None = None
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(prefix=f".{final.name}-", dir=final.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
    except BaseException as error:
        if path is not None:
            Path(path).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(final)) from error
        raise
    return Path(path)


def _keep_names(folder: Path) -> None:
    """Let the names in a folder outlast a power cut, where the file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def unsealed(folder: Path) -> str | None:
    """Return why the files of a folder of results are not one whole set; None where they are.

    :param folder: with a manifest that has their hashes
    """
    try:
        hashes = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))["sha256"]
        for name, digest in dict(hashes).items():
            if hashlib.sha256((folder / str(name)).read_bytes()).hexdigest() != digest:
                return f"{name} is not the one that {MANIFEST_FILE} was written with"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return f"{MANIFEST_FILE} cannot be read ({type(error).__name__})"
    return None
