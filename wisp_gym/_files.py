"""Files that strangers name: read where ordinary and of limited size, written where that can work."""

from __future__ import annotations

from pathlib import Path

from wisp_gym.errors import InputError


def read_bytes(path: Path, most_bytes: int, what: str, origin: str | None = None) -> bytes:
    """Return an ordinary file's content.

    A pipe would keep its reader waiting, a device would never end: neither is opened.

    :param path: of the file
    :param most_bytes: a larger file is refused before it is read
    :param what: the kind of file, as in "a YAML file"
    :param origin: what to call the file in an error; its path by default
    :raises InputError: it is missing, no ordinary file, too large or cannot be read
    """
    origin = str(path) if origin is None else origin
    try:
        if path.is_dir():
            raise InputError(f"{origin}: is a folder, must be {what}")
        if not path.exists():
            raise InputError(f"{origin}: no such file")
        if not path.is_file():
            raise InputError(f"{origin}: must be an ordinary file")
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise InputError(f"{origin}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(content) > most_bytes:
        raise InputError(f"{origin}: larger than {most_bytes} bytes, must be {what}")
    return content


def check_target(path: Path, option: str) -> None:
    """Make sure that what stands where a file is to be written is an ordinary file, or nothing.

    Files are written under another name and renamed, which would replace a device by a file.

    :param path: of the file to be written
    :param option: what the user gave it with
    :raises InputError: a folder, a device, a pipe or a link to nowhere is there
    """
    try:
        if path.is_dir():
            raise InputError(f"{option}: {path} is a folder; a file of that name is to be written")
        if path.is_symlink() and not path.exists():
            raise InputError(f"{option}: {path} is a link to nowhere or to itself; a file is to be written")
        if path.exists() and not path.is_file():
            raise InputError(f"{option}: {path} is no ordinary file; a file is to be written")
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{option}: {path}: {getattr(error, 'strerror', None) or error}") from None
