"""A run that was stopped or killed and taken up again ends with the bytes of the undisturbed run."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import train
from agents import checkpoint, generators, run_record, several
from agents.files import CHECKPOINT, check_folder, held
from agents.progress import Interrupt
from agents.settings import KINDS, load_settings
from agents.training import TrainingRun, resumed
from agents.training import train as run_training
from wisp_gym.errors import InputError

ROOT = Path(__file__).parent.parent
WORLD = ("ranges.devices=[120, 200]", "episode_s=5")
STEPS = 64
"""Decisions in a rollout."""


def planned(folder: Path, kind: str = "ppo", *changes: str, rollouts: int = 5) -> TrainingRun:
    batches = () if kind == "a2c" else ("batch_size=32", "epochs=2")
    settings = load_settings(
        kind,
        [
            *("environments=2", f"rollout_steps={STEPS}", f"timesteps={rollouts * STEPS}"),
            *("hidden=[16]", "learning_rate=0.01", "wisp_prior=0", "hold_s=0"),
            *(f"validation_every={2 * STEPS}", "validation_worlds=1", "validation_s=5"),
            *(f"checkpoint_every={STEPS}", *batches, *changes),
        ],
    )
    return TrainingRun(settings, "quickstart", WORLD, 3, folder)


def stop_after(steps: int) -> tuple[Callable[[int], None], Interrupt]:
    """Return what presses Ctrl-C after so many steps."""
    interrupt = Interrupt(())

    def tell(done: int) -> None:
        interrupt.pressed = done >= steps

    return tell, interrupt


def outcome(folder: Path) -> dict[str, bytes]:
    names = ("model.safetensors", "model.json", "validation.csv", "run.json")
    return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """What runs that nothing disturbs write, by kind."""
    torch.set_num_threads(1)
    written = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp(kind)
        assert run_training(planned(folder, kind)).complete
        assert not (folder / CHECKPOINT).exists()
        written[kind] = outcome(folder)
    return written


@pytest.mark.parametrize(("kind", "stops"), [("ppo", (1, 4)), ("a2c", (2,)), ("maskable_ppo", (3,))])
def test_stopped_and_resumed_is_the_undisturbed_run(
    kind: str, stops: tuple[int, ...], tmp_path: Path, undisturbed: dict[str, dict[str, bytes]]
) -> None:
    run = planned(tmp_path, kind)
    for at, rollouts in enumerate(stops):
        tell, interrupt = stop_after(rollouts * STEPS)
        result = run_training(run if at == 0 else resumed(tmp_path), tell, interrupt)
        assert (result.timesteps, result.complete) == (rollouts * STEPS, False)
        assert outcome(tmp_path)["model.safetensors"] != undisturbed[kind]["model.safetensors"]
        random.seed(at)  # whatever the generators were left at
        np.random.seed(at)  # noqa: NPY002
        torch.manual_seed(at)
    assert run_training(resumed(tmp_path)).complete
    assert outcome(tmp_path) == undisturbed[kind]
    with pytest.raises(InputError, match="complete"):
        resumed(tmp_path)


def test_killed_and_resumed_is_the_undisturbed_run(tmp_path: Path) -> None:
    small = ("environments=2", f"rollout_steps={STEPS}", "batch_size=32", "hidden=[16]", "epochs=2")
    settings = (*small, "checkpoint_every=1", "validation_every=500", "validation_worlds=1", "validation_s=5")
    words = [
        *(word for change in WORLD for word in ("--set", change)),
        *(word for change in settings for word in ("--agent-set", change)),
        *("--timesteps", "1000", "--validation-seeds", "0", "--seed", "3"),
    ]
    assert train.main([*words, "--out", str(tmp_path / "whole")]) == 0
    folder = tmp_path / "killed"
    command = [sys.executable, str(ROOT / "train.py"), *words, "--out", str(folder)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        give_up = time.monotonic() + 240
        while not (folder / CHECKPOINT).exists() and time.monotonic() < give_up:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    assert not run_record.read(folder).complete
    assert train.main(["--resume", str(folder)]) == 0
    assert outcome(folder) == outcome(tmp_path / "whole")
    assert {path.name for path in folder.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}


def test_a_run_killed_before_its_first_checkpoint_starts_over(
    tmp_path: Path, undisturbed: dict[str, dict[str, bytes]]
) -> None:
    run = planned(tmp_path)
    run_record.write(tmp_path, run.record())
    (tmp_path / ".checkpoint.safetensors-x").write_bytes(b"half")
    with held(tmp_path):
        assert run_training(resumed(tmp_path)).complete
    assert outcome(tmp_path) == undisturbed["ppo"]
    assert not list(tmp_path.glob(".*"))


def test_validation_leaves_the_weights_alone(
    tmp_path: Path, undisturbed: dict[str, dict[str, bytes]]
) -> None:
    run_training(planned(tmp_path, "ppo", "validation_every=0"))
    assert outcome(tmp_path)["model.safetensors"] == undisturbed["ppo"]["model.safetensors"]
    assert not (tmp_path / "validation.csv").exists()


def test_validation_rows_stand_at_their_steps(undisturbed: dict[str, dict[str, bytes]]) -> None:
    heading, *lines = undisturbed["ppo"]["validation.csv"].decode().splitlines()
    rows = [dict(zip(heading.split(","), map(float, line.split(",")), strict=True)) for line in lines]
    assert [row["timesteps"] for row in rows] == [0, 2 * STEPS, 4 * STEPS, 5 * STEPS]
    assert len({row["wisp_goodput_tps"] for row in rows}) == 1  # the same worlds every time
    assert len({row["goodput_tps"] for row in rows}) > 1
    for row in rows:
        assert row["ratio"] == pytest.approx(row["goodput_tps"] / row["wisp_goodput_tps"])
        assert row["attainment_worst"] <= row["attainment"]


def test_curves_go_on_where_the_checkpoint_stands(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tell, interrupt = stop_after(2 * STEPS)
    run_training(planned(tmp_path), tell, interrupt)
    run_training(resumed(tmp_path))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    steps = {name: [point.step for point in events.Scalars(name)] for name in events.Tags()["scalars"]}
    assert steps["validation/ratio"] == [0, 2 * STEPS, 4 * STEPS, 5 * STEPS]
    assert steps["step/dt_s"] == [rollout * STEPS for rollout in range(1, 6)]
    assert steps["train/loss"] == steps["step/dt_s"][1:]  # of the update before


# --- what is refused


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The folder of an interrupted run."""
    tell, interrupt = stop_after(STEPS)
    run_training(planned(tmp_path, "ppo", "validation_every=0"), tell, interrupt)
    return tmp_path


