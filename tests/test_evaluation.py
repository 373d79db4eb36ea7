"""Rows, intervals, choices, tables and files."""

from __future__ import annotations

import csv
import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from baselines import candidates, resolve
from wisp_gym import evaluation, scenario
from wisp_gym.errors import InputError
from wisp_gym.evaluation import Comparison, Row, RowSpec, best, compare, output, runner, table, writers
from wisp_gym.evaluation.statistics import (
    mean,
    paired_difference,
    paired_ratio,
    student_quantile,
    weighted_mean,
)
from wisp_gym.evaluation.summary import summarise
from wisp_gym.scenario import Scenario

SMALL = ("fleet.devices=6", "horizon_s=40", "warmup_s=10")
NAN = math.nan


@pytest.fixture(scope="module")
def small() -> Scenario:
    return scenario.load("quickstart", SMALL)


@pytest.fixture(scope="module")
def comparison(small: Scenario) -> Comparison:
    return compare(small, ["fixed:5", "wisp", "centralized"], [0, 1, 2], resolve)


def made(small: Scenario, goodput: dict[str, list[float]], **others: dict[str, list[float]]) -> Comparison:
    """Return a comparison with given metrics by policy and seed; what is not given is 1."""
    template = dict.fromkeys(runner.evaluate_row(RowSpec(small, "wisp", "wisp", 0), resolve).metrics, 1.0)
    others = {"goodput_tps": goodput, **others}
    count = len(next(iter(goodput.values())))
    rows = [
        Row(
            policy,
            policy,
            seed,
            (10.0, 40.0),
            template | {name: by[policy][seed] for name, by in others.items() if policy in by},
        )
        for seed in range(count)
        for policy in goodput
    ]
    return Comparison(small, tuple(goodput), tuple(range(count)), "test", tuple(rows))


# Intervals


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.7062), (4, 2.77645), (30, 2.04227), (31, 2.03951), (1000, 1.96234)]
)
def test_student_quantile(degrees: int, quantile: float) -> None:
    assert student_quantile(degrees) == pytest.approx(quantile, abs=1e-5)


def test_mean_by_hand() -> None:
    estimate = mean([2.0, 4.0, 0.0])
    assert estimate.value == 2.0
    assert estimate.half_width == pytest.approx(4.302652730 * 2 / math.sqrt(3))
    assert (estimate.low, estimate.high) == (2.0 - estimate.half_width, 2.0 + estimate.half_width)


def test_paired_difference_by_hand() -> None:
    estimate = paired_difference([10.0, 14.0, 12.0], [8.0, 10.0, 12.0])
    assert estimate.value == 2.0
    assert estimate.half_width == pytest.approx(4.96828, abs=1e-5)


def test_paired_ratio_by_hand() -> None:
    estimate = paired_ratio([10.0, 14.0, 12.0], [8.0, 10.0, 12.0])
    assert estimate.value == pytest.approx(36 / 30)
    # residuals 0.4, 2, -2.4: squares sum to 9.92
    assert estimate.half_width == pytest.approx(4.302652730 * math.sqrt(9.92 / 2) * math.sqrt(3) / 30)


def test_ratio_is_of_sums_not_a_mean_of_ratios() -> None:
    assert paired_ratio([1.0, 30.0], [1.0, 10.0]).value == pytest.approx(31 / 11)
    assert weighted_mean([0.5, 0.1], [10.0, 90.0]) == pytest.approx(0.14)


def test_pairing_ignores_what_worlds_share() -> None:
    worlds = [100.0, 300.0, 200.0, 500.0]
    assert paired_difference([world + 1 for world in worlds], worlds).half_width == pytest.approx(
        0.0, abs=1e-9
    )
    assert mean(worlds).half_width > 100


def test_one_seed_has_no_interval() -> None:
    assert mean([3.0]).value == 3.0
    assert math.isnan(mean([3.0]).half_width)
    assert math.isnan(paired_ratio([3.0], [2.0]).half_width)


def test_undefined_values() -> None:
    assert math.isnan(mean([NAN, NAN]).value)
    assert mean([NAN, 2.0, 4.0]).seeds == 2
    assert paired_difference([NAN, 2.0, 4.0], [1.0, NAN, 3.0]).value == 1.0
    assert math.isnan(paired_ratio([1.0, 2.0], [0.0, 0.0]).value)
    assert weighted_mean([NAN, 2.0], [1.0, 1.0]) == 2.0
    assert math.isnan(weighted_mean([NAN], [0.0]))


