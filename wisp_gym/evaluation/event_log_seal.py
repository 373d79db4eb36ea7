"""What makes the event logs in a folder one evaluation's: a file with the hashes of all of them, put there
last and taken away first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from wisp_gym._files import check_target, read_bytes
from wisp_gym._validation import Checked, build
from wisp_gym.errors import InputError
from wisp_gym.evaluation.event_log_extent import Extent, RowKey
from wisp_gym.evaluation.event_log_facts import ENDING, MOST_BYTES, Count, Digest, LogFacts, read_facts

SEAL_FILE = "event-logs.json"
FORMAT, VERSION = "wisp-gym event logs", 1

NO_SEAL = (
    f"no {SEAL_FILE}: what wrote these event logs was killed before the last of them stood, or is an older "
    "version; the same command with --log-out writes them again"
)
_LONGEST_VALUE = 60


class Evaluated(Checked):
    """Which evaluation logs are of: those of two that differ here are never mixed.

    split: which family of worlds.
    policies, seeds: in order.
    fleets, loads: of a sweep of loads; empty in a plain comparison.
    scenario_sha256: the scenario's digest; of a sweep of loads one a fleet and size, the sizes of the first
    fleet first.
    """

    split: Literal["train", "validation", "test"]
    policies: tuple[str, ...]
    seeds: tuple[Count, ...]
    fleets: tuple[str, ...] = ()
    loads: tuple[Count, ...] = ()
    scenario_sha256: tuple[Digest, ...]

    @model_validator(mode="after")
    def _check_extent(self) -> Evaluated:
        for name in ("policies", "seeds", "fleets", "loads"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} must each stand there once")
        if not self.policies or not self.seeds or bool(self.fleets) != bool(self.loads):
            raise ValueError("policies and seeds must not be empty, fleets and loads both or neither")
        if len(self.scenario_sha256) != max(1, len(self.fleets)) * max(1, len(self.loads)):
            raise ValueError("scenario_sha256 must have one entry a fleet and size")
        return self

    def extent(self) -> Extent:
        """Return which rows it has."""
        return Extent(self.policies, self.seeds, self.fleets, self.loads)

    def contradiction(self, facts: LogFacts) -> str | None:
        """Return what of a log's facts is of another evaluation, and what is allowed; None: nothing."""
        for name in ("split", "policies", "seeds", "fleets", "loads"):
            if getattr(facts, name) != getattr(self, name):
                return _differs(name, getattr(facts, name), getattr(self, name))
        places = self.extent().places()
        if (facts.fleet, facts.devices) not in places:
            return _differs("fleet, devices", (facts.fleet, facts.devices), places)
        if facts.policy not in self.policies or facts.seed not in self.seeds:
            return _differs("policy, seed", (facts.policy, facts.seed), (self.policies, self.seeds))
        digest = self.scenario_sha256[places.index((facts.fleet, facts.devices))]
        if facts.scenario_sha256 != digest:
            return _differs("scenario_sha256", facts.scenario_sha256, digest)
        return None


class LogSeal(Evaluated):
    """The seal of a folder of logs.

    format, version: of the seal.
    sha256: of every log and of the file beside it, by name.
    """

    format: Literal["wisp-gym event logs"]
    version: Literal[1]
    sha256: dict[str, Digest]

    @model_validator(mode="after")
    def _check_count(self) -> LogSeal:
        if len(self.sha256) != 2 * self.extent().count():
            raise ValueError("sha256 must have two entries a row: a log and what stands beside it")
        return self


def _differs(name: str, value: object, allowed: object) -> str:
    """Return what is wrong with a value."""
    return f"{name} = {_short(value)}; allowed: {_short(allowed)}"


def _short(value: object) -> str:
    """Return a value as text of limited length."""
    if isinstance(value, tuple | list):
        value = list(value)
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def seal_json(evaluated: Evaluated, sha256: dict[str, str]) -> bytes:
    """Return a seal as JSON.

    :param evaluated: which evaluation the logs are of
    :param sha256: of every file, by name
    """
    seal = LogSeal(format="wisp-gym event logs", version=1, sha256=sha256, **evaluated.model_dump())
    return (json.dumps(seal.model_dump(mode="json"), indent=2, ensure_ascii=True) + "\n").encode()


