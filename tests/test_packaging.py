"""What a reader of the repository's own files must be able to rely on."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_source_of_a_figure_is_attributed() -> None:
    text = (ROOT / "ATTRIBUTION.md").read_text(encoding="utf-8")
    data = ROOT / "wisp_gym" / "profiles" / "data"
    sources = yaml.safe_load((data / "sources.yaml").read_text(encoding="utf-8"))
    for profile in data.glob("*/*.yaml"):
        sources |= yaml.safe_load(profile.read_text(encoding="utf-8")).get("sources") or {}
    own = {"estimate", "stream-calibration"}
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for key in sources.keys() - own:
        address, licence = sources[key]["address"], sources[key]["licence"]
        assert any(address in row and f"| {licence} |" in row for row in rows), key


def test_one_version_everywhere() -> None:
    version = PROJECT["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert citation["version"] == version
    assert citation["license"] == PROJECT["project"]["license"] == "MIT"
    assert "## [Unreleased]" in changes


def test_every_dependency_says_why() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    packages = PROJECT["project"]["dependencies"]
    for package in packages:
        (line,) = [line for line in lines if line.strip().startswith(f'"{package}"')]
        assert "# " in line, package


def test_the_library_is_imported_without_the_learners() -> None:
    code = (
        "import sys, wisp_gym; assert not {'torch', 'stable_baselines3', 'tensorboard'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_nothing_that_the_wheel_needs_is_ignored() -> None:
    """The wheel takes what lies under wisp_gym/ and is not ignored by git: profiles and predictors too."""
    data = sorted(path for path in (ROOT / "wisp_gym" / "profiles" / "data").rglob("*") if path.is_file())
    kinds = {path.suffix for path in data}
    assert {".yaml", ".json", ".safetensors"} <= kinds
    command = ["git", "check-ignore", *map(str, data)]
    if (ROOT / ".git").exists():
        assert subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout == ""


def test_the_ci_script_can_be_run() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
