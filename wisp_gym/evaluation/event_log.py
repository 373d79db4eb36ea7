"""Event logs of an evaluation: one a policy and world, written as its run ends and moved into place with the
results."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from wisp_gym.errors import InputError
from wisp_gym.evaluation.event_log_facts import ENDING, LogFacts, facts_json, world_digest
from wisp_gym.evaluation.event_log_rows import Form, LogWriter, check_form
from wisp_gym.evaluation.output import check_writable, existing_parent
from wisp_gym.evaluation.versions import versions
from wisp_gym.metrics import serving
from wisp_gym.pipeline import Simulation

if TYPE_CHECKING:
    from wisp_gym.evaluation.spec import RowSpec
    from wisp_gym.pipeline import Policy
    from wisp_gym.world import World

LONGEST_NAME = 60


@dataclass(frozen=True)
class Extent:
    """Which rows an evaluation has: all combinations.

    :param policies: in order; :param seeds: likewise
    :param fleets: kinds of fleets, of a sweep of loads; :param loads: their sizes
    """

    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    fleets: tuple[str, ...] = ()
    loads: tuple[int, ...] = ()

    def rows(self) -> list[tuple[str | None, int | None, str, int]]:
        """Return (fleet, devices, policy, seed) of every row; None and None in a plain comparison."""
        fleets: tuple[str | None, ...] = self.fleets or (None,)
        loads: tuple[int | None, ...] = self.loads or (None,)
        return list(product(fleets, loads, self.policies, self.seeds))

    def stem(self, fleet: str | None, devices: int | None, policy: str, seed: int) -> str:
        """Return the beginning of the names of a row's files."""
        load = "" if fleet is None else f"{_plain(fleet)}-{devices}-"
        return f"{load}{self.policies.index(policy):02d}-{_plain(policy)}-s{seed}"


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
        self.extent = Extent((), ())

    def begin(self, extent: Extent) -> None:
        """Say which rows there will be, before any work.

        :raises InputError: the folder holds logs of another evaluation, and the two could not be told apart
        """
        self.extent = extent
        ours = {f"{extent.stem(*row)}{ENDING}" for row in extent.rows()}
        others = sorted(path.name for path in self.folder.glob(f"*{ENDING}") if path.name not in ours)
        if others:
            raise InputError(
                f"--log-out {self.folder}: {others[0]} is of another evaluation; "
                "allowed: a folder without other event logs"
            )

    def to(
        self, fleet: str | None = None, devices: int | None = None, provenance: str | None = None
    ) -> LogTo:
        """Return where a row's log goes; parameters as `LogTo`'s."""
        return LogTo(self.staged, self.form, self.extent, fleet, devices, provenance)

    def written(self) -> dict[str, Path]:
        """Return the files written so far, by the absolute path they are to have: `write_together` moves
        them."""
        return {str((self.folder / path.name).absolute()): path for path in sorted(self.staged.iterdir())}


def _plain(name: str) -> str:
    """Return a name fit for a file's."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:LONGEST_NAME] or "policy"


@contextmanager
def event_logs(folder: Path, form: str) -> Iterator[EventLogs]:
    """Give a place for an evaluation's logs; what is not moved from there by the end is removed.

    :param folder: where they are to be; made when they are moved there
    :param form: "parquet" or "csv"
    :raises InputError: the folder cannot be written to, or Parquet cannot be written
    """
    checked = check_form(form)
    check_writable(folder, (), "--log-out")
    staged = Path(tempfile.mkdtemp(prefix=".event-logs-", dir=existing_parent(folder)))
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
