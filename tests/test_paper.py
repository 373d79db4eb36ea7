"""The reproduction: arithmetic of the published figures, what is varied, and the whole command as a toy."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks.paper import command, report
from benchmarks.paper.cells import GOODPUT, Cell, deviation, deviations, records, summary
from benchmarks.paper.engine_limits import crossings, flips, holds_more_than_published
from benchmarks.paper.figures import pictures
from benchmarks.paper.parameters import MOST_CALIBRATED, PARAMETERS, Parameter, calibrated
from benchmarks.paper.policies import candidates, resolve, variant
from benchmarks.paper.ratios import compared, headlines, name_of
from benchmarks.paper.servers import on_server
from benchmarks.paper.sled_parts import steps
from benchmarks.paper.targets import HEADLINES, SYSTEMS, TIGHTEST, targets
from benchmarks.paper.work import SCENARIO
from wisp_gym import scenario
from wisp_gym.errors import InputError
from wisp_gym.evaluation import load_runner
from wisp_gym.pipeline import DrafterRule, SchedulerRule


@pytest.fixture(scope="module")
def paper() -> scenario.Scenario:
    return scenario.load(SCENARIO)


def test_the_published_cells_give_the_abstracts_headlines() -> None:
    assert len(targets()) == 15
    digits = {"capacity": 1, "goodput": 2}
    found = headlines(targets())
    for (what, other), published in HEADLINES.items():
        at = digits[what] if published != 3.7 else 1  # as many as the abstract has
        assert round(found[name_of(what, other)], at) == published
    for record in compared(targets()):
        assert abs(record["deviation"]) < 0.005
        assert record.get("highest_at", TIGHTEST) == TIGHTEST


def test_deviations_are_signed_and_their_summary_is_not() -> None:
    assert deviation(110, 100) == pytest.approx(0.1)
    assert deviation(50, 100) == -0.5
    published = targets()
    ours = dict(published)
    assert summary(deviations(ours, published).values())["max_deviation"] == 0
    ours["wisp", TIGHTEST] *= 0.8
    ours["sled", GOODPUT] *= 1.1
    short = summary(deviations(ours, published).values())
    assert short["max_deviation"] == pytest.approx(0.2)
    assert short["median_deviation"] == 0
    assert short["share_within_7_percent"] == pytest.approx(13 / 15)
    assert short["share_within_15_percent"] == pytest.approx(14 / 15)
    part = {("wisp", TIGHTEST): 86.0, ("wisp", "mix"): 100.0}
    assert deviations(part, published).keys() == {("wisp", TIGHTEST)}


def test_a_flip_between_two_limits_is_on_straight_lines_of_logarithms() -> None:
    # ratio 4 at a limit of 8 and 1/4 at 32: 1 half way between, at 16
    assert crossings([8, 32], [40, 10], [10, 40]) == pytest.approx([16])
    # ratio 2 at 16, 1/8 at 256: a quarter of the way
    assert crossings([16, 256], [2, 1], [1, 8]) == pytest.approx([32])
    assert crossings([8, 16, 32], [2, 3, 4], [1, 1, 1]) == []
    assert len(crossings([8, 16, 32], [2, 1, 2], [1, 2, 1])) == 2
    assert crossings([8, 16], [0, 5], [3, 3]) == []


def test_flips_name_the_pair_and_the_column() -> None:
    by_limit = {
        limit: {(system, TIGHTEST): Cell(values[at]) for at, system in enumerate(SYSTEMS)}
        for limit, values in {8: (80.0, 20.0, 20.0), 32: (80.0, 320.0, 20.0)}.items()
    }
    found = {(flip["above"], flip["below"]): flip for flip in flips(by_limit)}
    assert found["wisp", "centralized"]["flips_at"] == pytest.approx([16])
    assert found["wisp", "centralized"]["ratio"] == [4.0, 0.25]
    assert found["wisp", "sled"]["flips_at"] == []
    entries = [{"max_batch": limit, "cells": records(cells)} for limit, cells in by_limit.items()]
    assert holds_more_than_published(entries, 32, "centralized") == [TIGHTEST]
    assert holds_more_than_published(entries, 8, "centralized") == []


def test_at_most_five_parameters_are_calibrated() -> None:
    assert 0 < len(calibrated()) <= MOST_CALIBRATED
    assert len({one.place for one in PARAMETERS}) == len(PARAMETERS)


def test_every_parameter_exists_and_every_field_of_the_scenario_is_listed(paper: scenario.Scenario) -> None:
    for one in PARAMETERS:
        assert one.value(paper) is not None, one.place
    fields = paper.file.model_dump(mode="json")
    listed = {tuple(one.place.split(".")[:2]) for one in PARAMETERS if not one.of_policy}
    size, of_open_loops = (
        {("fleet", "devices")},
        {("workload", key) for key in ("trace", "stretch", "concurrency", "scale")},
    )
    for section in ("server", "fleet", "classes", "workload", "acceptance"):
        there = {(section, key) for key, value in fields[section].items() if value is not None}
        assert there - size - of_open_loops <= listed
    assert all(value is None for value in fields["ranges"].values())
    with pytest.raises(InputError, match="there is no 'max_batsh'"):
        Parameter("server.max_batsh", "assumed", "").value(paper)


@pytest.mark.parametrize("one", calibrated(), ids=lambda one: one.place)
@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_a_calibrated_parameter_can_be_moved(one: Parameter, factor: float, paper: scenario.Scenario) -> None:
    value = one.scaled(paper, factor)
    assert (value - one.value(paper)) * (factor - 1) > 0
    overrides, renamed = one.changed(value)
    if one.of_policy:
        (name,) = renamed.values()
        half, _, field = one.place.partition(":")[2].partition(".")
        assert getattr(getattr(resolve(name), half), field) == value
        assert candidates(name) != candidates(name.partition("[")[0])
    else:
        assert one.value(scenario.load(paper, overrides)) == value


def test_a_variant_changes_what_it_says_and_nothing_else() -> None:
    plain, changed = (
        resolve("sled"),
        resolve(variant("sled", scheduler__static_size=7, scheduler__padded=False)),
    )
    assert isinstance(plain.scheduler, SchedulerRule)
    assert isinstance(changed.scheduler, SchedulerRule)
    assert (changed.scheduler.static_size, changed.scheduler.padded) == (7, False)
    assert changed.scheduler.static_limit_s == plain.scheduler.static_limit_s
    assert changed.drafter == plain.drafter
    assert resolve(candidates("sled")[0]) == plain
    assert resolve(variant("sled", scheduler__max_requests=None)).scheduler == plain.scheduler
    for wrong in ("sled[scheduler.size=3]", "sled[server.static_size=3]"):
        with pytest.raises(InputError, match="must be a field"):
            resolve(wrong)


def test_the_steps_from_sled_to_wisp_change_one_half_at_a_time() -> None:
    made = [resolve(name) for _, name in steps(16)]
    assert (made[0].name, made[-1].drafter, made[-1].scheduler) == (
        resolve("sled").name,
        resolve("wisp").drafter,
        resolve("wisp").scheduler,
    )
    for one, other in pairwise(made):
        assert (one.drafter == other.drafter) != (one.scheduler == other.scheduler)
    kinds = [step.scheduler.kind for step in made if isinstance(step.scheduler, SchedulerRule)]
    assert kinds == ["static", "static", "static", *["fcfs"] * (len(made) - 4), "slo-aware"]
    assert isinstance(made[-2].drafter, DrafterRule)


def test_another_server_keeps_what_was_calibrated(paper: scenario.Scenario) -> None:
    moved = on_server(paper, "qwen3-14b-a100x1", "qwen3-0.6b-qwen3-14b")
    assert moved.server.max_batch == paper.server.max_batch
    assert moved.profiles.server.model == "qwen3-14b"
    assert moved.kv_tokens == moved.profiles.server.kv_tokens != paper.kv_tokens


def test_the_whole_command_runs_as_a_toy_and_goes_on_from_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a toy is not published")

    monkeypatch.setattr(report, "publish", refuse)
    arguments = ["--quick", "--jobs", "1", "--out", str(tmp_path / "out")]
    assert command.main(arguments, "") == 0
    line = capsys.readouterr().out.splitlines()[-1]
    result = json.loads(line)
    assert [name for name in report.SECTIONS if name in result] == list(report.SECTIONS)
    assert result["max_deviation"] >= result["median_deviation"] >= 0
    assert {(cell["system"], cell["column"]) for cell in result["table"]["cells"]} == {
        (system, column) for system in SYSTEMS for column in (TIGHTEST, GOODPUT)
    }
    assert [step["policy"] for step in result["sled"]["steps"]] == [name for _, name in steps(16)]
    assert all(step["capacity_devices"] > 0 for step in result["sled"]["steps"])
    product = math.prod(step["factor"] for step in result["sled"]["steps"][1:])
    assert product == pytest.approx(result["sled"]["ratio"], rel=1e-3)
    assert (tmp_path / "out" / "paper.json").read_text() == f"{line}\n"
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == pictures(result).keys()

    monkeypatch.setattr(load_runner, "evaluate_world", refuse)  # all rows are there
    assert command.main(arguments, "") == 0
    assert capsys.readouterr().out.splitlines()[-1] == line


def test_an_interrupt_says_that_rows_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(load_runner, "evaluate_world", interrupt)
    arguments = ["--quick", "--jobs", "1", "--only", "dip-sd", "--out", str(tmp_path / "out")]
    assert command.main(arguments, "") == 130
    assert "rows are kept" in capsys.readouterr().err
    assert not (tmp_path / "out" / "paper.json").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--only", "tabel"], "tabel"),
        (["--seeds", "0"], "1 to 1024"),
        (["--jobs", "many"], "1 to 1024"),
        (["table"], "unrecognized"),
    ],
)
def test_wrong_options_exit_with_code_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        command.main(arguments, "")
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    assert command.main(["--out", str(taken)], "") == 2
    assert "is a file" in capsys.readouterr().err