# Rows


def test_a_row_is_a_pure_function(small: Scenario, comparison: Comparison) -> None:
    row = runner.evaluate_row(RowSpec(small, "wisp", "wisp", 1), resolve)
    again = next(row for row in comparison.rows if (row.policy, row.seed) == ("wisp", 1))
    assert repr(row) == repr(again)
    assert row.controller == resolve("wisp").name
    assert row.window_s == (10.0, 40.0)


def test_seeds_splits_and_policies_differ(small: Scenario) -> None:
    specs = [
        RowSpec(small, "wisp", "wisp", 0),
        RowSpec(small, "wisp", "wisp", 1),
        RowSpec(small, "wisp", "wisp", 0, "train"),
        RowSpec(small, "wisp", "wisp", 0, "validation"),
        RowSpec(small, "wisp", "fixed:1", 0),
    ]
    rows = [dict(runner.evaluate_row(spec, resolve).metrics) for spec in specs]
    assert all(a != b for at, a in enumerate(rows) for b in rows[:at])


def test_a_random_policy_repeats_itself(small: Scenario) -> None:
    spec = RowSpec(small, "random", "random", 0)
    assert repr(runner.evaluate_row(spec, resolve)) == repr(runner.evaluate_row(spec, resolve))


def test_rows_come_world_by_world(comparison: Comparison) -> None:
    expected = [(name, seed) for seed in (0, 1, 2) for name in ("fixed:5", "wisp", "centralized")]
    assert [(row.policy, row.seed) for row in comparison.rows] == expected


def test_processes_do_not_change_rows(
    small: Scenario, comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "WORKER_START_S", -math.inf)
    started: list[int] = []
    spread = runner._spread
    monkeypatch.setattr(runner, "_spread", lambda w, r, p: started.append(p) or spread(w, r, p))
    told: list[tuple[int, int]] = []
    progress = lambda done, total: told.append((done, total))  # noqa: E731
    parallel = compare(small, comparison.policies, [0, 1, 2], resolve, jobs=8, progress=progress)
    assert started == [2]
    assert told == [(3, 9), (6, 9), (9, 9)]
    assert writers.metrics_csv(parallel) == writers.metrics_csv(comparison)


def test_a_failure_in_a_worker_is_the_callers(small: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "WORKER_START_S", -math.inf)
    worlds = [[RowSpec(small, "wisp", "wisp", 0)]]
    worlds += [[RowSpec(small, "wisp", "no-such", seed)] for seed in (1, 2)]
    with pytest.raises(InputError, match="unknown policy 'no-such'"):
        runner.evaluate_worlds(worlds, resolve, jobs=2)


@pytest.mark.parametrize(
    ("worlds", "each_s", "jobs", "processes"),
    [(9, 1.0, 1, 1), (9, 0.01, 4, 1), (9, 10.0, 4, 4), (2, 10.0, 4, 2), (1, 100.0, 4, 1), (0, 1.0, 4, 1)],
)
def test_processes_are_started_where_they_pay(worlds: int, each_s: float, jobs: int, processes: int) -> None:
    assert runner._processes(worlds, each_s, jobs) == processes


# Comparison


@pytest.mark.parametrize(
    ("policies", "seeds", "told"),
    [
        ([], [0], "no policy"),
        (["wisp"], [], "no seed"),
        (["wisp", "sled", "wisp"], [0], "policy 'wisp' is given twice"),
        (["wisp"], [3, 3], "seed '3' is given twice"),
        (["wisp", "sledd"], [0], "did you mean 'sled'"),
    ],
)
def test_wrong_comparisons(small: Scenario, policies: list[str], seeds: list[int], told: str) -> None:
    with pytest.raises(InputError, match=told):
        compare(small, policies, seeds, resolve)


