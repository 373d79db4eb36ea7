"""Score event logs again: the rows of the evaluation that wrote them, or those of another SLO or window."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from wisp_gym import scenario as scenarios
from wisp_gym.errors import InputError
from wisp_gym.evaluation.compare import Comparison
from wisp_gym.evaluation.event_log_extent import RowKey
from wisp_gym.evaluation.event_log_facts import ENDING, LogFacts, world_digest
from wisp_gym.evaluation.event_log_rows import Rows, read_rows
from wisp_gym.evaluation.event_log_seal import check_alike, read_seal, sealed_facts
from wisp_gym.evaluation.fleets import FleetKind
from wisp_gym.evaluation.load_rows import LoadRows
from wisp_gym.evaluation.load_sweep import LOADS_FILE, LoadSweep
from wisp_gym.evaluation.pool import Pool
from wisp_gym.evaluation.spec import Progress, Row
from wisp_gym.metrics import from_log, judged_by
from wisp_gym.world import draw_world, world_seed

if TYPE_CHECKING:
    from wisp_gym.scenario import Scenario
    from wisp_gym.world import World

JUDGING = ("classes.allowance_s", "classes.on_time_share", "warmup_s")
"""Fields of a scenario that say how events are judged. Any other would have made other events."""


@dataclass(frozen=True)
class EventLog:
    """A log that has been found.

    :param path: of its file
    :param facts: what stands beside it
    """

    path: Path
    facts: LogFacts

    def row(self) -> RowKey:
        """Return which row of its evaluation it is."""
        return self.facts.fleet, self.facts.devices, self.facts.policy, self.facts.seed

    def scenario(self) -> Scenario:
        """Return the scenario of its run.

        :raises InputError: what the scenario names is not there any more, or has changed
        """
        found = _scenario(self.facts.model_dump_json(include={"scenario"}), str(self.path))
        if found.digest() != self.facts.scenario_sha256:
            raise InputError(
                f"{self.path}: scenario_sha256: the scenario, or a profile or trace that it names, "
                "has changed since"
            )
        return found

    def read(self) -> Rows:
        """Return its rows.

        :raises InputError: the file is gone, damaged or no log
        """
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror})") from None
        if hashlib.sha256(content).hexdigest() != self.facts.sha256:
            raise InputError(f"{self.path}: damaged: its SHA-256 is not the one that {ENDING} says")
        rows = read_rows(content, str(self.path))
        if len(rows) != self.facts.rows:
            raise InputError(f"{self.path}: {len(rows)} rows; allowed: {self.facts.rows}")
        return rows


@lru_cache(maxsize=8)
def _scenario(fields: str, origin: str) -> Scenario:
    """Return a scenario from its fields as JSON."""
    return scenarios.from_fields(json.loads(fields)["scenario"], origin)


def read_logs(folder: Path) -> list[EventLog]:
    """Return the logs of an evaluation, in the order of its rows. Files that the seal does not name are
    ignored.

    :param folder: as given to --log-out
    :raises InputError: it holds none, its seal is missing, or a file is not as the seal says
    """
    if not folder.is_dir() or not any(folder.glob(f"*{ENDING}")):
        raise InputError(f"--rescore {folder}: no event logs; allowed: a folder that --log-out has filled")
    seal = read_seal(folder)
    all_facts = [sealed_facts(folder, seal, row) for row in seal.extent().rows()]
    check_alike(all_facts, folder)
    return [EventLog(folder / facts.file, facts) for facts in all_facts]


def check_changes(changes: Sequence[str]) -> None:
    """Make sure that changes to a scenario leave its events what they are.

    :param changes: as in "classes.allowance_s=2"
    :raises InputError: one does not
    """
    for change in changes:
        if change.partition("=")[0].strip() not in JUDGING:
            raise InputError(
                f"--set {change}: other events would have come of it; allowed with --rescore: "
                f"{', '.join(JUDGING)}"
            )


def rescore_world(logs: Sequence[EventLog], changes: Sequence[str] = ()) -> list[Row]:
    """Return the rows of several logs of one world.

    :param logs: of the same scenario, split and seed
    :param changes: to how the events are judged, as for `rescore`
    :raises InputError: a log is damaged, or its world or window is not the one that is drawn now
    """
    scenario, facts = logs[0].scenario(), logs[0].facts
    changed = scenarios.load(scenario, changes)
    world = draw_world(scenario, world_seed(facts.split, facts.seed))
    digest, judged = world_digest(world), judged_by(world, changed)
    rows = []
    for log in logs:
        if log.facts.world_sha256 != digest:
            version = log.facts.versions.get("wisp-gym", "unknown")
            raise InputError(
                f"{log.path}: world_sha256: this version draws another world of seed {facts.seed} "
                f"than the one that ran (wisp-gym {version})"
            )
        window_s = (world.warmup_ns * 1e-9, world.horizon_ns * 1e-9)
        if log.facts.window_s != window_s:
            (found, end), (begin, horizon) = log.facts.window_s, window_s
            told = f"[{found:g}, {end:g}]; allowed: [{begin:g}, {horizon:g}], the world's"
            raise InputError(f"{log.path}: window_s = {told}")
        rows.append(_row(log, judged))
    return rows


def _row(log: EventLog, world: World) -> Row:
    """Return a log's row."""
    facts = log.facts
    try:
        metrics = from_log(world, log.read(), facts.rules())
    except InputError as error:
        told = str(error)
        raise InputError(told if told.startswith(str(log.path)) else f"{log.path}: {told}") from None
    window_s = (world.warmup_ns * 1e-9, world.horizon_ns * 1e-9)
    return Row(facts.policy, facts.controller, facts.seed, window_s, metrics)


