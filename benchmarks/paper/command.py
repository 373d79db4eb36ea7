"""The command line of `benchmarks/paper.py`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import NoReturn

from benchmarks.paper import report
from benchmarks.paper.tables import BLOCKS
from benchmarks.paper.work import SCENARIO, Work
from wisp_gym import scenario
from wisp_gym.errors import InputError
from wisp_gym.evaluation import check_writable, usable_cores

FAILED, INPUT_ERROR, INTERRUPTED = 1, 2, 130
FEW = 2
"""Worlds of the sections that compare variants of the scenario with each other."""

QUICK = [
    "workload.output_tokens={median: 24, sigma: 0.3, min: 8, max: 48}",
    "classes.rates_tps=[6, 8]",
    "classes.shares=[0.5, 0.5]",
]
"""The toy: short answers, so that a cycle is short, and two classes."""


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with code 2."""
        self.exit(INPUT_ERROR, f"error: {message} (--help lists the options)\n")


def whole(text: str) -> int:
    """Return a number of worlds or processes, 1 to 1024."""
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 1024:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1 to 1024")


def parser(description: str) -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = OneLineParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = made.add_argument
    add(
        "--seeds",
        type=whole,
        default=5,
        metavar="N",
        help="worlds of the table; others take at most 2 (%(default)s)",
    )
    add("--jobs", type=whole, metavar="N", help="processes at most (as many as cores); results do not change")
    add(
        "--only",
        choices=list(report.SECTIONS),
        metavar="SECTION",
        help=f"one of {', '.join(report.SECTIONS)}",
    )
    add("--quick", action="store_true", help="a toy of every section, into --out alone")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the rows (runs/paper; with --quick runs/paper-quick)",
    )
    return made


def work_of(options: argparse.Namespace) -> Work:
    """Return how much is to be run."""
    folder = options.out or Path("runs") / ("paper-quick" if options.quick else "paper")
    check_writable(folder, (report.RESULT_FILE,))
    jobs = options.jobs or usable_cores()
    seeds = tuple(range(options.seeds))
    if options.quick:
        toy = scenario.load(SCENARIO, QUICK)
        one = seeds[:1]
        return Work(toy, one, one, jobs, folder, (8.0,), scanned=False, share=0.25, cycles=4.0, brief=True)
    return Work(scenario.load(SCENARIO), seeds, seeds[:FEW], jobs, folder)


def tell(text: str) -> None:
    """Print what is going on."""
    print(text, file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> str:
    """Run what was asked for and return what to print."""
    work = work_of(options)
    names = [options.only] if options.only else list(report.SECTIONS)
    result = report.run(work, names, tell)
    report.keep(result, work.folder)
    if not options.only and not options.quick:
        report.publish(result)
    shown = [block(result) for name, block in BLOCKS.items() if _there(name, result)]
    return "\n\n".join([*shown, report.line(result)])


def _there(block: str, result: dict[str, object]) -> bool:
    """Return whether the section that a block shows has been run."""
    needed = {"lead": ("table", "limits"), "ratios": ("table",), "misses": ("table",)}
    return block != "command" and all(name in result for name in needed.get(block, (block,)))


def main(arguments: Sequence[str], description: str) -> int:
    """Run the command line and return its exit code."""
    options = parser(description).parse_args(arguments)
    try:
        text = run(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return INPUT_ERROR
    except KeyboardInterrupt:
        print("interrupted: finished rows are kept; the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    except (OSError, BrokenExecutor) as error:
        print(f"error: {type(error).__name__}: {error}; finished rows are kept", file=sys.stderr)
        return FAILED
    print(text, flush=True)
    return 0
