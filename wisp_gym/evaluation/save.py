"""Keep a comparison: metrics.csv, summary.json and manifest.json, together or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from wisp_gym.evaluation.compare import Comparison
from wisp_gym.evaluation.event_log_seal import seals_among
from wisp_gym.evaluation.manifest import manifest_json
from wisp_gym.evaluation.output import CSV_FILE, MANIFEST_FILE, SUMMARY_FILE, write_together
from wisp_gym.evaluation.spec import Resolve
from wisp_gym.evaluation.writers import metrics_csv, summary_json


def save(
    comparison: Comparison,
    folder: Path,
    resolve: Resolve,
    command: Sequence[str],
    jobs: int,
    started: datetime,
    also: Mapping[str, bytes] | None = None,
    written: Mapping[str, Path] | None = None,
) -> list[Path]:
    """Write the three files and return their paths; results that were there stay until all three are written.
    A new record behind `tuned` is stored before them.

    :param comparison: what was run
    :param folder: made if it is missing
    :param resolve: gives the policies' settings for the manifest
    :param command: the command line, word by word
    :param jobs: processes allowed
    :param started: when, with time zone
    :param also: further files, by absolute path
    :param written: files that only have to be moved, by absolute path
    :raises OSError: they cannot be written; nothing is left behind
    """
    files = {CSV_FILE: metrics_csv(comparison), SUMMARY_FILE: summary_json(comparison)}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[MANIFEST_FILE] = manifest_json(comparison, resolve, command, jobs, started, digests)
    if comparison.bounds is not None:
        comparison.bounds.keep()
    seals = [*seals_among(written or {}), MANIFEST_FILE]
    write_together(folder, {**files, **(also or {})}, seals, written)
    return [folder / name for name in files]
