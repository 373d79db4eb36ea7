"""Capacity and sweeps of loads: nested worlds, real runs, interruption, command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import evaluate
from baselines import candidates, resolve
from wisp_gym import scenario
from wisp_gym.errors import InputError
from wisp_gym.evaluation import (
    CapacityStudy,
    RowSpec,
    Workplace,
    at_load,
    evaluate_row,
    fleet_kinds,
    load_rows,
    measure_capacity,
    parse_loads,
    render_capacity,
    save_capacity,
    sweep_loads,
)
from wisp_gym.evaluation.capacity import violation
from wisp_gym.evaluation.pool import Pool
from wisp_gym.evaluation.provenance import provenance
from wisp_gym.scenario import Scenario
from wisp_gym.world import draw_world, world_seed

TINY = ("horizon_s=60", "warmup_s=15", "server.max_batch=1")
"""A server so small that a handful of devices fills it."""

CALL = ["--scenario", "quickstart", *(word for change in TINY for word in ("--set", change)), "--seeds", "2"]
POLICIES = ("sled", "centralized")


@pytest.fixture(scope="module")
def tiny() -> Scenario:
    return scenario.load("quickstart", TINY)


def study(tiny: Scenario, folder: Path, seeds: tuple[int, ...] = (0, 1), **place: object) -> CapacityStudy:
    kinds = fleet_kinds(tiny, ("mix", "8"))
    workplace = Workplace(folder, **place)  # type: ignore[arg-type]
    return measure_capacity(tiny, POLICIES, kinds, seeds, resolve, candidates, workplace)


@pytest.fixture(scope="module")
def measured(tiny: Scenario, tmp_path_factory: pytest.TempPathFactory) -> CapacityStudy:
    return study(tiny, tmp_path_factory.mktemp("measured"))


# Fleets


@pytest.mark.parametrize("name", ["quickstart", "fleet-mix"])
def test_worlds_of_growing_fleets_nest(name: str) -> None:
    for kind in fleet_kinds(scenario.load(name, TINY[:2]), ("4", "mix")):
        small, large = (draw_world(kind.at(size), world_seed("test", 3)).arrays for size in (5, 9))
        np.testing.assert_array_equal(small.devices, large.devices[:5])
        count = int(small.devices["sessions"].sum())
        np.testing.assert_array_equal(small.sessions["length"], large.sessions["length"][:count])


def test_fleets_of_a_class_hold_that_class_alone(tiny: Scenario) -> None:
    (kind,) = fleet_kinds(tiny, ("6",))
    assert kind.name == "6 tok/s"
    assert kind.at(7).devices == 7
    assert set(draw_world(kind.at(7), 1).arrays.devices["group"]) == {2}


def test_each_and_mix(tiny: Scenario) -> None:
    names = [kind.name for kind in fleet_kinds(tiny)]
    assert names == ["2 tok/s", "4 tok/s", "6 tok/s", "8 tok/s", "mix"]
    one = scenario.load(tiny, ["classes.shares=[0,1,0,0]"])
    assert [kind.name for kind in fleet_kinds(one)] == ["4 tok/s"]


def test_at_load_changes_the_size_alone(tiny: Scenario) -> None:
    assert at_load(at_load(tiny, 3), tiny.devices) == tiny


@pytest.mark.parametrize("text", ["", "x", "0", "4,4", "3,-2", "3;4", "99999999"])
def test_loads_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="--loads"):
        parse_loads(text)


def test_loads_ascend() -> None:
    assert parse_loads("80, 40,120") == (40, 80, 120)


# Capacities


def test_a_capacity_is_where_its_rows_cross(measured: CapacityStudy, tiny: Scenario) -> None:
    for kind in measured.kinds:
        for policy in POLICIES:
            cell = measured.capacities[kind.name, policy]
            assert cell.crossing.crossed
            held, broken = (
                violation(
                    [evaluate_row(RowSpec(kind.at(size), policy, policy, seed), resolve) for seed in (0, 1)]
                )
                for size in (cell.crossing.capacity, cell.crossing.capacity + 1)
            )
            assert held <= 0.05 + 1e-9
            assert broken > 0.05
            low, high = cell.interval
            assert low - 1 <= cell.crossing.capacity <= high + 1


def test_the_mix_counts_by_its_worst_class(measured: CapacityStudy) -> None:
    cell = measured.capacities["mix", "centralized"]
    rows = measured.rows.of("mix", "centralized", cell.crossing.capacity + 1, measured.seeds)
    means = [np.mean([row.metrics[f"attainment_class_{number}"] for row in rows]) for number in (1, 2, 3, 4)]
    assert violation(rows) == pytest.approx(1 - min(means))
    assert violation(rows) > 1 - np.mean([row.metrics["attainment"] for row in rows])


def test_the_highest_goodput_is_met_at_its_size(measured: CapacityStudy) -> None:
    for cell in measured.capacities.values():
        means = {
            size: np.mean(
                [
                    row.metrics["goodput_tps"]
                    for row in measured.rows.of(cell.fleet, cell.policy, size, (0, 1))
                ]
            )
            for size in cell.sizes
        }
        assert means[cell.goodput_devices] == pytest.approx(max(means.values()))
        assert cell.goodput.value == pytest.approx(max(means.values()))


def test_table_names_what_it_shows(measured: CapacityStudy) -> None:
    text = render_capacity(measured)
    for word in ("mix", "8 tok/s", "sled", "centralized", "unloaded attainment", "bootstrap", "5 %"):
        assert word in text


def save(done: CapacityStudy, folder: Path) -> dict[str, bytes]:
    from datetime import UTC, datetime

    save_capacity(done, folder, ["evaluate.py"], 1, datetime.now(UTC))
    return {name: (folder / name).read_bytes() for name in ("capacity.csv", "capacity.json")}


def test_an_interrupted_study_goes_on_and_gives_the_same_bytes(
    tiny: Scenario, measured: CapacityStudy, tmp_path: Path
) -> None:
    def interrupt(done: int, total: int) -> None:
        if done > 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study(tiny, tmp_path, progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["capacity.partial.csv"]
    done = study(tiny, tmp_path)
    assert len(done.keys()) - 40 < done.new_rows < len(done.keys()) - 20
    files = save(done, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "capacity.csv",
        "capacity.json",
        "manifest.json",
    ]
    undisturbed = tmp_path / "undisturbed"
    assert files == save(measured, undisturbed)
    again = study(tiny, undisturbed)
    assert again.new_rows == 0
    assert save(again, undisturbed) == files
    more = study(tiny, undisturbed, seeds=(0, 1, 2))
    assert 0 < more.new_rows < len(more.keys())


def test_rows_that_rest_on_something_else_are_run_anew(
    tiny: Scenario, measured: CapacityStudy, tmp_path: Path
) -> None:
    save(measured, tmp_path)
    other = scenario.load(tiny, ["horizon_s=61"])
    kinds = fleet_kinds(other, ("mix",))
    (tmp_path / "loads.csv").write_bytes((tmp_path / "capacity.csv").read_bytes())
    sweep = sweep_loads(other, POLICIES, kinds, (4,), (0, 1), resolve, candidates, Workplace(tmp_path))
    assert sweep.new_rows == 4
    same = sweep_loads(
        tiny, POLICIES, fleet_kinds(tiny, ("mix",)), (4,), (0, 1), resolve, candidates, Workplace(tmp_path)
    )
    assert same.new_rows == 0


def test_a_damaged_file_of_rows_is_no_help_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "loads.csv").write_text("fleet,policy\nmix,sled\n")
    (tmp_path / "loads.partial.csv").write_bytes(b"\xff\xfe\x00")
    assert load_rows.LoadRows(tmp_path, "loads.csv", {}).rows == {}


def test_provenance_follows_files_that_a_policy_names(tiny: Scenario, tmp_path: Path) -> None:
    source = "class Slow:\n    def select(self, view):\n        return [0]\n"
    file = tmp_path / "slow.py"
    file.write_text(source)
    name = f"predictor+{file}:Slow"
    first = provenance(tiny, name, (name,), resolve)
    assert provenance(tiny, name, (name,), resolve) == first
    file.write_text(source + "# changed\n")
    assert provenance(tiny, name, (name,), resolve) != first
    assert provenance(tiny, "wisp", ("wisp",), resolve) != provenance(tiny, "wisp", ("sled",), resolve)


def test_provenance_is_not_touched_by_other_files(
    tiny: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`specdec+++fcfs` has an empty part between its signs, which is no path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "predictor").mkdir()
    found = set()
    for text in ("one", "two"):
        for other in (tmp_path / "notes.txt", tmp_path / "predictor" / "notes.txt"):
            other.write_text(text)
        found |= {provenance(tiny, name, (name,), resolve) for name in ("specdec+++fcfs", "predictor+fcfs")}
    assert len(found) == 2


def test_the_best_is_chosen_at_every_load(tiny: Scenario, tmp_path: Path) -> None:
    kinds = fleet_kinds(tiny, ("mix",))
    sweep = sweep_loads(tiny, ["wisp:best"], kinds, (2, 12), (0,), resolve, candidates, Workplace(tmp_path))
    found = [sweep.rows.of("mix", "wisp:best", load, (0,))[0].controller for load in (2, 12)]
    assert all(name.startswith("wisp:late=") for name in found)


def test_a_pool_keeps_the_order() -> None:
    items = [3, -1, 4, -1, 5, -9]
    with Pool(2, alone_s=0.0) as pool:
        assert list(pool.map(abs, items)) == [3, 1, 4, 1, 5, 9]
        assert list(pool.map(abs, items[:2])) == [3, 1]
    with Pool(1) as pool:
        assert list(pool.map(abs, items)) == [3, 1, 4, 1, 5, 9]


# Command line


def test_capacity_and_loads_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--capacity", "--policy", "sled", *CALL, "--class", "8", "--jobs", "1", "--plot", "--out", "x"]
    assert evaluate.main(words) == 0
    assert "sled" in capsys.readouterr().out
    (entry,) = json.loads(Path("x/capacity.json").read_text())["capacities"]
    with Path("x/capacity.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    sizes = {int(row["devices"]) for row in rows}
    assert {entry["capacity_devices"], entry["capacity_devices"] + 1} <= sizes
    assert len(rows) == 2 * len(sizes)
    manifest = json.loads(Path("x/manifest.json").read_text())
    assert (manifest["fleets"], manifest["rows_taken_over"]) == (["8 tok/s"], 0)
    assert Path("x/plots/capacity.pdf").stat().st_size > 1000
    words = ["--loads", "6,3", "--policy", "sled", "fixed:5", *CALL, "--jobs", "1"]
    assert evaluate.main(words) == 0
    assert list(Path("results").glob("quickstart-loads-sled-fixed-5*/loads.csv"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--capacity"], "--policy"),
        (["--capacity", "--policy", "wsip"], "did you mean 'wisp'?"),
        (["--capacity", "--policy", "wisp", "wisp"], "given twice"),
        (["--capacity", "--policy", "wisp", "--class", "5"], "--class '5'"),
        (["--capacity", "--policy", "wisp", "--class", "fast"], "2, 4, 6, 8"),
        (["--capacity", "--policy", "wisp", "--devices", "5"], "--devices"),
        (["--capacity", "--policy", "wisp", "--loads", "5"], "no --loads"),
        (["--loads", "5,x", "--policy", "wisp"], "--loads '5,x'"),
        (["--class", "8", "--policy", "wisp"], "--class"),
        (["--plot-from", "nowhere"], "no results to draw"),
        (["--plot-from", "nowhere", "--policy", "wisp"], "no --policy"),
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
    assert evaluate.main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert told in shown.err
    assert list(tmp_path.iterdir()) == []


def test_a_trace_has_no_capacity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    trace = tmp_path / "trace.csv"
    trace.write_text("t_ms,input_tokens,output_tokens\n0,20,20\n900,20,20\n")
    words = ["--capacity", "--policy", "wisp", "--scenario", "trace", "--set", f"workload.trace={trace}"]
    assert evaluate.main(words) == 2
    told = capsys.readouterr().err
    assert "workload.kind = trace" in told
    assert told.count("\n") == 1


def test_an_interrupt_says_where_rows_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    words = ["--capacity", "--policy", "wisp", *CALL, "--out", "x"]
    monkeypatch.setattr("wisp_gym.evaluation.measure_capacity", interrupted)
    assert evaluate.main(words) == 130
    assert capsys.readouterr().err == "interrupted: nothing has been written\n"
    Path("x").mkdir()
    Path("x/capacity.partial.csv").touch()
    assert evaluate.main(words) == 130
    assert "kept in x; the same command goes on" in capsys.readouterr().err
