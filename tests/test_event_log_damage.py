"""What --log-out and --rescore refuse, in one line, and that nothing is left where one fails."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from core import LITTLE

import evaluate
from wisp_gym.errors import InputError
from wisp_gym.evaluation import event_log
from wisp_gym.evaluation.event_log_rows import LogWriter, read_rows, write_rows
from wisp_gym.metrics import from_log, measure, serving
from wisp_gym.pipeline import Simulation
from wisp_gym.world import World

Simulate = Callable[[str, str], Simulation]


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the one line that a command is refused with."""
    capsys.readouterr()
    assert evaluate.main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    return shown.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--grid", "--log-out", "l"], "no --capacity, --grid"),
        (["--capacity", "--policy", "wisp", "--log-out", "l"], "no --capacity, --grid"),
        (["--tune", "--log-out", "l"], "no --capacity, --grid, --tune"),
        (["--policy", "wisp", "--log-format", "csv"], "--log-out names their folder"),
        (["--policy", "wisp", "--log-out", "l", "--log-format", "cvs"], "did you mean 'csv'?"),
        (["--policy", "wisp", "--log-out", "file"], "file is a file"),
        (["--rescore", "nowhere"], "no event logs"),
        (["--rescore", "nowhere", "--policy", "wisp", "--devices", "3"], "no --policy, --devices"),
        (["--rescore", "nowhere", "--grid"], "--rescore stands alone"),
        (["--rescore", "nowhere", "--set", "fleet.devices=3"], "classes.allowance_s, classes.on_time_share"),
        (["--rescore", "nowhere", "--set", "classes={allowance_s: 2}"], "other events would have come"),
    ],
)
def test_options_that_do_not_go_together(
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert told in refused(capsys, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_values_that_no_scenario_takes(evaluated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for change, told in (
        ("classes.on_time_share=2", "on_time_share"),
        ("warmup_s=30", "must be above the warm-up"),
    ):
        assert told in refused(capsys, "--rescore", str(evaluated / "logs"), "--set", change)


def test_a_folder_with_logs_of_another_evaluation(
    evaluated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = tmp_path / "logs"
    shutil.copytree(evaluated / "logs", logs)
    before = {path.name: path.read_bytes() for path in logs.iterdir()}
    out = ["--out", str(tmp_path / "o"), "--log-out", str(logs)]
    assert "of another evaluation" in refused(capsys, "--policy", "wisp", *LITTLE, *out)
    assert {path.name: path.read_bytes() for path in logs.iterdir()} == before
    assert (
        evaluate.main(["--policy", "wisp", "centralized", *LITTLE, *out]) == 0
    )  # the same one replaces them
    assert {path.name: path.read_bytes() for path in logs.iterdir()} == before


LOG, FACTS = "00-wisp-s1.log.parquet", "00-wisp-s1.log.json"


def edited(**changes: Any) -> Callable[[Path], None]:
    """Return what changes facts in their file."""

    def edit(logs: Path) -> None:
        facts = json.loads((logs / FACTS).read_text())
        (logs / FACTS).write_text(json.dumps(facts | changes))

    return edit


def replaced(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Return what changes a file's bytes."""
    return lambda logs: (logs / name).write_bytes(change((logs / name).read_bytes())) and None


def consistent(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Return what changes the rows of a log, and its facts so that they fit."""

    def edit(logs: Path) -> None:
        events = change(read_rows((logs / LOG).read_bytes(), LOG))
        write_rows(events, logs / LOG, "parquet")
        digest = hashlib.sha256((logs / LOG).read_bytes()).hexdigest()
        edited(sha256=digest, rows=len(events))(logs)

    return edit


def cell(row: int, column: int, value: int) -> Callable[[Any], Any]:
    """Return what writes one number into rows."""

    def write(events: Any) -> Any:
        events[row, column] = value
        return events

    return write


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (replaced(LOG, lambda content: content[:-100]), "damaged"),
        (replaced(LOG, lambda content: b"\x00" + content[1:]), "damaged"),
        (lambda logs: (logs / LOG).unlink(), "cannot be read"),
        (lambda logs: (logs / FACTS).unlink(), "policy wisp, seed 1 is missing"),
        (replaced(FACTS, lambda content: content[:99]), "not JSON"),
        (replaced(FACTS, lambda content: b'{"a": 1}'), "format"),
        (replaced(FACTS, lambda content: b"\xff\xfe\x00"), "not JSON"),
        (replaced(FACTS, lambda content: b"[" * 100_000), "not JSON"),
        (edited(version=2), "version = 2; allowed: 1"),
        (edited(file="../../secret.parquet"), "file"),
        (edited(seed=-3), "seed"),
        (edited(seed=0), "a second log of wisp, seed 0"),
        (edited(seeds=[0, 7], seed=7), "of two evaluations"),
        (edited(world_sha256="0" * 64), "draws another world"),
        (edited(scenario_sha256="0" * 64), "has changed since"),
        (edited(scenario={"name": "x"}), "server"),
        (edited(serving={"server_loop": False, "unknown": True}), "serving"),
        (edited(rows=3), "allowed: 3"),
        (edited(surplus=1), "unknown key"),
        (consistent(lambda events: events[::-1]), "cannot follow"),
        (consistent(lambda events: events[5:]), "cannot follow"),
        (consistent(cell(40, 2, 10**6)), "device = 1000000"),
        (consistent(cell(40, 3, 10**6)), "session = 1000000"),
        (consistent(cell(40, 0, -1)), "time_ns = -1"),
        (consistent(cell(40, 7, 2**62)), "d = "),
    ],
)
def test_damaged_and_foreign_logs(
    evaluated: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs = tmp_path / "logs"
    shutil.copytree(evaluated / "logs", logs)
    damage(logs)
    line = refused(capsys, "--rescore", str(logs), "--out", str(tmp_path / "out"))
    assert told in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"a,b\n1,2\n", b"\xff\xfe", b",".join([b"x"] * 8)])
@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.txt"])
def test_files_that_are_no_logs(name: str, content: bytes) -> None:
    with pytest.raises(InputError, match=r"^x\.|--log-format"):
        read_rows(content, name)
    good = "time_ns,kind,device,session,a,b,c,d\n0,start,0,0,1,2,3,4\n"
    for wrong in (good.replace("start", "begin"), good.replace("3,4", "3.5,4"), good.replace("0,1", "0,")):
        with pytest.raises(InputError, match="not an event log"):
            read_rows(wrong.encode(), "x.csv")


def test_no_change_of_a_log_breaks_the_replay(simulate: Simulate) -> None:
    """Whatever stands in the rows, they are scored or refused in one line."""
    random = np.random.default_rng(7)
    scored = refused = 0
    for policy in ("random-retry", "centralized", "wisp-urgent"):
        sim = simulate("tight", policy)
        for _ in range(120):
            events = sim.events.copy()
            row, column = random.integers(len(events)), random.integers(events.shape[1])
            some = (
                random.integers(-2, 40),
                random.integers(2**60),
                events[random.integers(len(events)), column],
            )
            events[row, column] = some[random.integers(3)]
            try:
                metrics = from_log(sim.world, events, serving(sim))
            except InputError:
                refused += 1
                continue
            assert list(metrics) == list(measure(sim))
            scored += 1
    assert refused > 100
    assert scored > 10  # a kind's unused numbers, or the number that stood there


@pytest.mark.parametrize("wrong", [np.zeros((3, 7), np.int64), np.zeros((3, 8)), [[0] * 8], None])
def test_arrays_that_are_no_logs(worlds: dict[str, World], wrong: Any, simulate: Simulate) -> None:
    with pytest.raises(InputError, match="event log: "):
        from_log(worlds["easy"], wrong, serving(simulate("easy", "sled")))


def test_a_log_of_another_policy_kind_is_refused(simulate: Simulate) -> None:
    sim = simulate("tight", "sled")
    wrong = dataclasses.replace(serving(sim), server_loop=True)
    with pytest.raises(InputError, match="cannot follow"):
        from_log(sim.world, sim.events, wrong)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_on_the_way_leaves_nothing(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = []

    class SecondFails(LogWriter):
        def close(self) -> None:
            super().close()
            written.append(self)
            if len(written) == 2:
                raise error

    monkeypatch.setattr(event_log, "LogWriter", SecondFails)
    words = [
        "--policy",
        "wisp",
        "sled",
        *LITTLE,
        "--out",
        str(tmp_path / "o"),
        "--log-out",
        str(tmp_path / "l"),
    ]
    assert evaluate.main(words) in (2, 130)
    assert "nothing has been written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
