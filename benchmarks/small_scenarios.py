"""Every command of evaluate.py, and the environments, on fleets of a few devices for a few seconds.

Run by benchmarks/branch_coverage.py with NUMBA_DISABLE_JIT=1, in place of tests whose worlds are too large
to run uncompiled. By hand:

    NUMBA_DISABLE_JIT=1 python -m pytest -p no:xdist -o addopts= benchmarks/small_scenarios.py
"""

from __future__ import annotations

import copy
import functools
import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import evaluate
import train
from baselines import candidates, resolve
from wisp_gym import evaluation, scenario
from wisp_gym.envs.action import SIZES, wisp_action
from wisp_gym.envs.capture import capture, restore
from wisp_gym.envs.edge_cloud import EdgeCloud
from wisp_gym.envs.vector import EdgeCloudVector
from wisp_gym.errors import InputError

LENGTHS = "workload.output_tokens={median: 12, sigma: 0.4, min: 4, max: 24}"
TINY = (
    *("fleet.devices=3", "fleet.allow_infeasible=true", "server.max_batch=2", LENGTHS),
    *("classes.rates_tps=[4, 8]", "classes.shares=[0.5, 0.5]", "horizon_s=6", "warmup_s=1", "episode_s=1"),
)
WORDS = ["--scenario", "quickstart", *(word for change in TINY for word in ("--set", change)), "--jobs", "1"]
QUICK = evaluation.Tuning(seeds=(0,), fresh=1, finalists=2, budget=12, least_simulated_s=0.0)
AGENT = [
    *("--agent", "ppo", "--envs", "2", "--timesteps", "32", "--agent-set", "rollout_steps=16"),
    *("--agent-set", "batch_size=16", "--agent-set", "hidden=[4]", "--agent-set", "epochs=1"),
    *("--agent-set", "validation_every=16", "--agent-set", "checkpoint_every=16"),
]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def command(*words: str) -> None:
    """Run a command of evaluate.py on the tiny scenario."""
    assert evaluate.main([*words, *WORDS]) == 0


def test_a_comparison_its_trace_and_its_logs() -> None:
    """Plain, with classes, a Perfetto trace, plots, logs in both forms, scored again under another SLO."""
    Path("mine.py").write_text("class First:\n    def select(self, view):\n        return [0]\n")
    logged = ["--seeds", "2", "--log-out", "logs", "--out", "results"]
    policies = ["wisp", "sled", "centralized", "fixed:2+mine.py:First", "wisp:best", "oracle"]
    command("--policy", *policies, "--per-class", "--trace-out", "t.json", "--trace-window", "1:3", *logged)
    command("--policy", "sled", "--seeds", "0,", "--log-out", "csv", "--log-format", "csv", "--plot")
    assert evaluate.main(["--rescore", "logs", "--per-class", "--jobs", "1", "--out", "again"]) == 0
    assert Path("again/metrics.csv").read_bytes() == Path("results/metrics.csv").read_bytes()
    assert evaluate.main(["--rescore", "csv", "--set", "classes.allowance_s=3", "--jobs", "1"]) == 0
    assert evaluate.main(["--plot-from", "again"]) == 0
    assert json.loads(Path("t.json").read_text())["traceEvents"]


def test_loads_and_capacity() -> None:
    """Each once, then once more from kept rows; logs of loads scored again."""
    for _ in range(2):
        command("--loads", "1,3", "--policy", "wisp", "sled", "--seeds", "2", "--out", "loads", "--plot")
    command("--loads", "2", "--class", "8", "mix", "--policy", "sled", "--seeds", "1", "--log-out", "logs")
    assert evaluate.main(["--rescore", "logs", "--jobs", "1"]) == 0
    command("--capacity", "--policy", "wisp", "centralized", "--seeds", "2", "--out", "capacity", "--plot")
    command("--capacity", "--policy", "fixed:1", "--class", "mix", "--seeds", "1")


def test_the_grid() -> None:
    """Some pairs, then more of them, taking the rows that are there."""
    narrow = [
        "--drafters",
        "fixed:1,specdec++",
        "--schedulers",
        "fcfs,slo-aware",
        "--out",
        "grid",
        "--seeds",
        "1",
    ]
    command("--grid", *narrow, "--plot")
    shutil.copy("grid/grid.csv", "grid/grid.partial.csv")
    command("--grid", *narrow)


