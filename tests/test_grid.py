"""evaluate.py --grid: every pair there, the same bytes however it was run, wrong options."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import evaluate
from baselines import drafter_names, resolve, scheduler_names
from baselines.drafters import BY_NAME as DRAFTERS
from baselines.schedulers import BY_NAME as SCHEDULERS
from wisp_gym import scenario
from wisp_gym.command_line import listed
from wisp_gym.errors import InputError
from wisp_gym.evaluation import Grid, RowSpec, Workplace, evaluate_row, measure_grid, render_grid
from wisp_gym.evaluation.writers import number
from wisp_gym.scenario import Scenario

TINY = ("horizon_s=20", "warmup_s=5", "fleet.devices=5", "fleet.allow_infeasible=true", "server.max_batch=2")
CALL = ["--grid", "--scenario", "quickstart", *(word for change in TINY for word in ("--set", change))]
NARROW = ["--drafters", "fixed:2,predictor", "--schedulers", "fcfs,slo-aware:late=urgent,deadline=round"]


@pytest.fixture(scope="module")
def tiny() -> Scenario:
    return scenario.load("quickstart", TINY)


@pytest.fixture(scope="module")
def full(tiny: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Grid:
    place = Workplace(tmp_path_factory.mktemp("full"))
    return measure_grid(tiny, drafter_names(), scheduler_names(), [0, 1], resolve, place)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_all_drafters_and_schedulers_are_in_it_by_name() -> None:
    assert [name.partition(":")[0] for name in drafter_names()] == list(DRAFTERS)
    assert list(scheduler_names()) == list(SCHEDULERS)


def test_every_cell_is_there(full: Grid) -> None:
    """Rows of every pair and seed in the file, a figure of every pair in every matrix."""
    pairs = len(DRAFTERS) * len(SCHEDULERS)
    lines = list(csv.DictReader(full.rows.csv(full.keys()).decode().splitlines()))
    assert len(lines) == 2 * pairs == full.new_rows
    assert len({(line["policy"], line["seed"]) for line in lines}) == 2 * pairs
    shown = render_grid(full).split("\n\n")
    assert [matrix.split(",")[0] for matrix in shown[1:4]] == ["goodput", "attained", "worst class"]
    for matrix in shown[1:4]:
        body = matrix.splitlines()[2:]
        assert [line.split()[0] for line in body] == list(drafter_names())
        assert {len(line.split()) for line in body} == {1 + len(SCHEDULERS)}
    goodput = full.estimate("predictor", "edf", "goodput_tps").value
    assert f"{goodput:.1f}" in shown[1]


def test_a_cell_is_the_pair_alone_in_that_world(full: Grid, tiny: Scenario) -> None:
    for name in ("bayes+proportional-fair", "random+random", "none+continuous"):
        drafter, _, scheduler = name.partition("+")
        for seed, row in enumerate(full.cell(drafter, scheduler)):
            alone = evaluate_row(RowSpec(tiny, name, name, seed), resolve)
            assert {key: number(value) for key, value in row.metrics.items()} == {
                key: number(value) for key, value in alone.metrics.items()
            }


def test_the_worst_class_is_that_of_the_mean(full: Grid) -> None:
    rows = full.cell("fixed:5", "fcfs")
    means = [sum(row.metrics[f"attainment_class_{n}"] for row in rows) / len(rows) for n in (1, 2, 3, 4)]
    known = [value for value in means if value == value]
    assert full.estimate("fixed:5", "fcfs", "attainment_worst").value == pytest.approx(min(known))


def test_one_process_or_two_write_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two processes the second really runs, as nothing is done here first."""
    words = [*CALL, "--drafters", "fixed:2,random,oracle,bayes", "--schedulers", "fcfs,edf", "--seeds", "3"]
    assert evaluate.main([*words, "--jobs", "1", "--out", "one"]) == 0
    monkeypatch.setattr("wisp_gym.evaluation.grid.CHUNK", 3)
    monkeypatch.setattr("wisp_gym.evaluation.pool.ALONE_S", 0.0)
    assert evaluate.main([*words, "--jobs", "2", "--out", "two"]) == 0
    for file in ("grid.csv", "grid.json"):
        assert Path("one", file).read_bytes() == Path("two", file).read_bytes()
    assert sorted(path.name for path in Path("two").iterdir()) == ["grid.csv", "grid.json", "manifest.json"]
    assert "4 drafters x 2 schedulers, 5 devices" in capsys.readouterr().out


