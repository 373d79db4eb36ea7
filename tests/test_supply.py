"""The supply chain's tools in .ci: lower bounds as constraints, and what an audit's answer means."""

from __future__ import annotations

import importlib.util
import json
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def tool(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"ci_{name}", ROOT / ".ci" / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.partition("+")[0].split(".") if word.isdigit())


def test_every_range_has_a_lower_bound_that_is_held_here(capsys: pytest.CaptureFixture[str]) -> None:
    tool("lowest").main()
    bounds = dict(line.split("==") for line in capsys.readouterr().out.splitlines())
    for text in PROJECT["project"]["dependencies"]:
        name = text.partition(">=")[0]
        assert numbers(version(name)) >= numbers(bounds[name]), name
    assert len(bounds) == len(set(tool("lowest").ranges(PROJECT)))


@pytest.mark.parametrize(
    "text", ["numpy", "numpy<3", "numpy>2", "numpy~=2.1", "numpy>=2.1,!=2.2", "numpy>=2.*"]
)
def test_a_range_without_one_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="NAME>=BOUND"):
        tool("lowest").lowest(text)


SAFE = {"name": "good", "version": "1.0", "vulns": []}
FLAWED = {"name": "bad", "version": "2.0", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]}
SKIPPED = {"name": "own", "skip_reason": "not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "code", "says"),
    [
        ([SAFE], 0, "audited: no vulnerability is known in 1 packages"),
        ([SAFE, SKIPPED], 0, "in 1 packages; not audited: own"),
        ([SKIPPED], 0, "NOT AUDITED"),
        ([SKIPPED, FLAWED], 1, "bad 2.0: CVE-1"),
        ([SAFE, FLAWED], 1, "VULNERABLE: 1 known in 2 packages"),
    ],
)
def test_an_audit_says_what_it_found(packages: list[dict[str, Any]], code: int, says: str) -> None:
    found, text = tool("audit").verdict(json.dumps({"dependencies": packages}), "Found some\n")
    assert found == code
    assert says in text


@pytest.mark.parametrize(
    ("output", "errors", "code", "says"),
    [
        (
            "",
            "Traceback ...\nrequests.exceptions.ConnectionError: no route",
            0,
            "NOT AUDITED: the vulnerability",
        ),
        ("", "ERROR: invalid option", 1, "pip-audit failed: ERROR: invalid option"),
        ("", "", 1, "pip-audit failed"),
        ("[]", "TypeError", 1, "pip-audit failed"),
    ],
)
def test_no_network_is_no_failure_and_anything_else_is(
    output: str, errors: str, code: int, says: str
) -> None:
    found, text = tool("audit").verdict(output, errors)
    assert found == code
    assert says in text
