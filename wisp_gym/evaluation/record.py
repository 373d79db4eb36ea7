"""Records of searches for the best constant action: files that the name `tuned` finds again."""

from __future__ import annotations

import dataclasses
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from wisp_gym._jit import _sources_digest
from wisp_gym.envs.constant import constant_policy, describe
from wisp_gym.errors import InputError
from wisp_gym.evaluation.json_text import json_bytes
from wisp_gym.evaluation.output import write_together
from wisp_gym.evaluation.tune import TuneRecord

if TYPE_CHECKING:
    from wisp_gym.scenario import Scenario

TUNED_FOLDER = Path("results") / "tuned"
"""Where records are kept, under the current folder."""

DIGEST_DIGITS = 12


def record_name(scenario: Scenario) -> str:
    """Return the file's name: the scenario's, and what tells its settings from others.

    :param scenario: with everything that was changed
    """
    name = re.sub(r"[^A-Za-z0-9.]+", "-", scenario.name).strip("-.") or "scenario"
    return f"{name[:60]}-{scenario.digest()[:DIGEST_DIGITS]}.json"


def record_json(record: TuneRecord) -> bytes:
    """Return a record as JSON; the same record gives the same bytes."""
    return json_bytes(dataclasses.asdict(record))


def store(record: TuneRecord, path: Path) -> None:
    """Write a record, whole or not at all.

    :param record: of a finished search
    :param path: of the file; its folder is made if it is missing
    :raises OSError: it cannot be written; an earlier one is still there
    """
    write_together(path.parent, {path.name: record_json(record)})


def stored(scenario: Scenario, folder: Path) -> TuneRecord | None:
    """Return the record of a scenario, if there is one that this version of the library has made.

    :param scenario: with everything that was changed
    :param folder: where records are kept
    :raises InputError: the file is damaged
    """
    path = folder / record_name(scenario)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    record = read_record(content, path)
    same = (record.scenario_sha256, record.sources_sha256) == (scenario.digest(), _sources_digest())
    return record if same else None


def read_record(content: bytes, path: Path) -> TuneRecord:
    """Return the record that a file holds.

    :param content: of the file
    :param path: for the message
    :raises InputError: it holds none
    """
    try:
        record = _adapter().validate_json(content)
        constant_policy(record.ranked()[0].values)
        if record.words != describe(_winner(record)):
            raise InputError("words: they do not name the winner")
    except ValidationError as error:
        first = error.errors()[0]
        raise _damaged(path, f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}") from None
    except (InputError, LookupError, StopIteration) as error:
        raise _damaged(path, str(error) or "nothing in it") from None
    return record


def _winner(record: TuneRecord) -> tuple[int, ...]:
    """Return the action that won, one of the finalists."""
    return next(trial.values for trial in record.finalists if trial.action == record.winner)


def _damaged(path: Path, why: str) -> InputError:
    """Return the error for a file that is no record."""
    return InputError(f"{path}: not a record of a search ({why}); delete it, or run evaluate.py --tune anew")


@cache
def _adapter() -> TypeAdapter[TuneRecord]:
    """Return what reads a record from JSON."""
    return TypeAdapter(TuneRecord)
