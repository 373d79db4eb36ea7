"""Keep what came of scoring event logs again: the rows, and from which logs they come."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from wisp_gym.evaluation.compare import Comparison
from wisp_gym.evaluation.event_log_rescore import EventLog
from wisp_gym.evaluation.json_text import json_bytes
from wisp_gym.evaluation.load_sweep import LOADS_FILE, LoadSweep
from wisp_gym.evaluation.manifest import run_facts
from wisp_gym.evaluation.output import CSV_FILE, MANIFEST_FILE, SUMMARY_FILE, write_together
from wisp_gym.evaluation.writers import metrics_csv, summary_json


def save_rescored(
    rescored: Comparison | LoadSweep,
    logs: Sequence[EventLog],
    changes: Sequence[str],
    folder: Path,
    command: Sequence[str],
    jobs: int,
    started: datetime,
) -> None:
    """Write the files of a comparison or of a sweep of loads, and a manifest that names the logs.

    :param rescored: what came out
    :param logs: what it was read from
    :param changes: to how events are judged
    :param folder: made if it is missing
    :param command: the command line, word by word
    :param jobs: processes allowed
    :param started: when, with time zone
    :raises OSError: they cannot be written; nothing is left behind
    """
    if isinstance(rescored, LoadSweep):
        files = {LOADS_FILE: rescored.rows.csv(rescored.keys())}
    else:
        files = {CSV_FILE: metrics_csv(rescored), SUMMARY_FILE: summary_json(rescored)}
    manifest = run_facts(command, jobs, started) | {
        "scenario_sha256": rescored.scenario.digest(),
        "scenario": rescored.scenario.to_dict(),
        "split": logs[0].facts.split,
        "seeds": rescored.seeds,
        "policies": rescored.policies,
        "rescored": {
            "changed": list(changes),
            "logs": {str(log.path): log.facts.sha256 for log in logs},
        },
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    write_together(folder, files | {MANIFEST_FILE: json_bytes(manifest)}, MANIFEST_FILE)
