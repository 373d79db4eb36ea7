"""What machines and users do to a run: full disks, kills between two renames, second runs, signals."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from faulty import FULL, a_set, contents

import evaluate
from agents.curves_file import CurvesFile
from wisp_gym._code_cache import CodeFile, tell_once
from wisp_gym.errors import InputError, told
from wisp_gym.evaluation import lock, output
from wisp_gym.evaluation.plots.results import read_results

CLONE = Path(__file__).parent.parent


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


# --- terminals


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
