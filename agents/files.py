"""Where a run's files go: a folder checked before any work, and files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from wisp_gym.errors import InputError

MODEL_WEIGHTS = "model.safetensors"
MODEL_RECORD = "model.json"
MANIFEST = "manifest.json"
CURVES = "tensorboard"
RUN_FILES = (MODEL_WEIGHTS, MODEL_RECORD, MANIFEST, CURVES)


def claim_folder(folder: Path, overwrite: bool) -> None:
    """Create the folder of a run, or make sure that an existing one can take it.

    :param folder: where the run's files are to go
    :param overwrite: whether files of an earlier run there may be replaced
    :raises InputError: it holds a run already, is no folder, or cannot be written
    """
    held = [name for name in RUN_FILES if (folder / name).exists()]
    if held and not overwrite:
        raise InputError(
            f"--out {folder}: holds a run already ({held[0]}); use --overwrite or another folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be written ({error.strerror})") from error
    # Old curves would be drawn into the new ones; the old model stays until the new one replaces it.
    shutil.rmtree(folder / CURVES, ignore_errors=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that no reader ever sees half of it."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
