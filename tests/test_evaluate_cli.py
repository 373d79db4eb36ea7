"""evaluate.py as a person at a terminal meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import evaluate

CLONE = Path(__file__).parents[1]
SMALL = [
    "--scenario",
    "quickstart",
    "--devices",
    "5",
    "--horizon",
    "30",
    "--set",
    "warmup_s=8",
    "--seeds",
    "2",
]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def script(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CLONE / "evaluate.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        done = script("--policy", "wisp", "sled", "random", *SMALL, "--out", name)
        assert (done.returncode, done.stderr) == (0, "")
        assert "quickstart: 5 devices, 30 s simulated" in done.stdout
    for file in ("metrics.csv", "summary.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_default_folder_and_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--policy", "wisp", "fixed:3", *SMALL, "--jobs", "1", "--per-class"]) == 0
    assert "results/quickstart-wisp-fixed-3" in capsys.readouterr().out
    (folder,) = Path("results").glob("quickstart-wisp-fixed-3*")  # what was changed follows
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["command"][:3] == ["evaluate.py", "--policy", "wisp"]
    assert manifest["scenario"]["horizon_s"] == 30


def test_best_is_shown_and_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--policy", "sled", "wisp:best", *SMALL, "--jobs", "1", "--out", "x"]) == 0
    assert "the best of 6 on 3 training worlds" in capsys.readouterr().out
    manifest = json.loads(Path("x/manifest.json").read_text())
    assert len(manifest["choices"][0]["goodput_tps"]) == 6


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "--policy"),
        (["--policy"], "--policy"),
        (["--policy", "wsip"], "did you mean 'wisp'?"),
        (["--policy", "wisp", "wisp"], "given twice"),
        (["--policy", "wisp", "--scenario", "quickstat"], "did you mean 'quickstart'?"),
        (["--policy", "wisp", "--scenario", "no/such.yaml"], "no/such.yaml"),
        (["--policy", "wisp", "--seeds", "0"], "'0' must be"),
        (["--policy", "wisp", "--seeds", "1,x"], "'1,x' must be"),
        (["--policy", "wisp", "--seeds", "1,-2"], "'1,-2' must be"),
        (["--policy", "wisp", "--seeds", "1,1"], "given twice"),
        (["--policy", "wisp", "--devices", "0"], "fleet.devices"),
        (["--policy", "wisp", "--devices", "many"], "fleet.devices"),
        (["--policy", "wisp", "--horizon", "nan"], "horizon_s"),
        (["--policy", "wisp", "--horizon", "-5"], "horizon_s"),
        (["--policy", "wisp", "--set", "fleet.devcies=3"], "did you mean 'devices'?"),
        (["--policy", "wisp", "--set", "fleet.devices"], "fleet.devices"),
        (["--policy", "wisp", "--jobs", "0"], "whole number"),
        (["--policy", "wisp", "--jobs", "two"], "whole number"),
        (["--policy", "wisp", "--out", "a-file/x"], "is a file"),
        (["--policy", "wisp", "--out", "/proc/x"], "cannot be written"),
        (["--policy", "wisp", "--polcy", "x"], "--polcy"),
        (["--policy", "wisp", "--scenario", "trace"], "workload.trace"),
    ],
)
def test_wrong_input_is_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str], empty_folder: Path
) -> None:
    Path("a-file").write_text("")
    try:
        code = evaluate.main(words)
    except SystemExit as left:  # argparse leaves by itself
        code = int(str(left.code))
    shown = capsys.readouterr()
    assert code == 2
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert told in shown.err
    assert [path.name for path in empty_folder.iterdir()] == ["a-file"]


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("1", (0,)), ("3", (0, 1, 2)), ("3,5,8", (3, 5, 8)), ("7,", (7,)), (" 4 ", (0, 1, 2, 3))],
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert evaluate.seed_list(text) == seeds


def test_a_failure_keeps_earlier_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--policy", "wisp", *SMALL, "--jobs", "1", "--out", "x"]
    assert evaluate.main(words) == 0
    before = {path.name: path.read_bytes() for path in Path("x").iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wisp_gym.evaluation.output.os.fdopen", full)
    assert evaluate.main(words) == 2
    assert "no space left on device" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in Path("x").iterdir()} == before


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_interrupt_writes_nothing(jobs: str, empty_folder: Path) -> None:
    words = ["--policy", "wisp", "sled", *SMALL, "--seeds", "50000", "--jobs", jobs]
    process = subprocess.Popen(
        [sys.executable, str(CLONE / "evaluate.py"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # also under nohup
    )
    try:
        time.sleep(6.0)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 130
    assert (out, err) == ("", "interrupted: nothing has been written\n")
    assert list(empty_folder.iterdir()) == []


def test_a_reader_that_leaves_early_is_no_error() -> None:
    words = " ".join(["--policy", "wisp", *SMALL])
    pipeline = f"set -o pipefail; {sys.executable} {CLONE / 'evaluate.py'} {words} | true"
    done = subprocess.run(
        ["bash", "-c", pipeline],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_help_needs_nothing_heavy() -> None:
    code = "import sys, evaluate\ntry:\n evaluate.main(['--help'])\nexcept SystemExit:\n pass\n"
    code += "print('heavy:', [m for m in ('numba', 'torch', 'pandas', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CLONE, check=True)
    assert "heavy: []" in done.stdout
    assert "wisp:best" in done.stdout


def test_baselines_need_no_torch() -> None:
    words = ["--policy", "wisp", *SMALL, "--out", str(Path.cwd() / "x")]
    code = f"import sys, evaluate\nevaluate.main({words})\n"
    code += "print('heavy:', [m for m in ('torch', 'pandas', 'stable_baselines3') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CLONE, check=True)
    assert "heavy: []" in done.stdout
