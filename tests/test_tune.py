"""The bounds `tuned` and `hindsight`: the search, its record, the rows, the command line."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from core import with_arrays

import evaluate
from baselines import candidates, resolve
from wisp_gym import evaluation, scenario
from wisp_gym.envs import wisp_action
from wisp_gym.envs.action import BUDGETS, REQUESTS, RULES
from wisp_gym.errors import InputError
from wisp_gym.evaluation import (
    RowSpec,
    TuneRecord,
    Tuning,
    bounds,
    compare,
    pool,
    record,
    runner,
    save,
    table,
    trials,
)
from wisp_gym.evaluation.search import Action, Search, Space, Worth, starts
from wisp_gym.evaluation.tune import default_tuning, search_scenario, tune
from wisp_gym.scenario import Scenario
from wisp_gym.world import World, draw_world

CROWDED = (
    "fleet.devices=24",
    "fleet.allow_infeasible=true",
    "server.max_batch=2",
    "horizon_s=30",
    "warmup_s=8",
)
QUICK = Tuning(seeds=(0, 1), fresh=2, finalists=3, budget=130, least_simulated_s=0.0)


@pytest.fixture(scope="module")
def crowded() -> Scenario:
    return scenario.load("quickstart", CROWDED)


@pytest.fixture(scope="module")
def found(crowded: Scenario) -> TuneRecord:
    return tune(crowded, QUICK)


# --- the search, on worths that are known


def distance(best: Action, asked: list[Action]) -> object:
    """Return what an action is worth: less, the further from the best; and note what was asked."""

    def evaluate_all(actions: Sequence[Action]) -> list[Worth]:
        asked.extend(actions)
        return [(100.0 - sum(abs(a - b) for a, b in zip(one, best, strict=True)), 1.0) for one in actions]

    return evaluate_all


@pytest.mark.parametrize(
    "best", [(3, 2, 1, 4, 7, 2, 5, 1), (8, 0, 4, 3, 8, 8, 8, 8), (1, 5, 2, 5, 1, 1, 1, 8)]
)
def test_the_search_finds_the_best_of_a_known_grid(best: Action) -> None:
    asked: list[Action] = []
    search = Search(distance(best, asked), Space(1000, 100_000), budget=400)  # type: ignore[arg-type]
    assert search.run()[0] == best
    assert len(asked) == len(set(asked)) == len(search.known)
    assert all(REQUESTS[action[0]] != 0 for action in asked)  # waiting is no constant action


def test_a_budget_is_kept() -> None:
    asked: list[Action] = []
    search = Search(distance((1, 5, 0, 5, 0, 8, 0, 8), asked), Space(1000, 100_000), budget=100)  # type: ignore[arg-type]
    assert len(search.run()) == len(asked) == 100


def test_it_starts_from_wisp_and_from_plain_rules() -> None:
    listed = starts()
    assert listed[:2] == [tuple(map(int, wisp_action(late))) for late in ("urgent", "last")]
    assert {(action[2], action[7]) for action in listed} == {
        (r, c) for r in range(len(RULES)) for c in (0, 3, 5, 8)
    }
    assert {action[3] for action in listed} == set(range(6))
    assert len(listed) == len(set(listed)) == 5 * (3 * 6 + 1)  # nothing drafted: no stop level to tell apart


def test_of_equal_goodput_the_better_worst_class_wins() -> None:
    search = Search(lambda actions: [(5.0, action[7] / 8) for action in actions], Space(8, 99), budget=90)
    assert search.run()[0][7] == 8


def test_values_beyond_the_engines_limits_are_left_out() -> None:
    space = Space(max_batch=8, max_new=192, classes=(1, 3))
    assert [REQUESTS[i] for i in space.values(0)] == [1, 4, None]
    assert [BUDGETS[i] for i in space.values(1)] == [None, 96, 128]
    assert [len(space.values(component)) for component in (4, 5, 6, 7)] == [0, 9, 0, 9]


# --- the search, in worlds


def test_a_record_holds_what_rows_say(crowded: Scenario, found: TuneRecord) -> None:
    shorter = search_scenario(crowded)
    assert found.horizon_s == shorter.horizon_s <= crowded.horizon_s
    for one in (found.tried[0], found.ranked()[0]):
        rows = [
            runner.evaluate_row(RowSpec(shorter, "x", one.action, seed, "train"), resolve) for seed in (0, 1)
        ]
        assert one.goodput_tps == pytest.approx([row.metrics["goodput_tps"] for row in rows], rel=1e-11)
        assert [one.attainment[1][g] for g in range(4)] == pytest.approx(
            [rows[1].metrics[f"attainment_class_{g + 1}"] for g in range(4)], rel=1e-11
        )
        assert one.simulated_s == pytest.approx(2 * (shorter.horizon_s - shorter.warmup()))
    assert len({one.goodput_tps for one in found.tried}) > 20


def test_the_winner_is_the_best_finalist_in_fresh_worlds(found: TuneRecord) -> None:
    ranked = [one.action for one in found.ranked()]
    finalists = [one.action for one in found.finalists]
    assert finalists[:3] == ranked[:3]
    rules = [action.split(",")[2] for action in ranked]
    assert set(finalists[3:]) == {ranked[rules.index(rule)] for rule in set(rules)} - set(ranked[:3])
    assert found.winner == max(found.finalists, key=lambda one: one.worth()).action
    assert (found.seeds, found.fresh_seeds) == ((0, 1), (2, 3))
    assert found.simulated_s == pytest.approx(sum(t.simulated_s for t in (*found.tried, *found.finalists)))
    best = max(one.mean_goodput_tps() for one in found.tried)
    assert found.ranked()[0].mean_goodput_tps() == pytest.approx(best, abs=1e-9)


def test_the_same_search_gives_the_same_bytes_in_one_process_or_two(
    crowded: Scenario, found: TuneRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = record.record_json(found)
    assert record.record_json(tune(crowded, QUICK)) == first
    started: list[int] = []
    plain = pool.Pool.__init__

    def eager(self: pool.Pool, jobs: int) -> None:
        """Start other processes at once."""
        started.append(jobs)
        plain(self, jobs, alone_s=0.0)

    monkeypatch.setattr(pool.Pool, "__init__", eager)
    assert record.record_json(tune(crowded, QUICK, jobs=2)) == first
    assert started == [2]


def test_a_search_has_as_many_simulated_seconds_as_asked_for(crowded: Scenario, found: TuneRecord) -> None:
    least_s = found.simulated_s + 300
    longer = tune(crowded, dataclasses.replace(QUICK, least_simulated_s=least_s))
    assert least_s <= longer.simulated_s < least_s + 3 * crowded.horizon_s
    assert longer.tried == found.tried
    assert len(longer.fresh_seeds) > 2


def test_only_closed_loops_are_searched_at_a_shorter_horizon(tmp_path: Path) -> None:
    closed = scenario.load("quickstart")
    assert search_scenario(closed).horizon_s == math.ceil(closed.warmup() + 10 * closed.cycle_s()) < 270
    path = tmp_path / "trace.csv"
    path.write_text("t_ms,input_tokens,output_tokens\n0,30,10\n500,30,20\n")
    opened = scenario.load("trace", [f"workload.trace={path}"])
    assert search_scenario(opened) is opened


def test_runs_of_three_agreements_are_drafted_three_tokens_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The target disagrees with every fourth token after the first: a cap of 3 gets all, and wastes none."""

    def periodic(loaded: Scenario, seed: int) -> World:
        world = draw_world(loaded, seed)
        sessions = world.arrays.sessions
        at = np.concatenate([np.arange(length) for length in sessions["length"]])
        return with_arrays(world, accepts=(at % 4 != 0).astype(np.uint8))

    monkeypatch.setattr(trials, "draw_world", periodic)
    one_class = scenario.load("quickstart", [*CROWDED, "classes.shares=[0,0,1,0]", "fleet.devices=60"])
    best = tune(one_class, dataclasses.replace(QUICK, finalists=1)).ranked()[0].values
    assert best[6] == 3
    assert best[3] == 0  # a stop level cuts drafts that would be accepted


