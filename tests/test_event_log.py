"""Event logs: written with an evaluation's results, scored again without running, refused when they are not
what they were."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from core import LITTLE, POLICIES, TIGHT, draw, pair, rows, run, small

import evaluate
from wisp_gym import scenario
from wisp_gym.envs.action import SIZES
from wisp_gym.envs.agent import AgentScheduler
from wisp_gym.evaluation import event_log_rows, read_logs
from wisp_gym.evaluation.event_log_rows import COLUMNS, read_rows, write_rows
from wisp_gym.evaluation.event_log_seal import SEAL_FILE
from wisp_gym.metrics import from_log, judged_by, measure, serving
from wisp_gym.pipeline import DrafterRule, SchedulerRule, Simulation
from wisp_gym.world import World, draw_world, world_seed

Simulate = Callable[[str, str], Simulation]


def assert_same_metrics(one: dict[str, float], two: dict[str, float]) -> None:
    """To the last bit, NaN equal to itself."""
    assert list(one) == list(two)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def again(sim: Simulation, world: World | None = None) -> dict[str, float]:
    return from_log(world or sim.world, sim.events, serving(sim))


# --- the metrics of a run, from its log


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("setting", ["easy", "tight"])
def test_the_log_gives_every_metric_to_the_last_bit(simulate: Simulate, setting: str, policy: str) -> None:
    sim = simulate(setting, policy)
    assert_same_metrics(again(sim), measure(sim))


class Patient:
    """A scheduler in Python that waits now and then."""

    def select(self, view: Any) -> Any:
        from wisp_gym.pipeline import Wait

        if len(view.requests) < 3 and view.waited_ns < 10_000_000:
            return Wait(view.now_ns + 2_000_000)
        return list(range(len(view.requests)))[::-1]


def test_agents_and_controllers_in_python(worlds: dict[str, World]) -> None:
    random = np.random.default_rng(1)
    agent = AgentScheduler(lambda observation: random.integers(0, SIZES), "agent", hold_s=0.2)
    for policy in (agent.policy(), pair("patient", DrafterRule.predictor(), Patient())):
        sim = run(worlds["tight"], policy)
        assert "wait" in {row.kind for row in rows(sim)}
        assert_same_metrics(again(sim), measure(sim))


@pytest.mark.parametrize("policy", ["wisp-urgent", "centralized", "confidence-retry"])
def test_an_open_loop(tmp_path: Path, policy: str) -> None:
    """Arrivals of a trace: one that can never fit, and sessions still to come at the end."""
    lines = [f"{70 * i},{20 + 7 * (i % 40)},{5 + i % 30}" for i in range(400)]
    lines[9] = "640,5000,10"
    path = tmp_path / "trace.csv"
    path.write_text("t_ms,input_tokens,output_tokens\n" + "\n".join(lines) + "\n")
    found = scenario.load(
        "trace",
        [
            f"workload.trace={path}",
            "horizon_s=20",
            "warmup_s=4",
            "server.kv_tokens=2000",
            "fleet.allow_infeasible=true",
            "server.max_batch=4",
        ],
    )
    sim = run(draw_world(found, world_seed("test", 0)), POLICIES[policy]())
    assert measure(sim)["refused"] == 1
    assert_same_metrics(again(sim), measure(sim))


# --- judged otherwise


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ("classes.allowance_s=0.2", ("goodput_tps", "attainment", "delivered_goodput_tps", "demand_tps")),
        ("classes.on_time_share=0.5", ("attainment", "sessions_on_time_share")),
        ("warmup_s=9", ("window_s", "sessions", "rounds", "energy_per_token_j")),
    ],
)
def test_another_slo_or_window_is_what_a_run_under_it_gives(change: str, names: tuple[str, ...]) -> None:
    """Of a policy that reads no deadline: its events are the same under any allowance."""
    policy = pair("plain", DrafterRule.fixed(3), SchedulerRule("fcfs"))
    sim = run(draw(TIGHT), policy)
    ran = run(draw((*TIGHT, change)), policy)
    np.testing.assert_array_equal(sim.events, ran.events)
    judged = judged_by(sim.world, small(*TIGHT, change))
    assert_same_metrics(again(sim, judged), measure(ran))
    for name in names:
        assert measure(ran)[name] != measure(sim)[name], name


def test_a_policy_that_reads_deadlines_keeps_its_events(simulate: Simulate) -> None:
    """Goodput under another allowance, counted token by token from the deliveries."""
    sim = simulate("tight", "wisp-urgent")
    world, allowance_ns = sim.world, 400_000_000
    judged = judged_by(world, small(*TIGHT, "classes.allowance_s=0.4"))
    starts = {row.session: row for row in rows(sim, "start")}
    there: dict[int, list[int]] = {session: [] for session in starts}
    for row in rows(sim, "deliver"):
        there[row.session] += [row.time] * row.a
    good = 0
    for session, row in starts.items():
        period_ns = int(world.arrays.groups[world.arrays.devices[row.device]["group"]]["period_ns"])
        for j, time in enumerate(there[session], 1):
            due = row.a + allowance_ns + j * period_ns
            good += time <= due and world.warmup_ns <= due < world.horizon_ns
    metrics = again(sim, judged)
    assert metrics["goodput_tps"] * metrics["window_s"] == pytest.approx(good)
    assert metrics["goodput_tps"] < measure(sim)["goodput_tps"]
    assert metrics["rounds"] == measure(sim)["rounds"]


# --- files


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_file_gives_the_rows_back(
    simulate: Simulate, tmp_path: Path, form: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = simulate("easy", "random-retry").events
    for name in ("one", "two"):
        write_rows(events, tmp_path / f"{name}.{form}", form)
    content = (tmp_path / f"one.{form}").read_bytes()
    assert content == (tmp_path / f"two.{form}").read_bytes()
    found = read_rows(content, f"one.{form}")
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, events)
    monkeypatch.setattr(event_log_rows, "ROWS_TOGETHER", 100)
    writers = [event_log_rows.LogWriter(tmp_path / f"{size}.{form}", form) for size in (7, 450)]
    for writer, size in zip(writers, (7, 450), strict=True):
        for begin in range(0, len(events), size):
            writer.add(events[begin : begin + size])
        writer.close()
        assert writer.rows == len(events)
    pieces = [(tmp_path / f"{size}.{form}").read_bytes() for size in (7, 450)]
    assert pieces[0] == pieces[1]
    np.testing.assert_array_equal(read_rows(pieces[0], f"7.{form}"), events)
    if form == "csv":
        first = content.decode().splitlines()[:2]
        assert first[0] == ",".join(COLUMNS)
        assert first[1].split(",")[1] == "start"


def test_scored_again_a_comparison_is_the_same(
    evaluated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (evaluated / "ran" / "metrics.csv").read_bytes() == (
        evaluated / "plain" / "metrics.csv"
    ).read_bytes()
    names = {
        f"{name}-s{seed}.log.{ending}"
        for name in ("00-wisp", "01-centralized")
        for seed in (0, 1)
        for ending in ("json", "parquet")
    }
    assert {path.name for path in (evaluated / "logs").iterdir()} == names | {SEAL_FILE}
    capsys.readouterr()
    assert evaluate.main(["--rescore", str(evaluated / "logs"), "--out", str(tmp_path / "again")]) == 0
    assert "read from 4 event logs" in capsys.readouterr().out
    for name in ("metrics.csv", "summary.json"):
        assert (tmp_path / "again" / name).read_bytes() == (evaluated / "ran" / name).read_bytes()
    manifest = json.loads((tmp_path / "again" / "manifest.json").read_text())
    assert len(manifest["rescored"]["logs"]) == 4


def test_scored_again_under_another_slo(evaluated: Path, tmp_path: Path) -> None:
    words = ["--set", "classes.allowance_s=0", "--set", "classes.on_time_share=1"]
    assert evaluate.main(["--rescore", str(evaluated / "logs"), *words, "--out", str(tmp_path)]) == 0
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["rescored"]["changed"] == words[1::2]
    assert manifest["scenario"]["classes"]["allowance_s"] == 0
    shares = []
    texts = [(folder / "metrics.csv").read_text() for folder in (evaluated / "ran", tmp_path)]
    for before, now in zip(*(csv.DictReader(text.splitlines()) for text in texts), strict=True):
        assert now["demand_tps"] != before["demand_tps"]
        assert float(before["sessions_on_time_share"]) == 1
        assert now["throughput_tps"] == before["throughput_tps"]
        shares.append(float(now["sessions_on_time_share"]))
    assert min(shares) < 1


def test_scored_again_a_sweep_of_loads_is_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--policy", "wisp", "sled", "--loads", "3,5", "--class", "8", "mix", *LITTLE[2:]]
    logs = ["--log-out", str(tmp_path / "logs"), "--log-format", "csv"]
    for more in ([], logs):  # rows that are there already are run again where logs are asked for
        assert evaluate.main([*words, "--out", str(tmp_path / "ran"), *more]) == 0
    assert len(list((tmp_path / "logs").glob("*.log.csv"))) == 2 * 2 * 2 * 2
    assert evaluate.main(["--rescore", str(tmp_path / "logs"), "--out", str(tmp_path / "again")]) == 0
    shown = capsys.readouterr().out
    assert len(re.findall(r"8 tok/s +3 +wisp", shown)) == 3
    assert (tmp_path / "again" / "loads.csv").read_bytes() == (tmp_path / "ran" / "loads.csv").read_bytes()
    changed = ["--set", "classes.allowance_s=9", "--out", str(tmp_path / "other")]
    assert evaluate.main(["--rescore", str(tmp_path / "logs"), *changed]) == 0
    assert (tmp_path / "other" / "loads.csv").read_bytes() != (tmp_path / "ran" / "loads.csv").read_bytes()


def test_a_sink_gets_what_the_log_would_hold() -> None:
    """Through several times when room runs short, and nothing is kept."""
    world, found = draw(TIGHT), []
    sim = Simulation(world, POLICIES["random-retry"](), log_sink=lambda rows: found.append(rows.copy())).run()
    assert len(found) > 0
    sim.hand_over()
    assert len(sim.events) == 0
    logged = run(world, POLICIES["random-retry"]())
    np.testing.assert_array_equal(np.concatenate(found), logged.events)
    assert len(sim.state.log) < len(logged.state.log)
    assert_same_metrics(measure(sim), measure(logged))


def test_logs_are_read_in_the_order_of_the_rows(evaluated: Path) -> None:
    logs = read_logs(evaluated / "logs")
    assert [(log.facts.policy, log.facts.seed) for log in logs] == [
        ("wisp", 0),
        ("wisp", 1),
        ("centralized", 0),
        ("centralized", 1),
    ]
