"""The trace file against the rules of Chrome's trace event format, and against the log."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from core import SECOND, rows

import evaluate
from wisp_gym.pipeline import Simulation
from wisp_gym.rendering import TraceProcess, trace_bytes

Simulate = Callable[[str, str], Simulation]
WINDOW = (6.0, 24.0)
POLICIES = ("wisp-urgent", "sled", "centralized", "confidence-drop")


def load(content: bytes) -> list[dict[str, Any]]:
    trace = json.loads(content)
    assert set(trace) == {"displayTimeUnit", "otherData", "traceEvents"}
    return list(trace["traceEvents"])


@pytest.fixture(scope="module")
def traces(simulate: Simulate) -> dict[str, list[dict[str, Any]]]:
    return {
        policy: load(trace_bytes([TraceProcess(policy, simulate("tight", policy))], WINDOW))
        for policy in POLICIES
    }


every_policy = pytest.mark.parametrize("policy", POLICIES)


@every_policy
def test_events_have_what_the_format_asks_for(traces: dict[str, list[dict[str, Any]]], policy: str) -> None:
    begun: Counter[tuple[Any, ...]] = Counter()
    named: dict[str, set[int]] = defaultdict(set)
    for event in traces[policy]:
        assert {"name", "ph", "pid"} <= set(event)
        assert event["ph"] in "MXCibe"
        if event["ph"] == "M":
            assert event["name"] in (
                "process_name",
                "process_sort_index",
                "thread_name",
                "thread_sort_index",
            )
            named[event["name"]].add(event["tid"])
            continue
        assert 1e6 * WINDOW[0] <= event["ts"] <= 1e6 * WINDOW[1]
        if event["ph"] == "X":
            assert event["dur"] > 0
            assert event["ts"] + event["dur"] <= 1e6 * WINDOW[1] + 1e-3
        if event["ph"] in "be":
            begun[event["id2"]["local"], event["cat"], event["name"]] += 1 if event["ph"] == "b" else -1
        if event["ph"] == "C":
            assert all(isinstance(value, int) and value >= 0 for value in event["args"].values())
        if event["ph"] in "Xi":
            assert event["tid"] in named["thread_name"]  # the name comes first
    assert set(begun.values()) <= {0}
    assert named["thread_name"] == named["thread_sort_index"]


@every_policy
def test_nothing_overlaps_on_a_thread(traces: dict[str, list[dict[str, Any]]], policy: str) -> None:
    threads: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for event in traces[policy]:
        if event["ph"] == "X":
            threads[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    assert len(threads) > 20
    for listed in threads.values():
        listed.sort()
        assert all(end <= start + 1e-3 for (_, end), (start, _) in pairwise(listed))


@every_policy
def test_the_gpus_passes_are_the_logs(
    traces: dict[str, list[dict[str, Any]]], simulate: Simulate, policy: str
) -> None:
    sim = simulate("tight", policy)
    begin, end = (round(second * SECOND) for second in WINDOW)
    expected = {
        row.a: (max(row.time, begin), min(row.c, end), row.b)
        for row in rows(sim, "pass")
        if row.time < end and row.c > begin
    }
    new: Counter[int] = Counter()
    for row in rows(sim, "member"):
        new[row.a] += row.c
    listed = {event["args"]["pass"]: event for event in traces[policy] if event["name"] == "pass"}
    assert listed.keys() == expected.keys()
    for number, (start, until, members) in expected.items():
        event = listed[number]
        assert round(1000 * event["ts"]) == start
        assert round(1000 * (event["ts"] + event["dur"])) == until
        assert event["args"]["batch"] == members
        assert event["args"]["new_tokens"] == new[number]


@every_policy
def test_time_in_passes_is_the_metrics(
    traces: dict[str, list[dict[str, Any]]], simulate: Simulate, policy: str
) -> None:
    """Verify and interference of all members of passes begun and ended in the window: as the log has it."""
    sim = simulate("tight", policy)
    begin, end = (round(second * SECOND) for second in WINDOW)
    inside = {row.a: row for row in rows(sim, "pass") if begin <= row.time and row.c <= end}
    expected = sum(row.b * (row.c - row.time) for row in inside.values())
    accepted = sum(row.b for row in rows(sim, "verify") if row.a in inside)
    mine = [
        event
        for event in traces[policy]
        if event["name"] in ("verify", "interference") and event["args"]["pass"] in inside
    ]
    assert sum(round(1000 * event["dur"]) for event in mine) == pytest.approx(expected, abs=len(mine))
    seen = [event["args"].get("accepted", 0) for event in mine if event["name"] == "verify"]
    assert sum(seen) == accepted


def test_the_queue_counter_at_dispatches(traces: dict[str, list[dict[str, Any]]], simulate: Simulate) -> None:
    """What is left in the queue as a pass starts, by the log: arrivals less members."""
    from core import requests

    sim = simulate("tight", "wisp-urgent")
    starts = {row.a: row.time for row in rows(sim, "pass")}
    waits = [
        (queued, starts[request.passes[i]] if i < len(request.passes) else sim.now_ns)
        for request in requests(sim)
        for i, queued in enumerate(request.queued)
    ]
    counter = [event for event in traces["wisp-urgent"] if event["name"] == "queued requests"]
    times = np.array([round(1000 * event["ts"]) for event in counter])
    for probe in range(7 * SECOND, 23 * SECOND, SECOND // 3):
        at = int(np.searchsorted(times, probe, side="right")) - 1
        expected = sum(queued <= probe < until for queued, until in waits)
        assert counter[at]["args"]["requests"] == expected


def test_evictions_are_told(traces: dict[str, list[dict[str, Any]]], simulate: Simulate) -> None:
    begin, end = (second * SECOND for second in WINDOW)
    there = [row.time for row in rows(simulate("tight", "wisp-urgent"), "evict") if begin <= row.time < end]
    told = [round(1000 * event["ts"]) for event in traces["wisp-urgent"] if event["name"] == "evicted"]
    assert len(there) > 3
    assert told == there


def test_due_times_are_the_timelines(traces: dict[str, list[dict[str, Any]]], simulate: Simulate) -> None:
    sim = simulate("tight", "wisp-urgent")
    arrays = sim.world.arrays
    starts = {row.session: row for row in rows(sim, "start")}
    before: dict[tuple[int, int], int] = {}
    committed: Counter[int] = Counter()
    for row in rows(sim, "member", "verify"):
        if row.kind == "member":
            before[row.session, row.a] = committed[row.session]
        else:
            committed[row.session] = row.c
    checked = 0
    for event in traces["wisp-urgent"]:
        if event["name"] == "verify":
            args = event["args"]
            start = starts[args["session"]]
            group = arrays.groups[arrays.devices[start.device]["group"]]
            tokens = before[args["session"], args["pass"]] + 1
            due = start.a + int(group["allowance_ns"]) + tokens * int(group["period_ns"])
            assert args["next_token_due_ms"] == due / 1e6
            checked += 1
    assert checked > 100


def test_processes_and_bytes(simulate: Simulate) -> None:
    processes = [TraceProcess(name, simulate("easy", name)) for name in ("wisp-urgent", "sled")]
    content = trace_bytes(processes, (6.0, 8.0))
    assert content == trace_bytes(processes, (6.0, 8.0))
    packed = trace_bytes(processes, (6.0, 8.0), compressed=True)
    assert packed == trace_bytes(processes, (6.0, 8.0), compressed=True)
    assert gzip.decompress(packed) == content
    names = {
        event["pid"]: event["args"]["name"] for event in load(content) if event["name"] == "process_name"
    }
    assert names == {1: "wisp-urgent", 2: "sled"}


# --- the command

SMALL = ["--scenario", "quickstart", "--devices", "5", "--horizon", "30", "--set", "warmup_s=8"]


def test_the_command_writes_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--policy", "wisp", "sled", *SMALL, "--seeds", "3,5", "--jobs", "1", "--out", "x"]
    assert evaluate.main([*words, "--trace-out", "deep/run.json.gz", "--trace-window", "10:12.5"]) == 0
    told = capsys.readouterr().out
    assert "deep/run.json.gz shows 10 to 12.5 s of seed 3: open it in ui.perfetto.dev" in told
    events = load(gzip.decompress(Path("deep/run.json.gz").read_bytes()))
    names = [event["args"]["name"] for event in events if event["name"] == "process_name"]
    assert names == ["wisp, seed 3", "sled, seed 3"]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "manifest.json",
        "metrics.csv",
        "run.json.gz",
        "summary.json",
    ]
    assert evaluate.main([*words, "--trace-out", "run.json"]) == 0
    assert "shows 8 to 30 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--trace-out", "run.txt"], "ends in .json"),
        (["--trace-out", "a-file/run.json"], "--trace-out a-file: "),
        (["--trace-out", "run.json", "--trace-window", "10"], "BEGIN:END"),
        (["--trace-out", "run.json", "--trace-window", "12:10"], "BEGIN:END"),
        (["--trace-out", "run.json", "--trace-window", "10:31"], "0 to 30"),
        (["--trace-out", "run.json", "--trace-window", "nan:20"], "BEGIN:END"),
        (["--trace-window", "10:20"], "--trace-out"),
        (["--trace-out", "run.json", "--capacity"], "no --capacity"),
    ],
)
def test_wrong_input_is_one_line(
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-file").write_text("")
    small = SMALL if "--capacity" not in words else []
    assert evaluate.main(["--policy", "wisp", *small, *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: --trace-")
    assert shown.err.count("\n") == 1
    assert told in shown.err
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]
