"""What a stored row rests on, as a short hash: rows of an earlier run count only where it is the same."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from wisp_gym._jit import _sources_digest
from wisp_gym.evaluation.spec import Resolve
from wisp_gym.evaluation.versions import versions
from wisp_gym.scenario import Scenario

LENGTH = 16

MODEL_FILES = ("model.json", "model.safetensors")
"""Of a trained model, in its folder."""


def provenance(scenario: Scenario, policy: str, controllers: Sequence[str], resolve: Resolve) -> str:
    """Return 16 hexadecimal digits that differ wherever a row could: scenario, versions, sources, policy.

    :param scenario: of the row, at any one load that is the same for all rows compared
    :param policy: what the row is called
    :param controllers: names that it may stand for; files that a name points to count by their content
    :param resolve: turns a controller's name into a policy
    """
    packages = {resolve.__module__.partition(".")[0]}
    files: list[Path] = []
    for name in controllers:
        made = resolve(name)
        packages |= {type(half).__module__.partition(".")[0] for half in (made.drafter, made.scheduler)}
        files += _named_files(name)
    facts = {
        "scenario": scenario.digest(),
        "versions": versions(),
        "library": _sources_digest(),
        "packages": {name: _hash(_sources(name)) for name in sorted(packages - {"wisp_gym"})},
        "policy": policy,
        "controllers": list(controllers),
        "files": _hash(files),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:LENGTH]


def _sources(package: str) -> Iterator[Path]:
    """Yield the source files of an imported package or module."""
    place = getattr(sys.modules.get(package), "__file__", None)
    if place is None:
        return
    path = Path(place)
    yield from sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]


def _named_files(name: str) -> Iterator[Path]:
    """Yield the files that a policy's name points to: a model's, a controller's.

    Other files and folders may be called as parts of a name are: of a folder, only a model's files count.
    """
    for path in map(Path, filter(None, [name, *re.split(r"[+:]", name)])):
        try:
            if path.is_file():
                yield path
            elif path.is_dir():
                yield from (path / file for file in MODEL_FILES if (path / file).is_file())
        except (OSError, ValueError):  # too long for a path, or not one at all
            continue


def _hash(paths: Iterator[Path] | Sequence[Path]) -> str:
    """Return a hash of the files' contents, in order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
