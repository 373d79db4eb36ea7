"""What machines and users do to a training: full disks, moved folders, kills between two steps."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from faulty import FULL, a_set, contents

import train
from agents import model_file, run_record
from agents.files import CHECKPOINT, held
from agents.progress import Interrupt
from agents.run_record import kept
from agents.settings import load_settings
from agents.training import TrainingRun, resumed
from agents.training import train as run_training
from wisp_gym.errors import InputError
from wisp_gym.evaluation import output

STEPS = 64
WORLD = ("fleet.devices=8", "episode_s=5")


def planned(folder: Path, table_worlds: int = 0) -> TrainingRun:
    settings = load_settings(
        "ppo",
        [
            *("environments=2", f"rollout_steps={STEPS}", f"timesteps={4 * STEPS}", "batch_size=32"),
            *("hidden=[8]", "epochs=1", f"checkpoint_every={STEPS}", "validation_every=0", "threads=1"),
        ],
    )
    return TrainingRun(settings, "quickstart", WORLD, 3, folder, table_worlds)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert run_training(planned(folder)).complete
    return contents(folder)


def test_a_full_disk_ends_a_training_that_goes_on_later(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    undisturbed: dict[str, bytes],
) -> None:
    run, plain, left = planned(tmp_path / "run"), os.fsync, 5

    def full(handle: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise FULL
        plain(handle)

    with monkeypatch.context() as patch:
        patch.setattr(train, "prepare", lambda _: [run])
        patch.setattr(output.os, "fsync", full)
        assert train.main([]) == 2
    error = capsys.readouterr().err
    assert f"{CHECKPOINT}; free some; train.py --resume {run.folder} goes on" in error
    assert error.count("\n") == 1
    assert set(contents(run.folder)) == {"run.json", CHECKPOINT}
    assert train.main(["--resume", str(run.folder)]) == 0
    assert contents(run.folder) == undisturbed


def test_a_folder_moved_during_a_training_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def move(done: int) -> None:
        if done == 2 * STEPS:
            folder.rename(tmp_path / "moved")

    with pytest.raises(InputError, match="moved or deleted"), held(folder):
        run_training(planned(folder), move)
    assert not folder.exists()
    assert run_training(resumed(tmp_path / "moved")).complete


def test_what_is_left_after_the_training_is_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed between the last steps: run.json says complete, the checkpoint and no comparison are there."""
    folder = tmp_path / "run"
    run = planned(folder, table_worlds=1)
    tell, interrupt = stop_after(3 * STEPS)
    run_training(run, tell, interrupt)
    checkpoint = (folder / CHECKPOINT).read_bytes()
    stale = resumed(folder)  # by a second process, that gets the folder only when the first has done
    changed = resumed(folder, table_worlds=0)
    assert run_training(changed).complete
    before = contents(folder)
    with pytest.raises(InputError, match="complete"):
        run_training(stale)
    assert contents(folder) == before
    (folder / CHECKPOINT).write_bytes(checkpoint)
    shown: list[Any] = []
    monkeypatch.setattr(train, "compare", lambda trained, command: shown.append(trained[0].folder) or "table")
    assert train.main(["--resume", str(folder)]) == 0
    assert shown == [folder]
    assert contents(folder) == before
    output.write_together(folder / "validation", a_set("new"), "manifest.json")
    assert train.main(["--resume", str(folder)]) == 2
    assert "the run is complete" in capsys.readouterr().err


def stop_after(steps: int) -> tuple[Any, Interrupt]:
    """Return what presses Ctrl-C after so many steps."""
    interrupt = Interrupt(())

    def tell(done: int) -> None:
        interrupt.pressed = done >= steps

    return tell, interrupt


def test_how_to_go_on_says_what_there_is(tmp_path: Path) -> None:
    assert "start it anew" in kept(tmp_path)
    record = planned(tmp_path).record()
    run_record.write(tmp_path, record)
    assert "there is no checkpoint yet" in kept(tmp_path)
    (tmp_path / CHECKPOINT).touch()
    assert "goes on from its last checkpoint" in kept(tmp_path)
    run_record.write(tmp_path, record.model_copy(update={"complete": True}))
    assert "the model is in" in kept(tmp_path)


def test_a_model_killed_between_its_files_points_to_its_run(tmp_path: Path) -> None:
    run_record.write(tmp_path, planned(tmp_path).record())
    (tmp_path / "model.safetensors").write_bytes(b"new")
    with pytest.raises(InputError, match=r"no model\.json.*train\.py --resume"):
        model_file.load(tmp_path)


def test_an_error_of_the_machine_in_a_process_of_its_own_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = planned(tmp_path)
    assert train.report(run, OSError(errno.ENOSPC, "No space left on device", "x")) == 2
    assert "no space left on device: x; free some; nothing of" in capsys.readouterr().err
    assert train.report(run, RuntimeError("its process failed")) == 1
    assert train.report(run, None) == 130