def test_worlds_that_draw_their_own_load_are_searched_in_more_of_them(crowded: Scenario) -> None:
    ranged = scenario.load(crowded, ["ranges.devices=[4, 40]"])
    plain, wide = default_tuning(crowded), default_tuning(ranged)
    assert (len(wide.seeds), wide.fresh) == (2 * len(plain.seeds), 2 * plain.fresh)
    assert default_tuning(ranged, [3, 5]).seeds == (3, 5)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"seeds": ()}, "training seeds"),
        ({"seeds": (1, 1)}, "each once"),
        ({"budget": 0}, "budget: 0"),
        ({"least_simulated_s": math.nan}, "least_simulated_s: nan"),
    ],
)
def test_wrong_settings(settings: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Tuning(**settings)  # type: ignore[arg-type]


# --- rows of a comparison


@pytest.fixture(scope="module")
def comparison(crowded: Scenario) -> evaluation.Comparison:
    policies = ["wisp:best", "tuned", "hindsight", "random"]
    return compare(crowded, policies, [0, 1, 2, 3], resolve, candidates, tuning=QUICK, records=None)


def test_hindsight_is_never_below_tuned(comparison: evaluation.Comparison) -> None:
    tuned, hindsight = (comparison.metric(name, "goodput_tps") for name in ("tuned", "hindsight"))
    assert all(best >= one for best, one in zip(hindsight, tuned, strict=True))
    assert sum(hindsight) > sum(tuned)  # and in some world above it


def test_rows_name_their_action_and_run_it(crowded: Scenario, comparison: evaluation.Comparison) -> None:
    rows = {(row.policy, row.seed): row for row in comparison.rows}
    found = comparison.bounds
    assert found is not None
    for seed in (0, 3):
        assert rows["tuned", seed].controller == found.record.winner
        best = rows["hindsight", seed]
        assert best.controller.startswith("action:")
        alone = runner.evaluate_row(RowSpec(crowded, "hindsight", best.controller, seed), resolve)
        assert repr(alone) == repr(best)


def test_tables_and_files_say_what_the_bounds_are(comparison: evaluation.Comparison, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    text, found = table.render(comparison), comparison.bounds
    assert found is not None
    assert f"tuned = {found.record.winner}: {found.record.words}" in text
    assert f"{found.record.simulated_s:,.0f} simulated seconds" in text
    assert "hindsight, a bound, not a controller: in each world the best of up to" in text
    save(comparison, tmp_path, resolve, ["evaluate.py"], 1, datetime.now(UTC))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["bounds"]["tuned"]["action"] == found.record.winner
    assert set(summary["bounds"]["hindsight"]) == {"0", "1", "2", "3"}
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert [policy["policy"] for policy in manifest["policies"]] == list(comparison.policies)


# --- stored records


def test_a_stored_record_is_used_until_something_changes(
    crowded: Scenario, found: TuneRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / record.record_name(crowded)
    record.store(found, path)
    assert record.stored(crowded, tmp_path) == found
    searched: list[str] = []
    monkeypatch.setattr(bounds, "tune", lambda loaded, *_: searched.append(loaded.name) or found)
    find = lambda loaded: bounds.find_bounds(loaded, ["tuned"], [0], "test", folder=tmp_path)  # noqa: E731
    assert find(crowded).read
    assert searched == []
    assert not find(scenario.load(crowded, ["fleet.devices=25"])).read
    assert searched == ["quickstart"]
    monkeypatch.setattr(record, "_sources_digest", lambda: "another version")
    assert not find(crowded).read
    assert len(searched) == 2


def test_a_search_for_a_comparison_is_stored_with_its_files(
    crowded: Scenario, found: TuneRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "tune", lambda *_: found)
    kept = bounds.find_bounds(crowded, ["wisp", "tuned"], [0], "test", folder=tmp_path)
    assert kept is not None
    assert list(tmp_path.iterdir()) == []  # nothing is written before the comparison is
    kept.keep()
    (path,) = tmp_path.iterdir()
    assert path.read_bytes() == record.record_json(found)
    assert not any(word in path.read_text() for word in ("time", "date"))
    assert bounds.find_bounds(crowded, ["wisp"], [0], "test", folder=tmp_path) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: text.replace('"winner": "action', '"winner": "auction'),
        lambda text: text.replace('"goodput_tps"', '"badput_tps"', 1),
        lambda text: text.replace('"words": "', '"words": "no '),
        lambda text: "\0",
    ],
)
def test_a_damaged_record_is_one_line(
    crowded: Scenario, found: TuneRecord, tmp_path: Path, damage: object
) -> None:
    path = tmp_path / record.record_name(crowded)
    path.write_text(damage(record.record_json(found).decode()))  # type: ignore[operator]
    with pytest.raises(InputError, match="not a record of a search") as error:
        record.stored(crowded, tmp_path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


# --- the command line

TINY = ["--scenario", "quickstart", "--devices", "3", "--horizon", "30", "--set", "warmup_s=8", "--jobs", "1"]


@pytest.fixture
def quick_searches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    plain = evaluation.tune
    monkeypatch.setattr(
        evaluation,
        "tune",
        lambda loaded, tuning, *rest: plain(loaded, dataclasses.replace(QUICK, seeds=tuning.seeds), *rest),
    )


@pytest.mark.usefixtures("quick_searches")
def test_tune_prints_the_best_and_keeps_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--tune", *TINY, "--seeds", "5,7"]) == 0
    shown = capsys.readouterr().out
    (path,) = Path("results/tuned").iterdir()
    assert path.name.startswith("quickstart-")
    kept = json.loads(path.read_text())
    assert (kept["seeds"], kept["fresh_seeds"]) == ([5, 7], [8, 9])
    assert f"tuned = {kept['winner']}: {kept['words']}" in shown
    assert str(path) in shown
    assert evaluate.main(["--policy", "wisp", "tuned", *TINY, "--seeds", "1", "--out", "x"]) == 0
    assert f"tuned = {kept['winner']}" in capsys.readouterr().out
    assert json.loads(path.read_text()) == kept
    path.write_text("{")
    assert evaluate.main(["--policy", "wisp", "tuned", *TINY, "--seeds", "1", "--out", "y"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not Path("y").exists()


@pytest.mark.usefixtures("quick_searches")
def test_tune_writes_where_it_is_told() -> None:
    assert evaluate.main(["--tune", *TINY, "--out", "there/it/is"]) == 0
    assert [path.suffix for path in Path("there/it/is").iterdir()] == [".json"]
    assert [path.name for path in Path().iterdir()] == ["there"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--tune", "--policy", "wisp"], "no --policy"),
        (["--tune", "--per-class"], "no --per-class"),
        (["--tune", "--scenario", "quickstat"], "did you mean 'quickstart'?"),
        (["--tune", "--seeds", "1,1"], "each once"),
        (["--tune", "--devices", "0"], "fleet.devices"),
        (["--tune", "--out", "a-file/x"], "is a file"),
        (["--policy", "wisp", "tuned", "tuned"], "given twice"),
        (["--policy", "wisp", "tuend"], "did you mean 'tuned'?"),
        (["--policy", "wisp", "action:0,0,0,0,0,0,0,0"], "waits for ever"),
    ],
)
def test_wrong_input_is_one_line(
    words: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-file").write_text("")
    assert evaluate.main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert told in shown.err
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]
