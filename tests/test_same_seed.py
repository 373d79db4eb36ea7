"""The same seed is the same run: in another process, uncompiled, stopped on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from core import (
    EASY,
    POLICIES,
    draw,
    log_hash,
    run,
)
from strategies import draw_case

from wisp_gym.metrics import measure
from wisp_gym.pipeline import Simulation

TINY = (*EASY, "fleet.devices=5", "horizon_s=8", "warmup_s=2", "server.kv_tokens=400", "server.block=16")

CASES = (0, 12, 19, 23, 29, 34, 36)  # time-outs, drafting ahead, flow control, traces, arrivals; short ones

REPORT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from core import POLICIES, draw, log_hash, run
from strategies import draw_case
from wisp_gym.metrics import measure
world = draw(tuple(json.loads(sys.argv[2])))
runs = {name: run(world, make()) for name, make in POLICIES.items()}
cases = {number: draw_case(number) for number in json.loads(sys.argv[3])}
for number, case in cases.items():
    runs[f"case {number}"] = run(case.world(), case.policy(), case.policy_seed)
print(json.dumps({name: [log_hash(sim), repr(measure(sim))] for name, sim in runs.items()}))
"""


def report_of_another_process(compiled: bool) -> dict[str, list[str]]:
    here = Path(__file__).parent
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "0" if compiled else "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(here.parent), environment.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", REPORT, str(here), json.dumps(TINY), json.dumps(CASES)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, list[str]] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("compiled", [True, False])
def test_same_seed_same_log_and_metrics_in_another_process(compiled: bool) -> None:
    """With and without compilation."""
    world = draw(TINY)
    theirs = report_of_another_process(compiled)
    for name, make in POLICIES.items():
        sim = run(world, make())
        assert len(sim.events) > 100
        assert theirs[name] == [log_hash(sim), repr(measure(sim))], name
    for case, number in ((draw_case(number), number) for number in CASES):
        sim = run(case.world(), case.policy(), case.policy_seed)
        assert theirs[f"case {number}"] == [log_hash(sim), repr(measure(sim))], case


def test_other_seeds_give_other_runs() -> None:
    logs = {log_hash(run(draw(TINY, seed), POLICIES["wisp-urgent"]())) for seed in range(5)}
    assert len(logs) == 5
    world = draw(TINY)
    assert log_hash(run(world, POLICIES["random"](), 0)) != log_hash(run(world, POLICIES["random"](), 1))


def test_stopping_on_the_way_changes_nothing() -> None:
    world = draw(TINY)
    for make in POLICIES.values():
        whole = Simulation(world, make(), log=True)
        whole.until(world.horizon_ns)
        parts = Simulation(world, make(), log=True)
        for time_ns in range(0, world.horizon_ns, 37_000_003):
            parts.until(time_ns)
            parts.settle()
        parts.until(world.horizon_ns)
        assert log_hash(whole) == log_hash(parts)
