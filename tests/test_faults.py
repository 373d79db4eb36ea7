"""What machines and users do to a run: full disks, kills between two renames, second runs, signals."""

from __future__ import annotations

import errno
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from faulty import a_set, odd

import evaluate
import train
from agents import model_file, run_record
from agents.curves_file import CurvesFile
from agents.files import CHECKPOINT, held, kept
from agents.progress import Interrupt
from agents.settings import load_settings
from agents.training import TrainingRun, resumed
from agents.training import train as run_training
from wisp_gym import signals
from wisp_gym._code_cache import CodeFile, tell_once
from wisp_gym.errors import InputError, told
from wisp_gym.evaluation import lock, output, pool
from wisp_gym.evaluation.plots.results import read_results

CLONE = Path(__file__).parent.parent
FULL = OSError(errno.ENOSPC, "No space left on device")
STEPS = 64
WORLD = ("fleet.devices=8", "episode_s=5")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# --- files that belong together


@pytest.mark.parametrize("call", ["fdopen", "fsync", "replace"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_write_that_fails_leaves_one_whole_set_or_none(
    call: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output.write_together(tmp_path, a_set("old"), "manifest.json")
    assert output.unsealed(tmp_path) is None
    before, calls, plain = contents(tmp_path), 0, getattr(os, call)

    def fails(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at + 1:
            if call == "fdopen":
                os.close(arguments[0])
            raise FULL
        return plain(*arguments)

    monkeypatch.setattr(output.os, call, fails)
    with pytest.raises(OSError, match="No space left"):
        output.write_together(tmp_path, a_set("new"), "manifest.json")
    assert not list(tmp_path.glob(".*"))
    if call == "replace":
        assert output.unsealed(tmp_path) == "manifest.json is missing"
    else:
        assert contents(tmp_path) == before


def test_an_error_names_the_file_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.os, "fsync", lambda _: (_ for _ in ()).throw(FULL))
    with pytest.raises(OSError, match="No space left") as caught:
        output.write_together(tmp_path, {"metrics.csv": b"rows"})
    assert told(caught.value) == f"no space left on device: {tmp_path / 'metrics.csv'}; free some"
    assert told(OSError("odd")) == "odd"


def test_a_kill_between_two_renames_leaves_no_set_that_passes_for_whole(tmp_path: Path) -> None:
    """A process of its own is killed before each rename in turn, the last time after them all."""
    script = """
import os, sys
from pathlib import Path
from wisp_gym.evaluation import lock, output
import faulty
plain = os.replace
for at in range(4):
    folder = Path(sys.argv[1]) / str(at)
    output.write_together(folder, faulty.a_set("old"), "manifest.json")
    if os.fork() == 0:
        left = [at]
        def replace(*names):
            if left[0] == 0:
                os.kill(os.getpid(), 9)
            left[0] -= 1
            plain(*names)
        output.os.replace = replace
        with lock.held(folder, output.FILES):
            output.write_together(folder, faulty.a_set("new"), "manifest.json")
            os.kill(os.getpid(), 9)
    os.wait()
"""
    path = os.pathsep.join([str(CLONE), str(CLONE / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for at in range(4):
        folder = tmp_path / str(at)
        with lock.held(folder, output.FILES):  # the killed one's lock went with it
            assert not list(folder.glob(".*"))  # and what it left half written goes now
        whole = output.unsealed(folder) is None
        assert whole == (at == 3)
        assert contents(folder).get("metrics.csv") == (b"old rows" if at == 0 else b"new rows")
        if not whole:
            with pytest.raises(InputError, match=r"manifest\.json"):
                read_results(folder)


def test_results_changed_since_are_not_drawn(tmp_path: Path) -> None:
    output.write_together(tmp_path, a_set("new"), "manifest.json")
    (tmp_path / "metrics.csv").write_bytes(b"old rows")
    with pytest.raises(InputError, match=r"metrics\.csv is not the one that manifest\.json was written with"):
        read_results(tmp_path)


def test_a_disk_without_space_is_found_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.os, "fsync", lambda _: (_ for _ in ()).throw(FULL))
    with pytest.raises(InputError, match="No space left on device"):
        output.check_writable(tmp_path / "results" / "x")
    assert not list(tmp_path.iterdir())


# --- one run at a time


def test_a_folder_takes_one_evaluation_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with lock.held(Path("a") / "b"):
        for words in (["--policy", "wisp"], ["--policy", "wisp", "--loads", "8"], ["--grid"]):
            assert evaluate.main([*words, "--out", "a/b"]) == 2
            error = capsys.readouterr().err
            assert "another evaluation is writing into it" in error
            assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())  # nothing was written: the folders made for it have gone


def test_a_folder_that_was_taken_away_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plain = tmp_path / "run", lock.fcntl.flock
    calls = []

    def flock(handle: int, operation: int) -> None:
        if not calls:
            folder.rmdir()  # by the run before, at its end
        calls.append(handle)
        plain(handle, operation)

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with lock.held(folder):
        assert folder.is_dir()
        with pytest.raises(InputError, match="another"), lock.held(folder):
            pass
    assert len(calls) == 3


def test_a_file_system_without_locks_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with lock.held(tmp_path):
        (tmp_path / "file").touch()
    assert (tmp_path / "file").exists()


# --- signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_work_in_good_order(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt) as caught, signals.endings():
        signal.raise_signal(number)
    assert signals.exit_code(caught.value) == code
    assert signal.getsignal(number) is before
    assert signals.exit_code(KeyboardInterrupt()) == 130


def test_a_patient_process_is_asked_twice_without_harm() -> None:
    """SIGTERM to a whole group reaches a child twice: once from outside, once from its parent."""
    with Interrupt((signal.SIGTERM,), patient=True) as interrupt:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
    assert (interrupt.pressed, interrupt.number) == (True, signal.SIGTERM)


POOL = """
import os, sys, time
from wisp_gym.evaluation.pool import Pool
from wisp_gym.signals import endings, exit_code
import faulty
if __name__ == "__main__":
    try:
        with endings(), Pool(2, alone_s=0.0) as pool:
            for _ in pool.map(faulty.slow, [sys.argv[1]] * 100):
                pass
    except KeyboardInterrupt as interrupt:
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(exit_code(interrupt))
"""


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process whose pool of two is at work."""
    (tmp_path / "pool.py").write_text(POOL)
    path = os.pathsep.join([str(CLONE), str(CLONE / "tests")])
    place = tmp_path / "place"
    place.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "pool.py"), str(place)],
        env=os.environ | {"PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    give_up = time.monotonic() + 120
    while len(list(place.iterdir())) < 2 and time.monotonic() < give_up:
        assert process.poll() is None
        time.sleep(0.02)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def gone(pids: list[int]) -> bool:
    """Whether processes have ended, within some seconds."""
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        if not any(_runs(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGKILL"])
def test_the_processes_of_a_pool_end_with_it(
    how: str, at_work: subprocess.Popen[str], tmp_path: Path
) -> None:
    pids = [int(path.name) for path in (tmp_path / "place").iterdir()]
    if how == "SIGKILL":
        at_work.kill()  # it alone: its processes must notice
        codes: tuple[int, str] = (-signal.SIGKILL, "")
    else:
        number = signal.SIGINT if how == "Ctrl-C" else signal.SIGTERM
        os.killpg(at_work.pid, number)  # as the terminal and schedulers do
        codes = (128 + number, "interrupted\n")
    said = at_work.communicate(timeout=60)[1]
    assert (at_work.returncode, said) == codes
    assert gone(pids)


def test_what_goes_wrong_in_a_pool_is_told() -> None:
    with pool.Pool(2, alone_s=0.0) as two:
        assert next(two.map(odd, [1, 1, 1, 1])) == 1  # left alone, its results belong to nobody
        assert list(two.map(odd, range(3))) == [0, 1, 2]
        with pytest.raises(InputError, match="three") as caught:
            list(two.map(odd, [0, 3]))
        assert "in odd" in caught.value.__notes__[0]
        first, second = two.map(odd, [1, 2]), two.map(odd, [5, 6])
        assert [next(first), next(second), next(first), next(second)] == [1, 5, 2, 6]
        with pytest.raises(BrokenExecutor, match="exit code 7"):
            list(two.map(odd, [9]))
    assert not multiprocessing.active_children()


# --- curves


class Quota(io.RawIOBase):
    """A file on a disk with little space."""

    def __init__(self, path: Path, space: int) -> None:
        self.file, self.space = path.open("wb", buffering=0), space

    def write(self, content: Any) -> int:
        if self.file.tell() >= self.space:
            raise FULL
        return self.file.write(content[: self.space - self.file.tell()])

    def __getattribute__(self, name: str) -> Any:
        if name in ("tell", "seek", "truncate", "close"):
            return getattr(self.file, name)
        return super().__getattribute__(name)


def test_curves_on_a_full_disk_stay_readable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves = CurvesFile(tmp_path)
    assert curves._file is not None
    curves._file.close()
    (path,) = tmp_path.iterdir()
    disk = Quota(path, 200)
    curves._file = disk  # type: ignore[assignment]
    point = {"loss": 0.5, "skipped": "text"}
    for step in range(20):
        curves.write(point, dict.fromkeys(point, ()), step)
    disk.space = 10_000  # some has been freed
    curves.write(point | {"actions": torch.arange(4)}, {"actions": ()}, 20)
    curves.close()
    curves.write(point, {}, 21)
    assert capsys.readouterr().err.count("\n") == 1
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    steps = [event.step for event in events.Scalars("loss")]
    assert 1 < len(steps) < 20
    assert steps == [*range(len(steps) - 1), 20]
    histogram = events.Histograms("actions")[0].histogram_value
    assert (histogram.num, histogram.sum) == (4, 6)


def test_no_folder_for_curves_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    curves = CurvesFile(tmp_path / "file")
    curves.write({"loss": 1.0}, {"loss": ()}, 1)
    curves.close()
    assert "curves cannot be written" in capsys.readouterr().err


# --- compiled code


def test_kept_code_outlasts_damage_and_kills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = CodeFile(str(tmp_path), "f", "old"), CodeFile(str(tmp_path), "f", "new")
    old.save("int", b"old code")
    assert (old.load("int"), old.load("float"), new.load("int")) == (b"old code", None, None)
    with monkeypatch.context() as patch:  # killed between machine code and index
        patch.setattr(CodeFile, "_save_index", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            new.save("int", b"new code")
    assert new.load("int") is None
    new.save("int", b"new code")
    new.save("float", b"another")
    assert (new.load("int"), new.load("float")) == (b"new code", b"another")
    for name in ("f.1.nbc", "f.nbi"):
        for size in (0, 3):
            path = tmp_path / name
            path.write_bytes(path.read_bytes()[:size])
            assert new.load("int") is None
    new.save("int", b"new code")
    assert new.load("int") == b"new code"
    tell_once.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(CodeFile, "_dump", lambda *_: (_ for _ in ()).throw(FULL))
        new.save("double", b"")
        new.save("double", b"")
    assert new.load("double") is None
    assert capsys.readouterr().err.count("No space left on device") == 1


# --- trainings


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


def test_a_reader_without_space_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert not evaluate.show("a table")
        assert evaluate.show("what follows goes nowhere")
    assert capfd.readouterr().err == "error: standard output: no space left on device; free some\n"


def test_without_standard_error_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    evaluate.say("error: nobody hears it")
    with evaluate.progress_bar() as progress:
        assert progress is None