def test_the_best_constant_action(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found, kept, read again, compared, with the best of each world; found for a range of fleets."""
    monkeypatch.setattr(evaluation, "default_tuning", lambda *_: QUICK)
    command("--tune", "--seeds", "1", "--out", "tuned")
    spec = scenario.load("quickstart", TINY)
    policies = ["wisp:best", "tuned", "hindsight", "random"]
    place = Path("records")
    for _ in range(2):
        found = evaluation.compare(spec, policies, [0, 1], resolve, candidates, tuning=QUICK, records=place)
        if found.bounds is not None:
            found.bounds.keep()
    assert "tuned" in evaluation.render(found, per_class=True)
    ranges = scenario.load("quickstart", [*TINY, "ranges.devices=[2, 4]"])
    assert evaluation.render_record(evaluation.tune(ranges, QUICK, 1, None))


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=str)
def test_a_vector_through_ends_copies_and_captures(mode: AutoresetMode) -> None:
    """All autoreset modes, held actions, masks, resets of some, a clone, a capture that is restored."""
    rewards = {AutoresetMode.NEXT_STEP: "attainment", AutoresetMode.SAME_STEP: "log_utility"}
    reward: Any = rewards.get(mode, lambda _: 1.0)
    made = functools.partial(
        EdgeCloudVector, 2, "quickstart", TINY, seed=1, autoreset_mode=mode, reward=reward
    )
    many = made(episode_s=1.0)
    random = np.random.default_rng(0)
    many.reset(seed=3)
    for _ in range(60):
        assert many.action_masks().shape == (2, sum(SIZES))
        over = many.step(random.integers(0, SIZES, size=(2, len(SIZES))))[3]
        if mode is AutoresetMode.DISABLED and over.any():
            many.reset(options={"reset_mask": over.copy(), "devices": 2, "world": 4})
    twin, other = many.clone(), made(episode_s=1.0)
    other.reset()
    restore(other, capture(many))
    for vector in (twin, other, copy.deepcopy(many)):
        assert np.array_equal(vector.obs, many.obs)
        assert vector.simulation(0).now_ns == many.simulation(0).now_ns
    many.close()


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 7)), np.full((2, 8), np.nan), np.full((2, 8), 9), np.full((2, 8), 0.5), "no"]
)
def test_actions_that_are_none(wrong: Any) -> None:
    """Refused, one environment and a vector alike."""
    many = EdgeCloudVector(2, "quickstart", TINY, seed=1, episode_s=1.0)
    env = EdgeCloud("quickstart", TINY, seed=1, episode_s=1.0)
    for made in (many, env):
        made.reset()
        with pytest.raises(InputError, match="action"):
            made.step(wrong)


CONTROLLERS = """
from wisp_gym.pipeline import Wait
class Good:
    def score(self, stream): return [0.0] * 5
    def limit(self, view): return 2, 0.5
class Raises:
    def select(self, view): raise ValueError("no")
    def score(self, stream): raise SystemExit(3)
    def limit(self, view): return 2, 0.5
class Limit(Raises):
    def score(self, stream): return Good.score(self, stream)
    def limit(self, view): return 1 / 0
class Odd:
    requests_as = 3
    def select(self, view): return "all"
class Waits:
    def select(self, view): return Wait(view.now_ns + 10**9)
def broken(
"""


def test_controllers_that_fail(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, with --debug the traceback."""
    Path("odd.py").write_text(CONTROLLERS.replace("def broken(\n", ""))
    Path("broken.py").write_text(CONTROLLERS)
    wrong = ["predictor+odd.py:Raises", "odd.py:Raises+fcfs", "odd.py:Limit+fcfs", "predictor+odd.py:Odd"]
    wrong += ["predictor+odd.py:None", "predictor+broken.py:Good", "predictor+no.py:Good"]
    for name in wrong:
        assert evaluate.main(["--policy", name, "--seeds", "1", *WORDS]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert evaluate.main(["--policy", wrong[0], "--seeds", "1", "--debug", *WORDS]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_one_environment() -> None:
    """Frames, holds, a clone, options of a reset; made by its name."""
    env = EdgeCloud("quickstart", TINY, seed=1, episode_s=1.0, hold_s=0.2, render_mode="rgb_array")
    env.reset(seed=0, options={"devices": 2, "world": 3})
    twin = env.clone()
    results = [which.step(wisp_action()) for which in (env, twin)]
    assert np.array_equal(results[0][0], results[1][0])
    assert env.render() is not None
    made = gymnasium.make("wisp_gym/EdgeCloud-v0", overrides=TINY, seed=0, control="draft", episode_s=1.0)
    made.reset()
    made.action_space.seed(0)
    over = False
    while not over:
        over = bool(made.step(made.action_space.sample())[3])
    made.close()


def test_a_training() -> None:
    """Checkpoints, validation, the closing table, the model compared."""
    assert train.main([*AGENT, *WORDS[:-2], "--validation-seeds", "1", "--out", "run"]) == 0
    command("--policy", "wisp", "run", "--seeds", "1")