def rescore(
    logs: Sequence[EventLog],
    changes: Sequence[str] = (),
    jobs: int = 1,
    progress: Progress | None = None,
) -> Comparison | LoadSweep:
    """Score event logs again, without running anything.

    Without changes the metrics are those of the evaluation that wrote the logs, to the last digit.

    :param logs: of `read_logs`
    :param changes: to how events are judged, as in "classes.allowance_s=2": only fields of JUDGING
    :param jobs: processes at most; the rows do not depend on it
    :param progress: told how many rows are done, and of how many
    :return: a comparison, or a sweep of loads where the logs are of one
    :raises InputError: a change that the events would not have survived, a damaged log, a world that this
    version draws otherwise
    """
    check_changes(changes)
    worlds: dict[tuple[str, int], list[EventLog]] = {}
    for log in logs:
        worlds.setdefault((log.facts.scenario_sha256, log.facts.seed), []).append(log)
    rows: dict[RowKey, Row] = {}
    with Pool(jobs) as pool:
        done = pool.map(partial(rescore_world, changes=tuple(changes)), list(worlds.values()))
        for world, found in zip(worlds.values(), done, strict=True):
            rows |= {log.row(): row for log, row in zip(world, found, strict=True)}
            if progress is not None:
                progress(len(rows), len(logs))
    scenario = scenarios.load(logs[0].scenario(), changes)
    return (
        _sweep(logs, rows, scenario, changes) if logs[0].facts.fleets else _comparison(logs, rows, scenario)
    )


def _comparison(logs: Sequence[EventLog], rows: dict[RowKey, Row], scenario: Scenario) -> Comparison:
    """Return a plain comparison."""
    facts = logs[0].facts
    each = [rows[None, None, policy, seed] for seed in facts.seeds for policy in facts.policies]
    return Comparison(scenario, facts.policies, facts.seeds, facts.split, tuple(each))


def _sweep(
    logs: Sequence[EventLog],
    rows: dict[RowKey, Row],
    scenario: Scenario,
    changes: Iterable[str],
) -> LoadSweep:
    """Return a sweep of loads."""
    facts = logs[0].facts
    rests_on = {
        (str(log.facts.fleet), log.facts.policy): _provenance(log.facts.provenance, changes) for log in logs
    }
    kept = LoadRows(logs[0].path.parent, LOADS_FILE, rests_on, take_over=False)
    for log in logs:
        kept.add(str(log.facts.fleet), int(log.facts.devices or 0), rows[log.row()])
    kinds = tuple(FleetKind(fleet, scenario) for fleet in facts.fleets)
    return LoadSweep(scenario, kinds, facts.policies, facts.loads, facts.seeds, kept, len(rows))


def _provenance(provenance: str | None, changes: Iterable[str]) -> str:
    """Return what a rescored row rests on: what it did, and how it is judged now."""
    if not changes:
        return provenance or ""
    text = "\n".join([provenance or "", *changes])
    return hashlib.sha256(text.encode()).hexdigest()[: len(provenance or "") or 16]
