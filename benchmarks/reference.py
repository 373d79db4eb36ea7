"""Do the compiled kernel and the reference simulator agree, event for event, on random scenarios?

    python benchmarks/reference.py --scenarios 1000

Draws random pairs of a world and a policy (tests/strategies.py, the same everywhere), runs each through
both (tests/reference) and compares event logs to the nanosecond, outcomes of sessions, counters and metrics.
Of every fifth world the kernel draws the token streams as it needs them, the reference reads the whole one.
Prints how many pairs agree by scheduler, drafter and feature, how many rows of each kind were compared, and
every difference found; ends with one line of JSON. Exit code 1 when any pair differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from reference import disagreement, simulate
from strategies import Case, draw_case

from wisp_gym.metrics import measure
from wisp_gym.pipeline import Simulation
from wisp_gym.pipeline.log import KINDS

STREAMED = 5
"""Of every so many worlds one is streamed."""


def drafter_name(case: Case) -> str:
    """Return the drafter's rule and what its stop rule reads."""
    rule = case.policy().drafter
    if rule.server_loop:
        return "on the server"
    return rule.kind if rule.score is None or rule.kind == "bayes" else f"{rule.kind}, {rule.score}"


def features(case: Case, rows: Any) -> list[str]:
    """Return what a case has that others have not, from its scenario, its policy and what happened."""
    spec, policy = case.scenario(), case.policy()
    kinds = {KINDS[kind] for kind in np.unique(rows[:, 1])}
    found = {
        f"workload {spec.workload.kind}": True,
        "flow control": spec.workload.lead_s is not None,
        "drafting ahead": policy.drafter.ahead,
        "time-outs": policy.drafter.timeout_s is not None,
        "suspects dropped": policy.drafter.drop_suspect,
        "padded": policy.scheduler.padded,
        "everything in step": case.remade.step_ms > 0,
        "slow passes": case.remade.slow > 1,
        "blocks of KV memory": spec.server.block > 1,
        "evictions": "evict" in kinds,
        "requests in parts": _parts(rows),
        "waits": "wait" in kinds,
        "requests replaced": bool(((rows[:, 1] == KINDS.index("supersede")) & (rows[:, 5] == 1)).any()),
    }
    return [name for name, there in found.items() if there]


def _parts(rows: Any) -> bool:
    """Whether a session was in two passes without a result between them."""
    under_way: set[int] = set()
    for kind, session in rows[:, [1, 3]].tolist():
        if KINDS[kind] == "member":
            if session in under_way:
                return True
            under_way.add(session)
        elif KINDS[kind] == "verify":
            under_way.discard(session)
    return False


def compare(index: int, pairs: Counter[str], agreeing: Counter[str], kinds: Counter[str]) -> str | None:
    """Compare one case and count it; return the first difference."""
    case = draw_case(index)
    world, policy = case.world(), case.policy()
    streamed = index % STREAMED == 0
    ours = case.world(whole=False) if streamed else world
    kernel = Simulation(ours, policy, case.policy_seed, log=True).run()
    found = disagreement(simulate(world, policy, case.policy_seed), kernel)
    rows = kernel.events
    names = [
        f"scheduler {policy.scheduler.kind}",
        f"drafter {drafter_name(case)}",
        *(f"with {name}" for name in features(case, rows)),
    ]
    if streamed:
        names.append("with streams drawn as needed")
    if measure(kernel)["stalled_30s_share"] > 0:
        names.append("with stalls of 30 s")
    pairs.update(names)
    if found is None:
        agreeing.update(names)
        kinds.update(
            {KINDS[kind]: int(n) for kind, n in zip(*np.unique(rows[:, 1], return_counts=True), strict=True)}
        )
    return found


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenarios", type=int, default=1000, help="random pairs to compare")
    parser.add_argument("--first", type=int, default=0, help="number of the first pair")
    arguments = parser.parse_args()
    pairs, agreeing, kinds = Counter[str](), Counter[str](), Counter[str]()
    agree, started = 0, time.perf_counter()
    for index in range(arguments.first, arguments.first + arguments.scenarios):
        found = compare(index, pairs, agreeing, kinds)
        agree += found is None
        if found is not None:
            print(f"case {index}: {found}", flush=True)
    for name in sorted(pairs):
        print(f"{name:40s} {agreeing[name]:6d} of {pairs[name]}")
    print(", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common()))
    result = {
        "scenarios": arguments.scenarios,
        "agree": agree,
        "first": arguments.first,
        "events": sum(kinds.values()),
        "events_by_kind": dict(sorted(kinds.items())),
        "pairs": dict(sorted(pairs.items())),
        "seconds": round(time.perf_counter() - started, 1),
    }
    print(json.dumps(result))
    sys.exit(agree != arguments.scenarios)


if __name__ == "__main__":
    main()
