"""The command line of evaluate.py: its options, and what a wrong one is answered. Imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from wisp_gym._parser import INPUT_ERROR, OneLineParser, path_argument

__all__ = ["INPUT_ERROR", "OneLineParser", "listed", "parser", "path_argument", "processes", "seed_list"]

MOST_SEEDS = 100_000
DEFAULT_SCENARIO = "quickstart"

POLICIES_HELP = """policies:
  wisp  wisp:late=urgent,deadline=timeline  wisp:suspect=drop  wisp:best  centralized  centralized:rtc,grow
  sled  sled:confidence,ahead=on,timeout=1,size=8,limit=0.05  sled:tuned (the best size)
  fixed:K  random  DIR (a trained model)  DRAFTER+SCHEDULER, as in predictor+fcfs
  action:R,B,L,S,C1,C2,C3,C4 (one action of EdgeCloud-v0)  tuned  hindsight (bounds, docs/bounds.md)
  FILE.zip[:control=draft,hold=0.5] (saved by stable-baselines3; needs --trust)
  oracle  bayes (ceilings: they know what no controller knows; docs/bounds.md)
  drafters: none  fixed:K  confidence[:threshold]  entropy[:nats]  predictor[:recall][,drop]  specdec++[:h]
            table[:batch=K,...]  goodput  ucb[:explore]  random  oracle[:cap]  bayes[:least]  file.py:Class
  schedulers: fcfs  edf  density  static[:size]  continuous[:rtc,grow]  slo-aware[:late=...]
              proportional-fair[:budget]  random  file.py:Class

exit codes: 0 done, 1 failed, 2 wrong input, or a disk that is full or cannot be written to, 130 interrupted,
143 ended by SIGTERM; unless it is 0, nothing has been written (--capacity, --loads and --grid keep finished
rows when they are interrupted: the same command goes on from there)
"""


def seed_list(text: str) -> tuple[int, ...]:
    """Return the seeds that "10" (0 to 9) or "3,5,8" (these; "3," is one) mean."""
    words = text.split(",")
    try:
        numbers = [int(word) for word in words if word.strip()]
    except ValueError:
        numbers = []
    if len(words) == 1 and len(numbers) == 1 and 1 <= numbers[0] <= MOST_SEEDS:
        return tuple(range(numbers[0]))
    if len(words) > 1 and numbers and all(0 <= number < 2**63 for number in numbers):
        return tuple(numbers)
    raise argparse.ArgumentTypeError(
        f"{text!r} must be a number of worlds, 1 to {MOST_SEEDS}, or seeds with commas, as in 3,5,8"
    )


def processes(text: str) -> int:
    """Return a number of processes, 1 to 1024."""
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 1024:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1 to 1024")


def parser(about: str) -> argparse.ArgumentParser:
    """Return the command line's parser.

    :param about: what the script is for, an empty line, examples
    """
    purpose, _, examples = about.partition("\n\n")
    parser = OneLineParser(
        description=purpose,
        epilog=f"examples:\n{examples}\n{POLICIES_HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--policy",
        nargs="+",
        metavar="NAME",
        help="whom to compare; the first is the reference",
    )
    add(
        "--scenario",
        default=DEFAULT_SCENARIO,
        metavar="NAME",
        help="a shipped scenario or a YAML file (%(default)s)",
    )
    add(
        "--seeds",
        type=seed_list,
        metavar="N|A,B,...",
        help="worlds 0 to N-1, or these (5; with --tune 4 training worlds, 8 where each draws its load)",
    )
    add("--devices", metavar="N", help="devices, in every world: fleet.devices=N and no ranges.devices")
    add("--horizon", metavar="S", help="simulated seconds, same as --set horizon_s=S")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="change the scenario",
    )
    add(
        "--trust",
        action="store_true",
        help="load FILE.zip of stable-baselines3, which runs the code in it",
    )
    add(
        "--out", type=path_argument, metavar="DIR", help="folder of the files (results/<scenario>-<policies>)"
    )
    add(
        "--tune",
        action="store_true",
        help="search the best constant action; keep the record (results/tuned), where `tuned` finds it",
    )
    add("--per-class", action="store_true", help="show attainment and goodput of every SLO class")
    add(
        "--jobs",
        type=processes,
        metavar="N",
        help="processes at most (as many as cores); results do not change",
    )
    add(
        "--debug",
        action="store_true",
        help="show the traceback of an error, as in a controller of yours",
    )
    add_studies(add)
    return parser


def add_studies(add: Callable[..., object]) -> None:
    """Add the options beyond a comparison: traces, event logs, capacity, grid, loads, plots.

    :param add: the parser's `add_argument`
    """
    add(
        "--trace-out",
        type=path_argument,
        metavar="FILE",
        help="also write what happened on the first world, .json or .json.gz, for ui.perfetto.dev",
    )
    add(
        "--trace-window",
        metavar="BEGIN:END",
        help="simulated seconds of the trace (the first 60 after the warm-up)",
    )
    add(
        "--log-out",
        type=path_argument,
        metavar="DIR",
        help="also write the event log of every run, for --rescore (docs/event-log.md)",
    )
    add("--log-format", metavar="FORM", help="of the event logs: parquet or csv (parquet)")
    add(
        "--rescore",
        type=path_argument,
        metavar="DIR",
        help="run nothing: score the event logs of a folder again, under --set classes.allowance_s=S, "
        "classes.on_time_share=P or warmup_s=S if given",
    )
    add(
        "--capacity",
        action="store_true",
        help="find how many devices each policy holds (docs/capacity.md)",
    )
    add(
        "--grid",
        action="store_true",
        help="every drafter with every scheduler, default options (docs/grid.md)",
    )
    add("--drafters", metavar="NAME,...", help="drafters of --grid (all)")
    add("--schedulers", metavar="NAME,...", help="schedulers of --grid (all)")
    add("--loads", metavar="N,N,...", help="compare at these numbers of devices")
    add(
        "--class",
        nargs="+",
        metavar="WORD",
        dest="kinds",
        help="fleets of --capacity and --loads: mix, each, a class's tok/s (each mix; with --loads mix)",
    )
    add(
        "--plot",
        action="store_true",
        help="also draw plots, PDF and PNG, into plots/ of the results",
    )
    add(
        "--plot-from", type=path_argument, metavar="DIR", help="only draw the plots of results that are there"
    )


def listed(text: str) -> tuple[str, ...]:
    """Return the names that "a,b:x=1,y=2,c" lists: a part with `=` and no name of its own goes with the one
    before."""
    names: list[str] = []
    for part in text.split(","):
        continues = names and "=" in part and ":" not in part.partition("=")[0]
        names[-1:] = [f"{names[-1]},{part}"] if continues else [*names[-1:], part.strip()]
    return tuple(names)
