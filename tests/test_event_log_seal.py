"""Event logs of two evaluations are never mixed: the seal of their folder, its lock, kills on the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from core import LITTLE
from faulty import contents

import evaluate
from wisp_gym.evaluation import held
from wisp_gym.evaluation.event_log_seal import SEAL_FILE

CLONE = Path(__file__).parent.parent
SAME = ["--policy", "wisp", "centralized", *LITTLE]
OTHERS = {  # that differ in one thing each
    "scenario_sha256": [*SAME, "--devices", "6"],
    "policies": ["--policy", "centralized", "wisp", *LITTLE],
    "seeds": [*SAME, "--seeds", "1"],
    "loads": ["--policy", "wisp", "centralized", "--loads", "5", *LITTLE[2:]],
}


@pytest.fixture
def logs(evaluated: Path, tmp_path: Path) -> Path:
    """A copy of a folder of logs."""
    return Path(shutil.copytree(evaluated / "logs", tmp_path / "logs"))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the one line that a command is refused with."""
    capsys.readouterr()
    assert evaluate.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("seal", [True, False])
@pytest.mark.parametrize("differs", OTHERS)
def test_logs_of_another_evaluation_are_not_overwritten(
    differs: str, seal: bool, logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused before any work, with the seal and where a killed evaluation has left none."""
    if not seal:
        (logs / SEAL_FILE).unlink()
    before = contents(logs)
    line = refused(capsys, *OTHERS[differs], "--out", str(tmp_path / "o"), "--log-out", str(logs))
    assert "is of another evaluation" in line
    assert differs in line or (differs == "loads" and "fleets" in line)
    assert contents(logs) == before
    assert not (tmp_path / "o").exists()


def test_a_killed_evaluation_is_run_again(logs: Path, tmp_path: Path) -> None:
    """Its logs, without a seal or some of them gone, are replaced, and what it left half written goes."""
    before = contents(logs)
    for name in (SEAL_FILE, "00-wisp-s1.log.json", "00-wisp-s1.log.parquet"):
        (logs / name).unlink()
    (logs / ".event-logs-killed").mkdir()
    (logs / ".event-logs-killed" / "00-wisp-s0.log.parquet").write_bytes(b"half")
    (logs / "notes.txt").write_text("mine")
    assert evaluate.main([*SAME, "--out", str(tmp_path / "o"), "--log-out", str(logs)]) == 0
    assert contents(logs) == before | {"notes.txt": b"mine"}
    assert not (logs / ".event-logs-killed").exists()


def test_an_unreadable_seal_is_not_overwritten(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (logs / SEAL_FILE).write_text("{")
    words = [*SAME, "--out", str(tmp_path / "o"), "--log-out", str(logs)]
    assert "not JSON" in refused(capsys, *words)
    (logs / SEAL_FILE).unlink()
    (logs / SEAL_FILE).mkdir()
    assert "is a folder" in refused(capsys, *words)


def test_a_log_of_another_scenario_among_them_is_refused(
    logs: Path, evaluated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same policies and seeds, so that every name is the same."""
    out = ["--out", str(tmp_path / "o")]
    other = tmp_path / "other"
    assert evaluate.main([*SAME, "--devices", "6", *out, "--log-out", str(other)]) == 0
    for name in ("01-centralized-s1.log.parquet", "01-centralized-s1.log.json"):
        shutil.copy(other / name, logs)
        assert "01-centralized-s1.log." in refused(capsys, "--rescore", str(logs), *out)
    shutil.copytree(evaluated / "logs", logs, dirs_exist_ok=True)
    stray = (other / "01-centralized-s1.log.json").read_bytes()
    (logs / "02-sled-s1.log.json").write_bytes(stray)  # the seal does not name it
    assert evaluate.main(["--rescore", str(logs), *out]) == 0
    assert (tmp_path / "o" / "metrics.csv").read_bytes() == (evaluated / "ran" / "metrics.csv").read_bytes()


def test_a_kill_between_two_renames_leaves_no_logs_that_pass_for_whole(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An evaluation of its own process, run over the logs of the same one, is killed before a rename."""
    script = """
import os, sys
import evaluate
from wisp_gym.evaluation import output
plain, left = os.replace, [int(sys.argv[1])]
def replace(*names):
    if left[0] == 0:
        os.kill(os.getpid(), 9)
    left[0] -= 1
    plain(*names)
output.os.replace = replace
evaluate.main(sys.argv[2:])
"""
    path = os.pathsep.join([str(CLONE), str(CLONE / "tests")])
    whole, results = contents(logs), tmp_path / "o"
    names = len(whole) - 1 + 2  # before the seals: logs with their facts, metrics.csv, summary.json
    for at in (0, 3, names, names + 1):
        done = subprocess.run(
            [sys.executable, "-c", script, str(at), *SAME, "--out", str(results), "--log-out", str(logs)],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            timeout=240,
        )
        assert done.returncode == -9, done.stderr
        assert not (results / "manifest.json").exists()
        if at > names:  # the logs' seal stands, the results' does not
            assert contents(logs) == whole
            assert evaluate.main(["--rescore", str(logs), "--out", str(tmp_path / "again")]) == 0
        else:
            assert not (logs / SEAL_FILE).exists()
            line = refused(capsys, "--rescore", str(logs), "--out", str(tmp_path / "again"))
            assert f"no {SEAL_FILE}" in line


def test_a_folder_of_logs_takes_one_evaluation_at_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for logs in ("there", "new/deeper"):
        folder = tmp_path / logs
        with held(folder):
            for words in (SAME, OTHERS["loads"]):
                line = refused(capsys, *words, "--out", str(tmp_path / "o"), "--log-out", str(folder))
                assert f"{folder}: another evaluation is writing into it" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("results", "logs"), [("a", "a"), ("a", "a/logs"), ("a/results", "a"), ("a", "b")])
def test_logs_and_results_may_share_a_folder(results: str, logs: str, tmp_path: Path) -> None:
    if (results, logs) == ("a", "b"):  # another name of the same folder
        (tmp_path / "a").mkdir()
        (tmp_path / "b").symlink_to(tmp_path / "a")
    words = ["--policy", "sled", *LITTLE, "--seeds", "1", "--out", str(tmp_path / results)]
    assert evaluate.main([*words, "--log-out", str(tmp_path / logs)]) == 0
    again = ["--rescore", str(tmp_path / logs), "--out", str(tmp_path / "again")]
    assert evaluate.main(again) == 0
    ran = tmp_path / results / "metrics.csv"
    assert (tmp_path / "again" / "metrics.csv").read_bytes() == ran.read_bytes()
    assert not list(tmp_path.rglob(".*"))


def test_the_seal_says_what_the_logs_are_of(evaluated: Path) -> None:
    seal = json.loads((evaluated / "logs" / SEAL_FILE).read_text())
    manifest = json.loads((evaluated / "ran" / "manifest.json").read_text())
    assert seal["scenario_sha256"] == [manifest["scenario_sha256"]]
    assert (seal["split"], seal["policies"], seal["seeds"]) == ("test", ["wisp", "centralized"], [0, 1])
    assert set(seal["sha256"]) == set(contents(evaluated / "logs")) - {SEAL_FILE}


def test_scoring_again_takes_the_folder_of_its_results(
    evaluated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with held(tmp_path / "o"):
        line = refused(capsys, "--rescore", str(evaluated / "logs"), "--out", str(tmp_path / "o"))
    assert "another evaluation is writing into it" in line