def test_narrowed_and_plotted(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([*CALL, *NARROW, "--seeds", "1", "--jobs", "1", "--plot", "--out", "x"]) == 0
    names = {
        f"grid-{name}.{form}" for name in ("goodput", "attainment", "worst-class") for form in ("pdf", "png")
    }
    assert {path.name for path in Path("x/plots").iterdir()} == names
    stored = json.loads(Path("x/grid.json").read_text())
    assert stored["drafters"] == ["fixed:2", "predictor"]
    assert stored["schedulers"] == ["fcfs", "slo-aware:late=urgent,deadline=round"]
    assert [len(row) for row in stored["metrics"]["goodput_tps"]] == [2, 2]
    drawn = Path("x/plots/grid-goodput.png").read_bytes()
    assert evaluate.main(["--plot-from", "x"]) == 0
    assert Path("x/plots/grid-goodput.png").read_bytes() == drawn
    assert "3 plots" in capsys.readouterr().out


def test_an_interrupted_grid_goes_on_to_the_same_bytes(
    tiny: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wisp_gym.evaluation.grid.CHUNK", 1)
    half = (["fixed:2", "predictor"], ["fcfs", "edf"], [0, 1], resolve)

    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_grid(tiny, *half, Workplace(tmp_path / "x", progress=interrupt))
    assert len((tmp_path / "x/grid.partial.csv").read_text().splitlines()) == 1 + 3
    told: list[tuple[int, int]] = []
    resumed = measure_grid(tiny, *half, Workplace(tmp_path / "x", progress=lambda *at: told.append(at)))
    assert (resumed.new_rows, told[-1]) == (5, (5, 5))
    fresh = measure_grid(tiny, *half, Workplace(tmp_path / "y"))
    assert resumed.rows.csv(resumed.keys()) == fresh.rows.csv(fresh.keys())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--policy", "wisp"], "--grid runs all pairs"),
        (["--capacity"], "--grid stands alone"),
        (["--loads", "10"], "--grid stands alone"),
        (["--tune"], "--grid stands alone"),
        (["--per-class"], "--grid stands alone"),
        (["--trace-out", "x.json"], "--trace-out shows a plain comparison"),
        (["--drafters", "fixd:3"], "did you mean"),
        (["--drafters", "fixed"], "whole number"),
        (["--drafters", "none,none"], "drafter 'none' is given twice"),
        (["--drafters", ""], "unknown drafter ''"),
        (["--schedulers", "fcfs,,edf"], "unknown scheduler ''"),
        (["--schedulers", "slo-aware:late=soon"], "known: last, literal, urgent"),
        (["--seeds", "1,1"], "given twice"),
    ],
)
def test_wrong_options_are_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert evaluate.main([*CALL, *words]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert told in shown.err
    assert list(tmp_path.iterdir()) == []


def test_pairs_need_a_grid(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--policy", "wisp", "--drafters", "none"]) == 2
    assert "only with --grid" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("fcfs", ("fcfs",)),
        ("fcfs, edf", ("fcfs", "edf")),
        ("slo-aware:late=urgent,deadline=round,edf", ("slo-aware:late=urgent,deadline=round", "edf")),
        ("a=1", ("a=1",)),
    ],
)
def test_listed_names(text: str, names: tuple[str, ...]) -> None:
    assert listed(text) == names


def test_an_unknown_pair_fails_before_any_work(tiny: Scenario, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown scheduler"):
        measure_grid(tiny, ["none"], ["fcfs", "nobody"], [0], resolve, Workplace(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


def test_an_interrupt_says_where_rows_are_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        Path("x/grid.partial.csv").write_text("")
        raise KeyboardInterrupt

    monkeypatch.setattr("wisp_gym.evaluation.measure_grid", interrupted)
    assert evaluate.main([*CALL, *NARROW, "--out", "x"]) == 130
    assert capsys.readouterr().err == (
        "interrupted: finished rows are kept in x; the same command goes on from there\n"
    )
