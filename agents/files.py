"""Where a run's files go: a folder that is checked before any work."""

from __future__ import annotations

import shutil
from pathlib import Path

from wisp_gym.errors import InputError
from wisp_gym.evaluation.output import check_writable

MODEL_WEIGHTS = "model.safetensors"
MODEL_RECORD = "model.json"
CURVES = "tensorboard"
VALIDATION = "validation"


def claim_folder(folder: Path, overwrite: bool) -> None:
    """Make sure that a folder can take a run; with `overwrite`, clear an earlier run's curves from it.

    :param folder: where the run's files are to go; it may not exist yet
    :param overwrite: whether the files of an earlier run there may be replaced
    :raises InputError: it holds a run already, is no folder, or cannot be written
    """
    check_writable(folder, (MODEL_WEIGHTS, MODEL_RECORD))
    held = [name for name in (MODEL_RECORD, MODEL_WEIGHTS, CURVES, VALIDATION) if (folder / name).exists()]
    if held and not overwrite:
        raise InputError(f"--out {folder}: holds a run ({held[0]}); use --overwrite or another folder")
    # New curves would be drawn into the old ones. The old model stays until the new one replaces it.
    shutil.rmtree(folder / CURVES, ignore_errors=True)
