"""What stands beside an event log: all that it takes to score it again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from wisp_gym._files import read_bytes
from wisp_gym._validation import Checked, build
from wisp_gym.errors import InputError
from wisp_gym.metrics import Serving

if TYPE_CHECKING:
    from wisp_gym.world import World

ENDING = ".log.json"
"""Of the file beside a log, whose own name is the same up to `.log`."""

FORMAT, VERSION = "wisp-gym event log", 1
MOST_BYTES = 2**26

Count = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
PlainName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.(parquet|csv)$", max_length=255)]


class LogFacts(Checked):
    """Facts on one log.

    format, version: of these facts and the log's columns.
    file: the log, in the same folder.
    rows: of the log.
    sha256: of the log's file.
    policy: what the row is called.
    controller: the policy's own full name.
    split: which family of worlds.
    seed: of the world within it.
    policies, seeds: of the whole evaluation, in order.
    fleets, loads: likewise; empty in a plain comparison.
    fleet: of a sweep of loads, the kind of fleet; None in a plain comparison.
    devices: of a sweep of loads, the size.
    provenance: of a sweep of loads, what the row rests on.
    window_s: where counting began and ended, simulated seconds.
    serving: what of the policy metrics rest on and the rows do not tell.
    world_sha256: of the world, which is drawn again from scenario, split and seed.
    scenario_sha256: the scenario's digest.
    scenario: its fields.
    versions: of what ran.
    """

    format: Literal["wisp-gym event log"]
    version: Literal[1]
    file: PlainName
    rows: Count
    sha256: Digest
    policy: str
    controller: str
    split: Literal["train", "validation", "test"]
    seed: Count
    policies: tuple[str, ...]
    seeds: tuple[Count, ...]
    fleets: tuple[str, ...] = ()
    loads: tuple[Count, ...] = ()
    fleet: str | None = None
    devices: Count | None = None
    provenance: str | None = None
    window_s: tuple[float, float]
    serving: dict[str, bool]
    world_sha256: Digest
    scenario_sha256: Digest
    scenario: dict[str, Any]
    versions: dict[str, str]

    def rules(self) -> Serving:
        """Return what of the policy metrics rest on."""
        return Serving(**self.serving)


def facts_json(facts: LogFacts) -> bytes:
    """Return the facts as JSON, numbers in full."""
    text = json.dumps(facts.model_dump(mode="json"), indent=2, ensure_ascii=True, allow_nan=False)
    return (text + "\n").encode()


def read_facts(path: Path, sha256: str | None = None) -> LogFacts:
    """Return the facts in a file.

    :param path: of the file
    :param sha256: it must have; None: any
    :raises InputError: it cannot be read, is another or holds none
    """
    content = read_bytes(path, MOST_BYTES, "the file beside an event log")
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(f"{path}: damaged: its SHA-256 is not the one that the seal of its folder says")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        raise InputError(f"{path}: not JSON; allowed: the file beside an event log") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"{path}: format: allowed: {FORMAT!r}, the file beside an event log")
    if data.get("version") != VERSION:
        raise InputError(f"{path}: version = {str(data.get('version'))[:40]}; allowed: {VERSION}")
    facts = build(LogFacts, data, str(path))
    try:
        facts.rules()
    except TypeError:
        raise InputError(f"{path}: serving: allowed: server_loop, whole_output, padded") from None
    return facts


def world_digest(world: World) -> str:
    """Return the SHA-256 (hexadecimal) of all that was drawn and of what things cost."""
    digest = hashlib.sha256()
    for name in world.arrays._fields:
        array: npt.NDArray[Any] = getattr(world.arrays, name)
        digest.update(f"{name} {array.shape} {array.dtype.itemsize}\n".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return digest.hexdigest()
