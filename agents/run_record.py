"""run.json: what a run was started with, so that it can be taken up again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from agents.files import CHECKPOINT, RUN_RECORD
from agents.settings import Settings
from wisp_gym._files import read_bytes
from wisp_gym._json import parse_json
from wisp_gym._validation import Checked, build
from wisp_gym.errors import InputError, shown
from wisp_gym.evaluation.output import write_together

FORMAT = 1
MAX_BYTES = 1 << 20


class RunRecord(Checked):
    """A run's recipe and whether it is done.

    :ivar format: version of this layout; a reader takes only its own
    :ivar scenario: name or path of the training scenario
    :ivar overrides: changes to that scenario, as "key=value"
    :ivar scenario_sha256: of the scenario's content: a file may change between two parts of a run
    :ivar seed: of the weights, the sampled actions and the training worlds
    :ivar settings: the agent's settings
    :ivar table_worlds: worlds of the closing table
    :ivar complete: whether training ran to its end
    """

    format: Literal[1] = 1
    scenario: str
    overrides: tuple[str, ...]
    scenario_sha256: str
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    settings: Settings
    table_worlds: Annotated[int, Field(ge=0, lt=2**32)]
    complete: bool = False

    def digest(self) -> str:
        """Return what tells this run from others, whether or not it is done."""
        return hashlib.sha256(
            self.model_copy(update={"complete": False}).model_dump_json().encode()
        ).hexdigest()


def write(folder: Path, record: RunRecord) -> None:
    """Write run.json.

    :param folder: the run's
    :param record: its content
    """
    write_together(folder, {RUN_RECORD: f"{record.model_dump_json(indent=2)}\n".encode()})


def read(folder: Path) -> RunRecord:
    """Return a run's record.

    :param folder: the run's
    :raises InputError: there is none, or it is damaged or of another format
    """
    path = folder / RUN_RECORD
    try:
        there = path.is_file()
    except (OSError, ValueError) as error:
        raise InputError(f"--resume {folder}: {getattr(error, 'strerror', None) or error}") from None
    if not there:
        raise InputError(f"--resume {folder}: no run to go on with ({RUN_RECORD} is missing): start it anew")
    fields: Any = parse_json(read_bytes(path, MAX_BYTES, "a JSON file"), str(path))
    found = fields.get("format") if isinstance(fields, dict) else None
    if found != FORMAT:
        raise InputError(f"{path}: format {shown(found)} is not known; this version reads format {FORMAT}")
    return build(RunRecord, fields, str(path))


def kept(folder: Path) -> str:
    """Return what there is of a run that has ended, and the command that goes on with it.

    :param folder: the run's
    """
    try:
        complete = read(folder).complete
    except InputError:
        return f"nothing of {folder} has been kept: start it anew"
    resume = f"train.py --resume {folder}"
    if complete:
        return f"the model is in {folder}; {resume} makes what is missing of the comparison"
    if (folder / CHECKPOINT).exists():
        return f"{resume} goes on from its last checkpoint"
    return f"{resume} begins it again, there is no checkpoint yet"