def test_best_is_chosen_on_training_worlds(small: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[RowSpec] = []
    worth = {"late=urgent,deadline=timeline": 3.0, "late=last,deadline=timeline": 3.0}

    def pretend(worlds: list[list[RowSpec]], *_: object) -> list[Row]:
        specs = [spec for world in worlds for spec in world]
        asked.extend(specs)
        values = [worth.get(spec.controller.removeprefix("wisp:"), 1.0) + spec.seed for spec in specs]
        return [
            Row(spec.policy, spec.controller, spec.seed, (0, 1), {"goodput_tps": value})
            for spec, value in zip(specs, values, strict=True)
        ]

    monkeypatch.setattr(best, "evaluate_worlds", pretend)
    choice = best.choose(small, "wisp:best", candidates("wisp:best"), (0, 1), resolve)
    assert {spec.split for spec in asked} == {"train"}
    assert choice.chosen == "wisp:late=last,deadline=timeline"  # of equals, the first
    assert choice.goodput_tps[choice.chosen] == 3.5
    assert len(choice.goodput_tps) == 6


def test_best_runs_as_the_chosen_reading(small: Scenario) -> None:
    result = compare(small, ["wisp:best", "sled"], [0, 1], resolve, candidates, best_seeds=(0,))
    (choice,) = result.choices
    row = result.rows[0]
    assert (row.policy, row.controller) == ("wisp:best", choice.chosen)
    alone = runner.evaluate_row(RowSpec(small, "wisp:best", choice.chosen, 0), resolve)
    assert repr(alone) == repr(row)
    assert f"wisp:best = {choice.chosen}" in table.render(result)


# Summaries


def test_summary_pools_ratios(small: Scenario) -> None:
    result = made(
        small,
        {"a": [1.0, 1.0]},
        acceptance_rate={"a": [0.5, 0.1]},
        draft_length={"a": [1.0, 9.0]},
        rounds={"a": [10.0, 10.0]},
        longest_stall_s={"a": [3.0, 7.0]},
        attainment_class_1={"a": [0.4, 1.0]},
        attainment_class_2={"a": [1.0, 0.6]},
    )
    (summary,) = summarise(result)
    assert summary.metrics["acceptance_rate"] == pytest.approx(0.14)
    assert summary.metrics["longest_stall_s"] == 7.0
    assert summary.metrics["attainment_worst"] == pytest.approx(0.7)
    assert "acceptance_class_1" not in summary.metrics


def test_every_pooled_ratio_has_its_denominator(comparison: Comparison) -> None:
    from wisp_gym.evaluation.summary import DENOMINATORS

    metrics = comparison.rows[0].metrics
    used = {*DENOMINATORS, *(name for names in DENOMINATORS.values() for name in names)}
    assert used <= set(metrics)
    assert metrics["batch_size_mean"] * metrics["dispatches"] == pytest.approx(
        round(metrics["batch_size_mean"] * metrics["dispatches"])
    )


@pytest.mark.parametrize(
    ("goodput", "attainment", "verdict"),
    [
        ([12.0, 12.1, 11.9], 1.0, "win"),
        ([12.0, 12.1, 11.9], 0.951, "win"),
        ([12.0, 12.1, 11.9], 0.94, "trade"),
        ([8.0, 8.1, 7.9], 1.0, "loss"),
        ([8.0, 12.0, 11.0], 1.0, "undecided"),
    ],
)
def test_verdicts(small: Scenario, goodput: list[float], attainment: float, verdict: str) -> None:
    result = made(
        small,
        {"first": [10.0, 10.0, 10.0], "second": goodput},
        attainment_class_3={"second": [attainment] * 3},
    )
    reference, summary = summarise(result)
    assert (reference.verdict, summary.verdict) == ("reference", verdict)
    assert ("a trade, not a win" in table.render(result)) == (verdict == "trade")
    if verdict == "trade":
        assert "class 6 tok/s attains 6.0 points less" in table.render(result)


# Table


def test_table(comparison: Comparison) -> None:
    lines = table.render(comparison, per_class=True).splitlines()
    assert lines[0] == (
        "quickstart: 6 devices, 40 s simulated, counted from 10 s on, 3 test seeds (0-2), 0 sessions refused"
    )
    assert [line.split()[0] for line in lines[5:8]] == ["fixed:5", "wisp", "centralized"]
    assert " ± " in lines[6]
    assert " ± " not in lines[5]
    assert all(heading in lines[2] for heading in ("worst class", "longest stall", "ratio"))
    assert any("2 tok/s" in line and "8 tok/s" in line for line in lines)
    assert max(map(len, lines)) <= 140


def test_table_without_intervals_and_with_absent_classes() -> None:
    one_class = scenario.load("quickstart", [*SMALL, "classes.shares=[0,0,0,1]"])
    text = table.render(compare(one_class, ["wisp", "sled"], [4], resolve), per_class=True)
    assert "test seed 4" in text
    assert "one world: no intervals" in text
    assert "nan" not in text


def test_short_runs_say_so(small: Scenario, comparison: Comparison) -> None:
    assert "short: the horizon holds" in table.render(comparison)
    long = scenario.load(small, ["horizon_s=400"])
    assert "short:" not in table.render(compare(long, ["fixed:5"], [0], resolve))


def test_trace_rows_left_out_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    rows = [(0, 30, 10), (500, 30, 0), (900, 20, 12), (1000, 10**7, 5)]
    path.write_text(
        "\n".join(["t_ms,input_tokens,output_tokens", *(f"{t},{i},{o}" for t, i, o in rows)]) + "\n"
    )
    loaded = scenario.load("trace", [f"workload.trace={path}", "horizon_s=20", "warmup_s=0"])
    head = table.header(compare(loaded, ["wisp"], [0], resolve))
    assert head.startswith("trace: 2 devices")
    assert head.endswith("1 sessions refused, 1 rows of the trace without output left out")


def test_long_names_keep_their_end() -> None:
    assert table.short("a" * 60 + "/model") == "…" + "a" * 33 + "/model"


# Files


def test_csv(comparison: Comparison) -> None:
    lines = list(csv.DictReader(writers.metrics_csv(comparison).decode().splitlines()))
    assert [(line["policy"], line["seed"]) for line in lines[:4]] == [
        ("fixed:5", "0"),
        ("fixed:5", "1"),
        ("fixed:5", "2"),
        ("wisp", "0"),
    ]
    assert lines[8]["acceptance_rate"] == ""  # centralized drafts nothing
    assert float(lines[3]["goodput_tps"]) == pytest.approx(comparison.rows[1].metrics["goodput_tps"])


def test_numbers_have_one_format() -> None:
    assert [writers.number(value) for value in (1.0, 1 / 3, NAN, 1e-20, 123456.0)] == [
        "1",
        "0.333333333333",
        "",
        "1e-20",
        "123456",
    ]


def test_saved_files(comparison: Comparison, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    evaluation.save(comparison, folder, resolve, ["evaluate.py"], 1, datetime.now(UTC))
    assert sorted(path.name for path in folder.iterdir()) == sorted(output.FILES)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["policies"][0]["goodput_ratio"]["value"] == 1.0
    assert summary["policies"][2]["metrics"]["acceptance_rate"] is None
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["scenario"]["fleet"]["devices"] == 6
    assert manifest["scenario_sha256"] == summary["scenario_sha256"] == comparison.scenario.digest()
    assert manifest["policies"][1]["scheduler"]["kind"] == "slo-aware"
    assert manifest["versions"]["numpy"]


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output.write_together(tmp_path, {"a": b"old", "b": b"old"})
    with pytest.raises(TypeError):
        output.write_together(tmp_path, {"a": b"new", "b": "not bytes"})  # type: ignore[dict-item]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old", "b": b"old"}
    output.write_together(tmp_path, {"a": b"new", "b": b"new"})
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"new"}


def test_folders_are_checked_before_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "taken" / "metrics.csv").mkdir(parents=True)
    output.check_writable(tmp_path / "a" / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]
    for folder, told in (("file", "is a file"), ("file/below", "is a file"), ("taken", "is a folder")):
        with pytest.raises(InputError, match=told):
            output.check_writable(tmp_path / folder)
    with pytest.raises(InputError, match="cannot be written to"):
        output.check_writable(Path("/proc/results"))


def test_default_folders() -> None:
    assert output.default_folder("quick", ["wisp:best", "a/b"]) == Path("results/quick-wisp-best-a-b")
    long = [output.default_folder("quick", [f"{'p' * 150}{tail}"]) for tail in "ab"]
    assert long[0] != long[1]
    assert all(len(path.name) < 120 for path in long)
