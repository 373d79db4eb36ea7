"""Where a run's files go: a folder that is checked before any work and held by one training at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wisp_gym.errors import InputError
from wisp_gym.evaluation import lock
from wisp_gym.evaluation.output import check_writable

MODEL_WEIGHTS = "model.safetensors"
MODEL_RECORD = "model.json"
RUN_RECORD = "run.json"
CHECKPOINT = "checkpoint.safetensors"
VALIDATION_CSV = "validation.csv"
CURVES = "tensorboard"
VALIDATION = "validation"

_FILES = (MODEL_RECORD, MODEL_WEIGHTS, RUN_RECORD, CHECKPOINT, VALIDATION_CSV)


def check_folder(folder: Path, overwrite: bool) -> None:
    """Make sure that a folder can take a new run. Leaves no trace.

    :param folder: where the run's files are to go; it may not exist yet
    :param overwrite: whether the files of an earlier run there may be replaced
    :raises InputError: it holds a run already, is no folder, or cannot be written
    """
    check_writable(folder, _FILES)
    held = [name for name in (*_FILES, CURVES, VALIDATION) if (folder / name).exists()]
    if held and not overwrite:
        resume = f"--resume {folder} goes on with it, " if RUN_RECORD in held else ""
        raise InputError(f"--out {folder}: holds a run ({held[0]}); {resume}--overwrite replaces it")


@contextmanager
def cleared(folder: Path) -> Iterator[None]:
    """Take an earlier run's state and curves away. Its model stays until the new one replaces it.

    The new run.json is written inside the block: killed before, this is the old run without a checkpoint,
    killed after, the new one.

    :param folder: the run's
    """
    (folder / CHECKPOINT).unlink(missing_ok=True)
    yield
    (folder / VALIDATION_CSV).unlink(missing_ok=True)
    curves = folder / CURVES
    if curves.is_dir() and not curves.is_symlink():
        shutil.rmtree(curves, ignore_errors=True)
    else:
        curves.unlink(missing_ok=True)


def check_curves(folder: Path) -> None:
    """Make sure that a run that is taken up again can go on with its curves.

    :param folder: the run's
    :raises InputError: something that is no folder stands where they are
    """
    curves = folder / CURVES
    if (curves.exists() or curves.is_symlink()) and not curves.is_dir():
        raise InputError(f"--resume {folder}: {curves} is no folder; take it away, the curves go there")


def drop_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a run that is complete.

    :param folder: the run's
    """
    (folder / CHECKPOINT).unlink(missing_ok=True)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a folder; the lock goes with the process, however it ends.

    :param folder: made if it is missing, and taken away again if nothing has been written into it
    :raises InputError: another training holds it
    :raises OSError: it cannot be made
    """
    with lock.held(folder, _FILES, "another training"):
        yield


def check_resumable(folder: Path) -> None:
    """Make sure, before any work, that a run's folder can be written into.

    :param folder: the run's
    :raises InputError: it cannot
    """
    check_writable(folder, _FILES, "--resume")


def check_there(folder: Path) -> None:
    """Make sure, before something is added to a run, that its folder is still there.

    :param folder: of a run under way
    :raises InputError: it was moved or deleted meanwhile
    """
    if not (folder / RUN_RECORD).exists():
        raise InputError(f"{folder}: {RUN_RECORD} has gone: was the folder moved or deleted during the run?")
