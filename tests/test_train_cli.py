"""train.py: what it refuses, what it writes, how it is stopped."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import train
from agents.vector import VectorAdapter
from wisp_gym import signals

QUICK = (
    *("--scenario", "quickstart"),
    *(
        "--set",
        "fleet.devices=8",
        "--set",
        "episode_s=5",
        "--set",
        "horizon_s=90",
        "--set",
        "warmup_s=20",
        "--validation-seeds",
        "0",
        "--timesteps",
        "256",
    ),
    *("--agent-set", "rollout_steps=128", "--agent-set", "batch_size=64", "--envs", "2"),
    *("--agent-set", "validation_every=0"),
)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--agent", "pppo"], "did you mean 'ppo'?"),
        (["--scenario", "quickstar"], "did you mean 'quickstart'?"),
        (["--scenario", "missing.yaml"], "missing.yaml"),
        (["--set", "fleet.device=3"], "did you mean"),
        (["--set", "fleet.devices=-3"], "fleet.devices"),
        (["--agent-set", "epoch=3"], "did you mean 'epochs'?"),
        (["--timesteps", "0"], "whole number from 1"),
        (["--timesteps", "1e5"], "whole number from 1"),
        (["--envs", "1000"], "environments"),
        (["--seed", "-1"], "whole number from 0"),
        (["--out", "file/run"], "is a file"),
        (["--speed", "9"], "unrecognized arguments"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    try:
        code: Any = train.main(arguments)
    except SystemExit as left:
        code = left.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert says in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_run_writes_a_model_and_ends_with_the_table(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert train.main([*QUICK, "--seed", "3", "--validation-seeds", "2"]) == 0
    table = capsys.readouterr().out
    for policy in ("wisp:best", "sled", "centralized", "runs/ppo-quickstart-s3"):
        assert f"\n{policy} " in table
    assert "2 validation seeds" in table
    folder = tmp_path / "runs" / "ppo-quickstart-s3"
    assert {path.name for path in folder.iterdir()} == {
        "model.json",
        "model.safetensors",
        "run.json",
        "tensorboard",
        "validation",
    }
    record = json.loads((folder / "model.json").read_text())
    assert (record["seed"], record["timesteps"], record["settings"]["environments"]) == (3, 256, 2)
    manifest = json.loads((folder / "validation" / "manifest.json").read_text())
    assert (manifest["split"], manifest["command"][0]) == ("validation", "train.py")


def test_the_same_command_writes_the_same_model(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert train.main([*QUICK, "--out", name]) == 0
    for file in ("model.safetensors", "model.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_run_is_not_overwritten_unasked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert train.main([*QUICK, "--out", "run"]) == 0
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert train.main([*QUICK, "--out", "run", "--seed", "1"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    assert train.main([*QUICK, "--out", "run", "--seed", "1", "--overwrite"]) == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() != before


def test_ctrl_c_saves_what_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    steps = 0
    plain_step = VectorAdapter.step_wait

    def step(self: VectorAdapter) -> Any:
        nonlocal steps
        steps += 2
        if steps == 300:
            os.kill(os.getpid(), signal.SIGINT)
        return plain_step(self)

    monkeypatch.setattr(VectorAdapter, "step_wait", step)
    assert train.main([*QUICK, "--timesteps", "100000", "--out", "run"]) == 130
    record = json.loads((tmp_path / "run" / "model.json").read_text())
    assert (record["complete"], record["timesteps"]) == (False, 384)  # the rollout begun is made use of
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()
    captured = capsys.readouterr()
    assert "stopped early" in captured.err
    assert "train.py --resume run" in captured.err
    assert "evaluate.py --policy" in captured.err


def test_two_presses_of_ctrl_c_end_it_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def step(self: VectorAdapter) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(signals, "REPEAT_S", 0.1)
    monkeypatch.setattr(VectorAdapter, "step_wait", step)
    assert train.main([*QUICK, "--out", "run"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not (tmp_path / "run" / "model.json").exists()


def test_a_signal_that_comes_twice_at_once_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`timeout` sends it to the process, then to the group that the process is in."""
    plain_step = VectorAdapter.step_wait
    told: list[int] = []

    def step(self: VectorAdapter) -> Any:
        if not told:
            told.append(1)
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        return plain_step(self)

    monkeypatch.setattr(VectorAdapter, "step_wait", step)
    assert train.main([*QUICK, "--timesteps", "100000", "--out", "run"]) == 143
    assert "train.py --resume run" in capsys.readouterr().err
    assert not json.loads((tmp_path / "run" / "model.json").read_text())["complete"]


def test_several_seeds_are_the_runs_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main([*QUICK, "--out", "all", "--seed", "4", "--seeds", "2", "--validation-seeds", "2"]) == 0
    shown = capsys.readouterr().out
    assert "\nall-s4 " in shown
    assert "over 2 training seeds: goodput" in shown
    assert (tmp_path / "all-s4-5" / "validation" / "metrics.csv").exists()
    assert train.main([*QUICK, "--out", "one", "--seed", "5"]) == 0
    for file in ("model.safetensors", "model.json"):
        assert (tmp_path / "all-s5" / file).read_bytes() == (tmp_path / "one" / file).read_bytes()


def test_ctrl_c_ends_several_runs_with_checkpoints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The parent alone is told, as by `kill -INT`; it tells the others once both are under way."""
    parent, folders = os.getpid(), [tmp_path / "run-s0", tmp_path / "run-s1"]

    def press() -> None:
        give_up = time.monotonic() + 240
        while not all((folder / "tensorboard").exists() for folder in folders):
            if time.monotonic() > give_up:
                break
            time.sleep(0.05)
        os.kill(parent, signal.SIGINT)

    watcher = threading.Thread(target=press)
    watcher.start()
    code = train.main([*QUICK, "--timesteps", "10000000", "--out", "run", "--seeds", "2"])
    watcher.join()
    assert code == 130
    assert capsys.readouterr().err.count("stopped early; go on: train.py --resume run-s") == 2
    for folder in folders:
        assert not json.loads((folder / "model.json").read_text())["complete"]
        assert (folder / "checkpoint.safetensors").exists()


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train.main(["--help"])
    text = capsys.readouterr().out
    for option in (
        "--agent",
        "--scenario",
        "--timesteps",
        "--seed",
        "--seeds",
        "--resume",
        "--envs",
        "--set",
        "--agent-set",
        "--out",
    ):
        assert option in text
