"""Every shipped scenario runs, in the environment and in an evaluation, and its page shows its fields."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from baselines import resolve
from wisp_gym import scenario
from wisp_gym.envs import EdgeCloud, wisp_action
from wisp_gym.errors import InputError
from wisp_gym.evaluation.runner import evaluate_row
from wisp_gym.evaluation.spec import RowSpec
from wisp_gym.scenario import Scenario
from wisp_gym.scenario.describe import BEGIN, END, describe, meanings, with_fields
from wisp_gym.scenario.schema import (
    Acceptance,
    Classes,
    Fleet,
    Ranges,
    ScenarioFile,
    Server,
    Workload,
)

PAGES = Path(__file__).parents[1] / "docs" / "scenarios"


@pytest.fixture
def load(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Return a loader of a shipped scenario, given a trace where it needs one."""
    trace = tmp_path / "requests.csv"
    arrivals = "".join(f"{700 * i},{40 + i % 50},{30 + i % 40}\n" for i in range(200))
    trace.write_text(f"t_ms,input_tokens,output_tokens\n{arrivals}")

    def loaded(name: str, *overrides: str) -> Scenario:
        needed = (f"workload.trace={trace}",) if name == "trace" else ()
        return scenario.load(name, (*needed, *overrides))

    return loaded


@pytest.mark.parametrize("name", scenario.names())
def test_an_episode_and_a_row(name: str, load) -> None:  # type: ignore[no-untyped-def]
    loaded = load(name)
    assert loaded.name == name
    assert loaded.description
    env = EdgeCloud(loaded, seed=0, episode_s=2.0)
    observation, _ = env.reset()
    total, over = 0.0, False
    while not over:
        observation, reward, terminated, over, info = env.step(wisp_action())
        total += reward
        assert not terminated
        assert env.observation_space.contains(observation)
    assert total > 0
    assert info["episode_metrics"]["window_s"] == pytest.approx(2.0, abs=0.2)
    short = load(name, f"horizon_s={loaded.warmup() + 5:g}", f"warmup_s={loaded.warmup():g}")
    row = evaluate_row(RowSpec(short, "wisp", "wisp", 0), resolve)
    assert 0 < row.metrics["goodput_tps"] <= row.metrics["demand_tps"]
    assert row.window_s == pytest.approx((short.warmup(), short.horizon_s))
    assert loaded.open_loop or loaded.cycles() >= 10


def test_memory_binds_in_memory_tight() -> None:
    """A fleet of half the size keeps its caches, the shipped one does not."""
    cold = []
    for devices in (32, scenario.load("memory-tight").fleet.devices):
        loaded = scenario.load("memory-tight", (f"fleet.devices={devices}", "horizon_s=350", "warmup_s=150"))
        row = evaluate_row(RowSpec(loaded, "sled", "predictor+fcfs", 0), resolve)
        assert row.metrics["kv_use_share"] <= 1
        cold.append(row.metrics["cold_share"])
    assert cold[0] < 0.03  # first requests of sessions alone
    assert cold[1] > 2 * cold[0]


# --- pages


def test_a_table_has_a_row_for_each_field_that_counts(load) -> None:  # type: ignore[no-untyped-def]
    table = describe(load("burst", "workload.scale=1.5"))
    rows = {line.split("|")[1].strip(): line for line in table.splitlines()[2:]}
    assert len(rows) == len(table.splitlines()) - 2
    assert "| 1.5 |" in rows["`workload.scale`"]
    assert "`workload.think_s`" not in rows
    assert "`workload.trace`" not in rows
    assert "33000" in describe(load("quickstart"))  # the profile's
    assert "raspberry-pi-5 0.5, jetson-agx-orin 0.5" in rows["`fleet.mix`"]
    assert "180" not in rows["`horizon_s`"]
    assert "simulated seconds" in rows["`horizon_s`"]
    assert "430: " not in rows["`workload.concurrency`"]
    assert "410: 155" in rows["`workload.concurrency`"]
    assert all(line.count(" | ") == 2 for line in rows.values())
    table = describe(load("trace"))
    assert "| requests.csv |" in table
    assert "think_s" not in table
    assert "| not set |" in describe(scenario.as_written("trace"))
    drawn = load("quickstart", "ranges.devices=[5, 9]", "ranges.mix_weights=[[0.5, 1], [0, 2]]")
    assert "| `ranges.devices` | 5 to 9 |" in describe(drawn)
    assert "| `ranges.mix_weights` | 0.5 to 1, 0 to 2 |" in describe(drawn)
    assert "ranges" not in table


@pytest.mark.parametrize("model", [Acceptance, Classes, Fleet, Ranges, Server, Workload, ScenarioFile])
def test_every_field_has_a_meaning(model: type) -> None:
    sections = {"name", "description", "server", "fleet", "classes", "workload", "acceptance"}
    assert set(model.model_fields) - sections <= set(meanings(model))  # type: ignore[attr-defined]


def test_only_the_table_of_a_page_is_replaced() -> None:
    page = f"# a\n\n{BEGIN}\nold\n{END}\n\nprose\n"
    assert with_fields(page, "| new |") == f"# a\n\n{BEGIN}\n| new |\n{END}\n\nprose\n"
    for wrong in ("# a", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}"):
        with pytest.raises(InputError, match="once each"):
            with_fields(wrong, "| new |")


@pytest.mark.parametrize("name", [name for name in scenario.names() if (PAGES / f"{name}.md").exists()])
def test_a_page_shows_the_fields_of_today(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert with_fields(page, describe(scenario.as_written(name))) == page


def test_shares_of_kinds_in_the_mixed_city() -> None:
    mix = scenario.load("city-5g")
    assert len(mix.fleet.mix) > 2
    assert len(mix.fleet.networks) > 2
    assert mix.server.max_batch == 64
    assert np.isclose(sum(part.share for part in mix.fleet.mix), 1)
