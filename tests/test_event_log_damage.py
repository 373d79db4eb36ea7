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
from wisp_gym.evaluation.event_log_seal import SEAL_FILE
from wisp_gym.metrics import from_log, measure, serving
from wisp_gym.pipeline import Simulation
from wisp_gym.pipeline.log import KINDS
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
    """Return what changes facts in their file, and the seal so that it fits."""

    def edit(logs: Path) -> None:
        facts = json.loads((logs / FACTS).read_text())
        (logs / FACTS).write_text(json.dumps(facts | changes))
        reseal(logs)

    return edit


def replaced(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Return what changes a file's bytes."""
    return lambda logs: (logs / name).write_bytes(change((logs / name).read_bytes())) and None


def reseal(logs: Path, **changes: Any) -> None:
    """Write the seal anew, with the hashes of the files as they are and changes."""
    seal = json.loads((logs / SEAL_FILE).read_text())
    seal["sha256"] = {name: hashlib.sha256((logs / name).read_bytes()).hexdigest() for name in seal["sha256"]}
    (logs / SEAL_FILE).write_text(json.dumps(seal | changes))


def sealed(**changes: Any) -> Callable[[Path], None]:
    """Return what changes the seal."""
    return lambda logs: reseal(logs, **changes)


def resealed(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Return what changes a file's bytes, and the seal so that it fits."""

    def edit(logs: Path) -> None:
        replaced(name, change)(logs)
        reseal(logs)

    return edit


def changed_scenario(logs: Path) -> None:
    """Change a field of a log's scenario, and the seal so that it fits."""
    facts = json.loads((logs / FACTS).read_text())
    facts["scenario"]["horizon_s"] = 31.0
    edited(scenario=facts["scenario"])(logs)


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
        (replaced(SEAL_FILE, lambda content: content[:99]), "not JSON"),
        (replaced(SEAL_FILE, lambda content: b"[" * 100_000), "not JSON"),
        (replaced(SEAL_FILE, lambda content: b'{"a": 1}'), "format"),
        (sealed(version=2), "version = 2; allowed: 1"),
        (sealed(policies=["wisp"]), "two entries a row"),
        (sealed(policies=["wisp", "wisp"]), "each stand there once"),
        (sealed(policies=["wisp", "sled"]), "allowed: ['wisp', 'sled']"),
        (sealed(seeds=list(range(10**5)), policies=[str(at) for at in range(10**4)]), "two entries a row"),
        (sealed(fleets=["mix"]), "both or neither"),
        (sealed(split="train"), "split = test; allowed: train"),
        (sealed(scenario_sha256=["0" * 64]), "scenario_sha256 = "),
        (sealed(scenario_sha256=["0" * 64] * 2), "one entry a fleet and size"),
        (sealed(surplus=1), "unknown key"),
        (lambda logs: (logs / SEAL_FILE).unlink(), f"no {SEAL_FILE}"),
        (replaced(LOG, lambda content: content[:-100]), "damaged"),
        (replaced(LOG, lambda content: b"\x00" + content[1:]), "damaged"),
        (lambda logs: (logs / LOG).unlink(), "cannot be read"),
        (lambda logs: (logs / FACTS).unlink(), "no such file"),
        (replaced(FACTS, lambda content: content[:99]), "damaged"),
        (resealed(FACTS, lambda content: content[:99]), "not JSON"),
        (resealed(FACTS, lambda content: b'{"a": 1}'), "format"),
        (resealed(FACTS, lambda content: b"\xff\xfe\x00"), "not JSON"),
        (resealed(FACTS, lambda content: b"[" * 100_000), "not JSON"),
        (edited(version=2), "version = 2; allowed: 1"),
        (edited(file="../../secret.parquet"), "file"),
        (edited(seed=-3), "seed"),
        (edited(seed=0), "seed = [None, None, 'wisp', 0]; allowed: [None, None, 'wisp', 1]"),
        (edited(seeds=[0, 7], seed=7), "seeds = [0, 7]; allowed: [0, 1]"),
        (edited(world_sha256="0" * 64), "draws another world"),
        (edited(scenario_sha256="0" * 64), "scenario_sha256 = 000"),
        (edited(split="train"), "split = train; allowed: test"),
        (edited(window_s=[7.0, 30.0]), "window_s = [7, 30]; allowed: [8, 30], the world's"),
        (edited(versions={"wisp-gym": "0"}), "versions: 00-wisp-s0.log.parquet and 00-wisp-s1.log.parquet"),
        (edited(provenance="other"), "provenance: 00-wisp-s0.log.parquet and 00-wisp-s1.log.parquet"),
        (edited(file="00-wisp-s0.log.parquet"), "file = 00-wisp-s0.log.parquet; allowed: 00-wisp-s1"),
        (edited(sha256="0" * 64), "sha256: not the one of 00-wisp-s1.log.parquet"),
        (edited(scenario={"name": "x"}), "server"),
        (changed_scenario, "has changed since"),
        (edited(serving={"server_loop": False, "unknown": True}), "serving"),
        (edited(rows=3), "allowed: 3"),
        (edited(surplus=1), "unknown key"),
        (consistent(lambda events: events[::-1]), "cannot follow"),
        (consistent(lambda events: events[5:]), "cannot follow"),
        (consistent(lambda events: events[: len(events) // 2]), "allowed: the whole log"),
        (consistent(lambda events: events[:0]), "allowed: the whole log"),
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


@pytest.mark.parametrize("policy", ["wisp-urgent", "centralized", "sled-ahead", "confidence-retry"])
def test_nothing_happens_a_nanosecond_late_or_early(simulate: Simulate, policy: str) -> None:
    """Answers come, rounds and sessions begin and passes end when the world says."""
    sim = simulate("tight", policy)
    for kind in ("start", "draft", "verify", "deliver"):
        found = np.flatnonzero(sim.events[:, 1] == KINDS.index(kind))
        for row in found[:: max(1, len(found) // 5)]:
            for by in (-1, 1):
                events = sim.events.copy()
                events[row, 0] += by
                with pytest.raises(InputError, match=r"cannot follow|time_ns = -1"):
                    from_log(sim.world, events, serving(sim))


@pytest.mark.parametrize("policy", ["wisp-urgent", "centralized", "sled", "predictor-ahead"])
def test_a_log_that_stops_before_its_run_is_refused(simulate: Simulate, policy: str) -> None:
    sim = simulate("tight", policy)
    total = len(sim.events)
    for rows in {*range(0, total, total // 20), *range(total - 12, total)}:
        with pytest.raises(InputError, match=r"allowed: the whole log|cannot follow"):
            from_log(sim.world, sim.events[:rows], serving(sim))


def test_a_delivery_that_never_comes_is_missed(simulate: Simulate) -> None:
    sim = simulate("easy", "sled")
    last = np.flatnonzero(sim.events[:, 1] == KINDS.index("deliver"))[-1]
    with pytest.raises(InputError, match=r"allowed: the whole log|cannot follow"):
        from_log(sim.world, np.delete(sim.events, last, axis=0), serving(sim))


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