def read_seal(folder: Path) -> LogSeal:
    """Return the seal of a folder.

    :raises InputError: it has none, or it cannot be read
    """
    path = folder / SEAL_FILE
    if not path.is_file():
        raise InputError(f"{folder}: {NO_SEAL}")
    try:
        data: Any = json.loads(read_bytes(path, MOST_BYTES, "the seal of a folder of event logs"))
    except (ValueError, RecursionError):
        raise InputError(f"{path}: not JSON; allowed: what --log-out wrote") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"{path}: format: allowed: {FORMAT!r}, what --log-out wrote")
    if data.get("version") != VERSION:
        raise InputError(f"{path}: version = {str(data.get('version'))[:40]}; allowed: {VERSION}")
    return build(LogSeal, data, str(path))


def sealed_facts(folder: Path, seal: LogSeal, row: RowKey) -> LogFacts:
    """Return the facts of a row, which are those that the seal was written with and agree with it.

    :raises InputError: they are not, or do not
    """
    stem = seal.extent().stem(*row)
    path = folder / f"{stem}{ENDING}"
    if path.name not in seal.sha256:
        raise InputError(f"{folder / SEAL_FILE}: sha256: {path.name} is missing")
    facts = read_facts(path, seal.sha256[path.name])
    wrong = seal.contradiction(facts)
    if wrong is not None:
        raise InputError(f"{path}: {wrong}, as {SEAL_FILE} says")
    found = (facts.fleet, facts.devices, facts.policy, facts.seed)
    if found != row:
        raise InputError(f"{path}: {_differs('fleet, devices, policy, seed', found, row)}")
    names = (f"{stem}.log.parquet", f"{stem}.log.csv")
    if facts.file not in names:
        raise InputError(f"{path}: {_differs('file', facts.file, ' or '.join(names))}")
    if seal.sha256.get(facts.file) != facts.sha256:
        raise InputError(f"{path}: sha256: not the one of {facts.file} in {SEAL_FILE}")
    return facts


def refuse_others(folder: Path, evaluated: Evaluated, names: Iterable[str]) -> None:
    """Make sure that a folder holds no event logs but those of one evaluation, which may be replaced.

    Where a process was killed on the way the folder has no seal: then every log's facts must be of it.

    :param folder: of the logs; it may not exist yet
    :param evaluated: the evaluation
    :param names: of the files to be written
    :raises InputError: it holds others, or something that is no file stands where one is to be written
    """
    for name in (*names, SEAL_FILE):
        check_target(folder / name, f"--log-out {folder}")
    if (folder / SEAL_FILE).exists():
        seal = read_seal(folder)
        for name in Evaluated.model_fields:
            if getattr(seal, name) != getattr(evaluated, name):
                _refuse(folder, SEAL_FILE, _differs(name, getattr(seal, name), getattr(evaluated, name)))
        return
    for path in sorted(folder.glob(f"*{ENDING}")):
        wrong = evaluated.contradiction(read_facts(path))
        if wrong is not None:
            _refuse(folder, path.name, wrong)


def _refuse(folder: Path, name: str, wrong: str) -> None:
    """Say that a file is of another evaluation."""
    raise InputError(
        f"--log-out {folder}: {name} is of another evaluation: {wrong}, or a folder without event logs"
    )


def seals_among(written: Iterable[str]) -> list[str]:
    """Return those of some files that seal a folder of logs."""
    return [path for path in written if Path(path).name == SEAL_FILE]


def check_alike(all_facts: Sequence[LogFacts], folder: Path) -> None:
    """Make sure that the logs of an evaluation do not contradict each other.

    :param all_facts: of all its rows
    :param folder: of the logs, for the message
    :raises InputError: they do
    """
    rests_on: dict[tuple[str | None, str], LogFacts] = {}
    for facts in all_facts:
        first = all_facts[0]
        if facts.versions != first.versions:
            raise InputError(f"{folder}: versions: {first.file} and {facts.file} are of two evaluations")
        first = rests_on.setdefault((facts.fleet, facts.policy), facts)
        if facts.provenance != first.provenance:
            raise InputError(f"{folder}: provenance: {first.file} and {facts.file} are of two evaluations")
