"""Event logs of an evaluation: one a policy and world, written as its run ends and moved into place with the
results."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wisp_gym.errors import InputError
from wisp_gym.evaluation.event_log_facts import ENDING, FORMAT, VERSION, LogFacts, facts_json, read_facts, world_digest
from wisp_gym.evaluation.event_log_rows import Form, check_form, write_rows
from wisp_gym.evaluation.manifest import versions
from wisp_gym.evaluation.output import check_writable, existing_parent
from wisp_gym.metrics import serving

if TYPE_CHECKING:
    from wisp_gym.evaluation.spec import RowSpec
    from wisp_gym.pipeline import Simulation

LONGEST_NAME = 60


@dataclass(frozen=True)
class LogTo:
    """Where one row's log goes, and what its facts say of the evaluation.

    :param folder: where it is written at first
    :param stem: of its files' names
    :param form: of the log's file
    :param policies: of the evaluation, in order; :param seeds: likewise
    :param fleet: of a sweep of loads, the kind of fleet; :param devices: the size
    :param provenance: what the row rests on
    """

    folder: Path
    stem: str
    form: Form
    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    fleet: str | None = None
    devices: int | None = None
    provenance: str | None = None


@dataclass(frozen=True)
class EventLogs:
    """The logs of one evaluation.

    :param folder: where they will be
    :param staged: where they are until the evaluation is done
    :param form: of their files
    """

    folder: Path
    staged: Path
    form: Form

    def to(
        self,
        policies: Sequence[str],
        seeds: Sequence[int],
        policy: str,
        seed: int,
        fleet: str | None = None,
        devices: int | None = None,
        provenance: str | None = None,
    ) -> LogTo:
        """Return where one row's log goes; parameters as `LogTo`'s and the row's."""
        name = re.sub(r"[^A-Za-z0-9.]+", "-", policy).strip("-.")[:LONGEST_NAME] or "policy"
        load = "" if fleet is None else f"{re.sub(r'[^A-Za-z0-9.]+', '-', fleet)}-{devices}-"
        stem = f"{load}{list(policies).index(policy):02d}-{name}-s{seed}"
        return LogTo(
            self.staged, stem, self.form, tuple(policies), tuple(seeds), fleet, devices, provenance
        )

    def finished(self) -> Mapping[str, Path]:
        """Return where the files written are, by the absolute path they are to have."""
        return {str((self.folder / path.name).absolute()): path for path in sorted(self.staged.iterdir())}

    def remove_older(self) -> None:
        """Remove the logs of an earlier evaluation from the folder; those written by this one stay."""
        ours = {Path(name).name for name in self._names}
        for path in self.folder.glob(f"*{ENDING}"):
            if path.name in ours:
                continue
            try:
                log = read_facts(path).file
            except InputError:
                continue  # not ours
            path.unlink(missing_ok=True)
            if log not in ours:
                (self.folder / log).unlink(missing_ok=True)