@pytest.mark.parametrize("size", [0, 5, 300, -100])
def test_a_truncated_checkpoint_is_one_line(stopped: Path, size: int) -> None:
    path = stopped / CHECKPOINT
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match="cannot be read") as caught:
        run_training(resumed(stopped))
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_run_is_refused(stopped: Path) -> None:
    kept = checkpoint.load(stopped)
    assert kept is not None
    checkpoint.save(stopped, replace(kept, run="another"))
    with pytest.raises(InputError, match="belongs to another run"):
        run_training(resumed(stopped))
    arrays = {name: array for name, array in kept.arrays.items() if name != "policy/action_net.bias"}
    checkpoint.save(stopped, replace(kept, arrays=arrays))
    with pytest.raises(InputError, match=r"not one of this version.*action_net\.bias"):
        run_training(resumed(stopped))


def test_a_changed_scenario_is_refused(stopped: Path) -> None:
    record = run_record.read(stopped)
    run_record.write(stopped, record.model_copy(update={"scenario_sha256": "0"}))
    with pytest.raises(InputError, match="has changed"):
        resumed(stopped)


def test_what_fails_in_a_process_of_its_own_is_handed_over(stopped: Path) -> None:
    (stopped / CHECKPOINT).write_bytes(b"")
    told: list[Any] = []
    pipe: Any = SimpleNamespace(send=told.append)
    several._work(resumed(stopped), pipe)
    assert isinstance(told[-1], InputError)
    told.clear()
    with held(stopped):
        several._work(resumed(stopped), pipe)
    assert "another training" in str(told[-1])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--seed", "1"], "--seed with --resume"),
        (["--timesteps", "100"], "--timesteps with --resume"),
        (["--set", "fleet.devices=9"], "--set with --resume"),
        (["--overwrite"], "--overwrite with --resume"),
        ([], "run.json is missing"),
    ],
)
def test_options_that_contradict_resume_are_one_line(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(["--resume", str(tmp_path), *words]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_folder_takes_one_training_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with held(folder), pytest.raises(InputError, match="another training"), held(folder):
        pass
    assert not folder.exists()  # nothing was written into it
    with held(folder):
        (folder / "run.json").touch()
    assert folder.exists()
    with pytest.raises(InputError, match="--resume"):
        check_folder(folder, overwrite=False)


def test_generators_go_on_as_they_would_have() -> None:
    random.gauss(0, 1)  # leaves a spare value behind
    np.random.normal()  # noqa: NPY002 (so does this one)
    kept = generators.capture()

    def draw() -> tuple[float, float, float, float]:
        return random.gauss(0, 1), random.random(), np.random.normal(), float(torch.rand(1))  # noqa: NPY002

    first = draw()
    assert draw() != first
    generators.restore(kept)
    assert draw() == first
