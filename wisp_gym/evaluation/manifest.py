"""How results came about: what ran, with which versions, on what command. Clock times stand only here."""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import wisp_gym
from wisp_gym.evaluation.bounds import HINDSIGHT, TUNED
from wisp_gym.evaluation.compare import Comparison
from wisp_gym.evaluation.json_text import json_bytes
from wisp_gym.evaluation.spec import Resolve
from wisp_gym.evaluation.versions import versions

THREAD_VARIABLES = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_DISABLE_JIT")


def manifest_json(
    comparison: Comparison,
    resolve: Resolve,
    command: Sequence[str],
    jobs: int,
    started: datetime,
    files: Mapping[str, str],
) -> bytes:
    """Return the manifest.

    :param comparison: what was run
    :param resolve: gives the policies' settings
    :param command: the command line, word by word
    :param jobs: processes allowed
    :param started: when, with time zone
    :param files: SHA-256 of the other files, by name
    """
    return json_bytes(
        run_facts(command, jobs, started)
        | {
            "scenario_sha256": comparison.scenario.digest(),
            "scenario": comparison.scenario.to_dict(),
            "split": comparison.split,
            "seeds": comparison.seeds,
            "policies": [_policy(comparison, name, resolve) for name in comparison.policies],
            "choices": [dataclasses.asdict(choice) for choice in comparison.choices],
            "bounds": None if comparison.bounds is None else comparison.bounds.to_dict(),
            "sha256": dict(files),
        }
    )


def run_facts(command: Sequence[str], jobs: int, started: datetime) -> dict[str, Any]:
    """Return what ran, when, where and with which versions.

    :param command: the command line, word by word
    :param jobs: processes allowed
    :param started: when, with time zone; it ends now
    """
    finished = datetime.now(UTC)
    return {
        "command": command,
        "started": started.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
        "seconds": round((finished - started).total_seconds(), 3),
        "versions": versions(),
        "git": git_state(Path(wisp_gym.__file__).parent),
        "machine": {"system": platform.platform(), "processor": platform.machine()},
        "processes_allowed": jobs,
        "threads": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return the commit of a clone and whether files differ from it; None outside a clone or without git.

    :param folder: inside the clone
    """
    if not (folder.parent / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = bool(_git(folder, "status", "--porcelain"))
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": changed}


def _git(folder: Path, *words: str) -> str:
    """Return what a git command prints."""
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _policy(comparison: Comparison, name: str, resolve: Resolve) -> dict[str, Any]:
    """Return a policy's name and settings; those of `hindsight` differ from world to world."""
    if name == HINDSIGHT:
        return {"policy": name, "controller": "by world: see bounds"}
    chosen = {choice.policy: choice.chosen for choice in comparison.choices}
    if name == TUNED and comparison.bounds is not None:
        chosen[name] = comparison.bounds.record.winner
    policy = resolve(chosen.get(name, name))
    halves = {"drafter": policy.drafter, "scheduler": policy.scheduler}
    return {"policy": name, "controller": policy.name} | {key: _half(half) for key, half in halves.items()}


def _half(half: object) -> Any:
    """Return a rule's settings, or the class of a controller written in Python."""
    if type(half).__module__ == "wisp_gym.pipeline.policy" and dataclasses.is_dataclass(half):
        return dataclasses.asdict(half)  # type: ignore[arg-type]
    return f"{type(half).__module__}.{type(half).__qualname__}"
