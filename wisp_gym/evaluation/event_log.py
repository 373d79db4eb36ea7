"""Event logs of an evaluation: one a policy and world, written as its run ends and moved into place with the
results."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wisp_gym.evaluation.event_log_extent import Extent
from wisp_gym.evaluation.event_log_facts import ENDING, LogFacts, facts_json, read_facts, world_digest
from wisp_gym.evaluation.event_log_rows import Form, LogWriter, check_form
from wisp_gym.evaluation.event_log_seal import SEAL_FILE, Evaluated, refuse_others, seal_json
from wisp_gym.evaluation.lock import held
from wisp_gym.evaluation.output import check_writable
from wisp_gym.evaluation.versions import versions
from wisp_gym.metrics import serving
from wisp_gym.pipeline import Simulation

if TYPE_CHECKING:
    from wisp_gym.evaluation.spec import RowSpec, Split
    from wisp_gym.pipeline import Policy
    from wisp_gym.world import World

STAGED = ".event-logs-"
"""How the name begins of the folder in which logs lie until they are moved."""


@dataclass(frozen=True)
class LogTo:
    """Where one row's log goes, and what its facts say beside the row.

    :param folder: where it is written at first
    :param form: of the log's file
    :param extent: of the evaluation
    :param fleet: of a sweep of loads, the kind of fleet; :param devices: the size
    :param provenance: what the row rests on, likewise
    """

    folder: Path
    form: Form
    extent: Extent
    fleet: str | None = None
    devices: int | None = None
    provenance: str | None = None


class EventLogs:
    """The logs of one evaluation, which appear in their folder together, with its results.

    :param folder: where they will be
    :param staged: where they are until then
    :param form: of their files
    """

    def __init__(self, folder: Path, staged: Path, form: Form) -> None:
        self.folder, self.staged, self.form = folder, staged, form
        self.evaluated: Evaluated | None = None

    def begin(self, extent: Extent, split: Split, scenarios: Sequence[str]) -> None:
        """Say which evaluation it is, before any work.

        :param extent: its rows
        :param split: which worlds
        :param scenarios: the scenario's digest; of a sweep of loads one for each of `extent.places()`
        :raises InputError: the folder holds logs of another evaluation
        """
        evaluated = Evaluated(split=split, scenario_sha256=tuple(scenarios), **dataclasses.asdict(extent))
        stems = [extent.stem(*row) for row in extent.rows()]
        endings = (f".log.{self.form}", ENDING)
        refuse_others(self.folder, evaluated, (stem + ending for stem in stems for ending in endings))
        self.evaluated = evaluated

    def to(
        self, fleet: str | None = None, devices: int | None = None, provenance: str | None = None
    ) -> LogTo:
        """Return where a row's log goes; parameters as `LogTo`'s."""
        return LogTo(self.staged, self.form, self._begun().extent(), fleet, devices, provenance)

    def written(self) -> dict[str, Path]:
        """Return the files written so far and their seal, by the absolute path they are to have, for
        `write_together` to move. Facts come first, so that no log stands there without.

        :raises OSError: they cannot be brought to the disk
        """
        facts = sorted(self.staged.glob(f"*{ENDING}"))
        logs: list[Path] = []
        hashes: dict[str, str] = {}
        for path in facts:
            beside = read_facts(path)
            logs.append(self.staged / beside.file)
            hashes |= {path.name: hashlib.sha256(path.read_bytes()).hexdigest(), beside.file: beside.sha256}
        seal = self.staged / SEAL_FILE
        seal.write_bytes(seal_json(self._begun(), hashes))
        paths = [*facts, *logs, seal]
        for path in paths:
            path.chmod(0o644)
            _to_disk(path)
        return {str((self.folder / path.name).absolute()): path for path in paths}

    def _begun(self) -> Evaluated:
        """Return which evaluation it is."""
        if self.evaluated is None:
            raise RuntimeError("event logs: begin() says first which evaluation they are of")
        return self.evaluated


def _to_disk(path: Path) -> None:
    """Let a file's content outlast a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def event_logs(folder: Path, form: str, locked: Path | None = None) -> Iterator[EventLogs]:
    """Keep others out of a folder and give a place for an evaluation's logs; what is not moved from there by
    the end is removed, and what a killed evaluation has left there too.

    :param folder: where they are to be; made if it is missing
    :param form: "parquet" or "csv"
    :param locked: a folder that is held already: no second lock is taken where it is the same
    :raises InputError: the folder cannot be written to, another evaluation holds it, or Parquet cannot be
    written
    """
    checked = check_form(form)
    check_writable(folder, (SEAL_FILE,), "--log-out")
    is_held = locked is not None and folder.exists() and locked.samefile(folder)
    with nullcontext() if is_held else held(folder):
        for left in folder.glob(f"{STAGED}*"):
            shutil.rmtree(left, ignore_errors=True)
        staged = Path(tempfile.mkdtemp(prefix=STAGED, dir=folder))
        try:
            yield EventLogs(folder, staged, checked)
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def run_logged(spec: RowSpec, to: LogTo, world: World, policy: Policy) -> Simulation:
    """Run a policy to the horizon, its log written on the way, and write the facts beside it.

    :param spec: what is run; :param to: where its files go
    :param world: of the specification
    :param policy: of its own
    :raises OSError: they cannot be written
    """
    stem = to.extent.stem(to.fleet, to.devices, spec.policy, spec.seed)
    path = to.folder / f"{stem}.log.{to.form}"
    writer = LogWriter(path, to.form)
    try:
        simulation = Simulation(world, policy, policy_seed=spec.seed, log_sink=writer.add).run()
        simulation.hand_over()
    finally:
        writer.close()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    facts = LogFacts(
        format="wisp-gym event log",
        version=1,
        file=path.name,
        rows=writer.rows,
        sha256=digest,
        policy=spec.policy,
        controller=policy.name,
        split=spec.split,
        seed=spec.seed,
        policies=to.extent.policies,
        seeds=to.extent.seeds,
        fleets=to.extent.fleets,
        loads=to.extent.loads,
        fleet=to.fleet,
        devices=to.devices,
        provenance=to.provenance,
        window_s=(world.warmup_ns * 1e-9, world.horizon_ns * 1e-9),
        serving=dataclasses.asdict(serving(simulation)),
        world_sha256=world_digest(world),
        scenario_sha256=spec.scenario.digest(),
        scenario=spec.scenario.file.model_dump(mode="json"),
        versions=versions(),
    )
    (to.folder / f"{stem}{ENDING}").write_bytes(facts_json(facts))
    return simulation
