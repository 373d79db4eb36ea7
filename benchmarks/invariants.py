"""Invariants and metrics over random worlds and policies: the long form of what the tests hold on fewer.

    python benchmarks/invariants.py

Each numbered case of tests/strategies.py is run; every check of tests/checks.py must hold, every metric must
be what tests/recount.py reads off the event log, the run must be the same twice, and nothing in the world may
change. Some run once more in another process, uncompiled. Prints how many cases meet what (without late
tokens or evictions they would say little about these) and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from checks import CHECKS  # noqa: E402
from core import log_hash, requests, rows, run, server_loop, world_hash  # noqa: E402
from recount import Recount  # noqa: E402
from strategies import Case, draw_case  # noqa: E402

from wisp_gym.metrics import measure  # noqa: E402
from wisp_gym.pipeline import DrafterRule, SchedulerRule, Simulation  # noqa: E402

UNCOMPILED = """
import json, sys
from core import log_hash, run
from strategies import draw_case
cases = {number: draw_case(number) for number in json.loads(sys.argv[1])}
runs = {number: run(case.world(), case.policy(), case.policy_seed) for number, case in cases.items()}
print(json.dumps({number: log_hash(sim) for number, sim in runs.items()}))
"""


def features(case: Case, sim: Simulation) -> dict[str, bool]:
    """Return what happened in a run, by name."""
    drafter, scheduler, sums = sim.policy.drafter, sim.policy.scheduler, sim.state.counters
    assert isinstance(drafter, DrafterRule)
    assert isinstance(scheduler, SchedulerRule)
    due, on_time = int(sums["due"].sum()), int(sums["due_on_time"].sum())
    led = case.scenario().workload.lead_s is not None
    return {
        f"drafter {drafter.kind}": True,
        f"scheduler {scheduler.kind}": True,
        f"loop {case.scenario().workload.kind}": True,
        "server loop": server_loop(sim.policy),
        "drafts ahead": bool(rows(sim, "ahead")),
        "asks again": bool(rows(sim, "retry")),
        "tokens dropped": int(sums["dropped"].sum()) > 0,
        "flow control": led,
        "waits in the queue": int(sums["queue_ns"].sum()) > 0,
        "passes of several": any(row.b > 1 for row in rows(sim, "pass")),
        "chunks": any(len(request.passes) > 1 for request in requests(sim)),
        "evictions": bool(rows(sim, "evict")),
        "the server waits": bool(rows(sim, "wait")),
        "late tokens": due > on_time,
        "most tokens late": due > 2 * on_time,
        "sessions finished": bool(sim.state.outcomes["finished"].any()),
        "nobody asks": not rows(sim, "member"),
    }


def faults_of(case: Case) -> tuple[list[str], Simulation]:
    """Return what does not hold in a case, and its run."""
    world = case.world()
    before = world_hash(world)
    sim = run(world, case.policy(), case.policy_seed)
    found = []
    for check in CHECKS:
        try:
            check(sim)
        except AssertionError as error:
            found.append(f"{check.__name__}: {error}")
    if world_hash(world) != before or world_hash(case.world()) != before:
        found.append("the world changed")
    if log_hash(run(world, case.policy(), case.policy_seed)) != log_hash(sim):
        found.append("a second run is another one")
    recounted = Recount(sim).metrics()
    for name, value in measure(sim).items():
        if not _same(value, recounted[name]):
            found.append(f"{name}: {value}, from the log {recounted[name]}")
    return found, sim


def _same(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def uncompiled(numbers: list[int]) -> dict[str, str]:
    """Return the hashes of the event logs of some cases run uncompiled, by number."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", UNCOMPILED, json.dumps(numbers)],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, str] = json.loads(done.stdout)
    return result


def main() -> None:
    """Run, check and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=300, help="numbered cases")
    parser.add_argument("--uncompiled", type=int, default=30, help="of them run uncompiled as well")
    arguments = parser.parse_args()
    begin = time.perf_counter()
    met: Counter[str] = Counter()
    hashes: dict[str, str] = {}
    events = broken = 0
    for number in range(arguments.cases):
        case = draw_case(number)
        found, sim = faults_of(case)
        met.update(name for name, there in features(case, sim).items() if there)
        hashes[str(number)] = log_hash(sim)
        events += len(sim.events)
        broken += bool(found)
        for line in found:
            print(f"case {number}: {line}\n    {case}")
    for name, count in sorted(met.items()):
        print(f"{name:28s} {count:5d}  {100 * count / arguments.cases:5.1f} %")
    theirs = uncompiled(list(range(min(arguments.uncompiled, arguments.cases))))
    unlike = [number for number, value in theirs.items() if hashes[number] != value]
    if unlike:
        print(f"another log uncompiled: cases {', '.join(unlike)}")
    result: dict[str, Any] = {
        "cases": arguments.cases,
        "checks": len(CHECKS),
        "events": events,
        "share": {name: round(count / arguments.cases, 3) for name, count in sorted(met.items())},
        "seconds": round(time.perf_counter() - begin, 1),
        "uncompiled": len(theirs),
        "uncompiled_unlike": len(unlike),
        "broken": broken,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
