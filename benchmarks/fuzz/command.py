"""The command: makes the inputs, tries them, counts what came of them."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", MPLBACKEND="agg")

from benchmarks.fuzz import bases, kinds, programs
from benchmarks.fuzz.trials import GOOD, OUTCOMES, Input, Limits, Result, remove, try_all

ROOT = Path(__file__).resolve().parents[2]


def options_of(arguments: Sequence[str], about: str) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--inputs", type=int, default=500, metavar="N", help="how many (500)")
    add("--seed", type=int, default=0, metavar="S", help="decides all of them (0)")
    add("--jobs", type=int, default=2, metavar="N", help="tried at a time (2)")
    add("--limit-s", type=float, default=60.0, metavar="S", help="longest trial, s (60)")
    add(
        "--kind",
        metavar="NAME",
        help="this family alone: " + ", ".join(kind.__name__ for kind in kinds.SHARES),
    )
    add("--only", type=int, nargs="+", metavar="N", help="these inputs alone, and show what they say")
    add("--keep", type=Path, metavar="DIR", help="keep the folders of those that went wrong here")
    add("--log", type=Path, metavar="FILE", help="write a line of JSON an input")
    return parser.parse_args(arguments)


def in_fork(work: Callable[[], Any]) -> None:
    """Call a function in a fork.

    :raises SystemExit: it failed
    """
    process = os.fork()
    if process == 0:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            work()
            code = 0
        finally:
            os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
        raise SystemExit("the good inputs could not be made")


def warm_up(folder: Path) -> None:
    """Load the compiled code here, so that no fork has to."""
    quiet, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115 (closed with the process)
    small = [word for change in bases.WORLD for word in ("--set", change)]
    policies = [
        "wisp",
        "sled",
        "centralized",
        "ucb+edf",
        "bayes:0.5+density",
        "random",
        "predictor+proportional-fair",
    ]
    words = ["--policy", *policies, "--seeds", "1", "--jobs", "1", "--out", str(folder / "warm"), *small]
    assert programs.call("evaluate", words) == 0
    for copies in (0, 3):
        env = programs.environment(copies)
        for action in programs.actions(copies, 3):
            env.step(action)
    sys.stdout = quiet


def planned(options: argparse.Namespace, folder: Path) -> Iterator[tuple[int, Path, Callable[[Path], Input]]]:
    """Yield number, folder and maker of every input."""
    for number in options.only or range(options.inputs):
        make = partial(_fill, number, options.seed, folder / "prepared", options.kind)
        yield number, folder / str(number), make


def _fill(number: int, seed: int, prepared: Path, only: str | None, folder: Path) -> Input:
    return kinds.fill(number, seed, folder, prepared, only)


def line_of(number: int, tried: Input, result: Result) -> dict[str, Any]:
    """Return what is told of a trial."""
    return {
        "input": number,
        "kind": tried.kind,
        "what": tried.what,
        "outcome": result.outcome,
        "code": result.code,
        "seconds": round(result.seconds, 2),
        "mib": result.peak_bytes >> 20,
        "said": result.said[-1500:],
    }


def main(arguments: Sequence[str], about: str) -> int:
    """Try the inputs, print the counts; return 1 where something went wrong."""
    options = options_of(arguments, about)
    counts: Counter[tuple[str, str]] = Counter()
    lines: list[dict[str, Any]] = []
    longest_s, largest = 0.0, 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        (folder / "prepared").mkdir()
        warm_up(folder)
        bases.prepare(folder / "prepared", in_fork)
        trials = try_all(planned(options, folder), programs.call, options.jobs, Limits(options.limit_s), ROOT)
        for number, tried, result in trials:
            counts[tried.kind, result.outcome] += 1
            longest_s, largest = max(longest_s, result.seconds), max(largest, result.peak_bytes)
            lines.append(line_of(number, tried, result))
            bad = result.outcome not in GOOD
            if bad or options.only:
                last = result.said.strip().splitlines()[-1:] or [""]
                print(f"{number}: {tried.kind}: {tried.what}: {result.outcome}, {last[0][:300]}", flush=True)
            if bad and options.keep is not None:
                _keep(folder / str(number), options.keep / str(number))
            remove(folder / str(number))
    if options.log is not None:
        ordered = sorted(lines, key=lambda line: int(line["input"]))
        options.log.write_text("".join(json.dumps(line) + "\n" for line in ordered))
    print(table(counts))
    total = {
        outcome: sum(count for (_, got), count in counts.items() if got == outcome) for outcome in OUTCOMES
    }
    facts: dict[str, Any] = {"inputs": sum(counts.values()), "seed": options.seed} | total
    facts |= {"longest_s": round(longest_s, 1), "largest_mib": largest >> 20}
    print(json.dumps(facts))
    return int(any(total[outcome] for outcome in OUTCOMES if outcome not in GOOD))


def _keep(folder: Path, kept: Path) -> None:
    """Move a trial's folder to where it can be looked at."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    remove(kept)
    folder.rename(kept)


def table(counts: Counter[tuple[str, str]]) -> str:
    """Return the counts, families down, outcomes across."""
    families = sorted({kind for kind, _ in counts})
    lines = [f"{'':14s}" + "".join(f"{outcome:>10s}" for outcome in OUTCOMES)]
    for kind in families:
        lines.append(f"{kind:14s}" + "".join(f"{counts[kind, outcome]:10d}" for outcome in OUTCOMES))
    return "\n".join(lines)
