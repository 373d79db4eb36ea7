"""Compare policies on the same worlds: a table on the terminal, CSV, JSON and a manifest in a folder.

python evaluate.py --policy wisp sled centralized --scenario paper-qwen3-32b-a100 --seeds 10
python evaluate.py --policy wisp:best predictor+fcfs runs/ppo-quickstart-s0 --set fleet.devices=60 --per-class
python evaluate.py --policy wisp sled centralized --scenario trace --set workload.trace=FILE.csv
python evaluate.py --capacity --policy wisp sled centralized --scenario paper-qwen3-32b-a100 --plot
python evaluate.py --plot-from results/FOLDER
python evaluate.py --tune --scenario quickstart
python evaluate.py --policy wisp:late=urgent wisp:late=last tuned hindsight random runs/ppo-quickstart-s0
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from wisp_gym.errors import InputError

if TYPE_CHECKING:
    from wisp_gym.evaluation import Progress

FAILED, INPUT_ERROR, INTERRUPTED = 1, 2, 130
MOST_SEEDS = 100_000

POLICIES_HELP = """policies:
  wisp  wisp:late=urgent,deadline=timeline  wisp:best  centralized  centralized:rtc
  sled  sled:confidence,ahead=on,timeout=1,size=8,limit=0.05  sled:tuned (the best size)
  fixed:K  random  DIR (a trained model)  DRAFTER+SCHEDULER, as in predictor+fcfs
  action:R,B,L,S,C1,C2,C3,C4 (one action of EdgeCloud-v0)  tuned  hindsight (bounds, docs/bounds.md)
  drafters: none  fixed:K  confidence[:threshold]  entropy[:nats]  predictor[:recall]  specdec++[:h]
            table[:batch=K,...]  goodput  ucb[:explore]  random  file.py:Class
  schedulers: fcfs  edf  density  static[:size]  continuous[:rtc]  slo-aware[:late=...]  random  file.py:Class

exit codes: 0 done, 1 failed, 2 wrong input, 130 interrupted; unless it is 0, nothing has been written
(--capacity and --loads keep finished rows when they are interrupted: the same command goes on from there)
"""


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line, like every other input error."""

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with code 2."""
        self.exit(INPUT_ERROR, f"error: {message} (--help lists the options)\n")


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


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    purpose, _, examples = (__doc__ or "").partition("\n\n")
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
        default="quickstart",
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
    add("--out", type=Path, metavar="DIR", help="folder of the files (results/<scenario>-<policies>)")
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
    add_studies(add)
    return parser


def add_studies(add: Callable[..., object]) -> None:
    """Add the options beyond a comparison: traces, capacity, loads, plots.

    :param add: the parser's `add_argument`
    """
    add(
        "--trace-out",
        type=Path,
        metavar="FILE",
        help="also write what happened on the first world, .json or .json.gz, for ui.perfetto.dev",
    )
    add(
        "--trace-window",
        metavar="BEGIN:END",
        help="simulated seconds of the trace (the first 60 after the warm-up)",
    )
    add(
        "--capacity",
        action="store_true",
        help="find how many devices each policy holds (docs/capacity.md)",
    )
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
    add("--plot-from", type=Path, metavar="DIR", help="only draw the plots of results that are there")


def check_together(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other."""
    many, old = options.capacity or options.loads is not None, options.plot_from is not None
    wrong = [
        (not old and not options.tune and not options.policy, "--policy: at least one is needed"),
        (options.tune and bool(options.policy), "--tune searches constant actions: no --policy"),
        (options.tune and options.per_class, "--tune shows no classes: no --per-class"),
        (
            options.tune and (many or old or options.plot),
            "--tune stands alone: no --capacity, --loads, --plot",
        ),
        (old and bool(options.policy), "--plot-from draws what is there: no --policy"),
        (old and many, "--plot-from draws what is there: no --capacity, no --loads"),
        (options.capacity and options.loads is not None, "--capacity finds the loads itself: no --loads"),
        (many and options.devices is not None, "--capacity and --loads vary the fleet: no --devices"),
        (options.kinds is not None and not many, "--class: only with --capacity or --loads"),
        (
            options.trace_out is not None and (many or old),
            "--trace-out shows a plain comparison: no --capacity, no --loads, no --plot-from",
        ),
        (
            options.trace_window is not None and options.trace_out is None,
            "--trace-window: the window of a trace; --trace-out names its file",
        ),
    ]
    for is_wrong, message in wrong:
        if is_wrong:
            raise InputError(message)


def overrides(options: argparse.Namespace) -> list[str]:
    """Return the changes to the scenario."""
    shortcuts = {"fleet.devices": options.devices, "horizon_s": options.horizon}
    if options.devices is not None:
        shortcuts["ranges.devices"] = "null"  # where every world draws its own size, this fixes it
    return [*options.overrides, *(f"{key}={value}" for key, value in shortcuts.items() if value is not None)]


def run(options: argparse.Namespace, command: Sequence[str]) -> str:
    """Check everything the user gave, compare, save, and return what to show."""
    check_together(options)
    if options.plot_from is not None:
        return draw(options.plot_from)
    if options.capacity or options.loads is not None:
        return run_loads(options, command)
    if options.tune:
        return tune(options)
    started = datetime.now(UTC)
    from baselines import candidates, resolve
    from wisp_gym import evaluation, scenario

    changes = overrides(options)
    loaded = scenario.load(options.scenario, changes)
    folder = options.out or evaluation.default_folder(loaded.name, [*options.policy, *changes])
    evaluation.check_writable(folder)
    traced = None
    if options.trace_out is not None:
        traced = evaluation.check_trace(options.trace_out, options.trace_window, loaded)
    jobs = options.jobs or evaluation.usable_cores()
    with progress_bar() as progress:
        comparison = evaluation.compare(
            loaded,
            options.policy,
            options.seeds or seed_list("5"),
            resolve,
            candidates,
            jobs=jobs,
            progress=progress,
        )
    table = evaluation.render(comparison, options.per_class)
    shown, also = "", None
    if traced is not None:
        also = evaluation.trace_file(comparison, options.trace_out, traced, resolve)
        shown = (
            f"\n{options.trace_out} shows {traced[0]:g} to {traced[1]:g} s of seed {comparison.seeds[0]}: "
            "open it in ui.perfetto.dev"
        )
    evaluation.save(comparison, folder, resolve, command, jobs, started, also)
    drawn = f"\n{draw(folder)}" if options.plot else ""
    return f"{table}\n\nmetrics.csv, summary.json and manifest.json are in {folder}{shown}{drawn}"


def run_loads(options: argparse.Namespace, command: Sequence[str]) -> str:
    """Find capacities, or compare at several loads; save, and return what to show."""
    started = datetime.now(UTC)
    from baselines import candidates, resolve
    from wisp_gym import evaluation, scenario

    changes = overrides(options)
    loaded = scenario.load(options.scenario, changes)
    kinds = evaluation.fleet_kinds(
        loaded, options.kinds or (["each", "mix"] if options.capacity else ["mix"])
    )
    loads = () if options.capacity else evaluation.parse_loads(options.loads)
    what = "capacity" if options.capacity else "loads"
    folder = options.out or evaluation.default_folder(
        loaded.name, [what, *options.policy, *(options.kinds or []), *changes]
    )
    evaluation.check_writable(folder, ("capacity.csv", "capacity.json", "loads.csv", "manifest.json"))
    jobs = options.jobs or evaluation.usable_cores()
    who, seeds = (options.policy, kinds), options.seeds or seed_list("5")
    try:
        with progress_bar() as progress:
            place = evaluation.Workplace(folder, jobs, progress)
            if options.capacity:
                study = evaluation.measure_capacity(loaded, *who, seeds, resolve, candidates, place)
                evaluation.save_capacity(study, folder, command, jobs, started)
                table = evaluation.render_capacity(study)
            else:
                sweep = evaluation.sweep_loads(loaded, *who, loads, seeds, resolve, candidates, place)
                evaluation.save_loads(sweep, folder, command, jobs, started)
                table = evaluation.render_loads(sweep)
    except KeyboardInterrupt:
        kept = f"finished rows are kept in {folder}; the same command goes on from there"
        raise KeyboardInterrupt(kept if list(folder.glob("*.partial.csv")) else "") from None
    drawn = f"\n{draw(folder)}" if options.plot else ""
    return f"{table}\n\nthe rows and manifest.json are in {folder}{drawn}"


def draw(folder: Path) -> str:
    """Draw the plots of a folder of results and say where they are."""
    from wisp_gym.evaluation import plots

    try:
        drawn = plots.draw(folder)
    except OSError as error:
        told = f"plots cannot be written ({error.strerror}); the results stand"
        raise InputError(f"{folder / plots.FOLDER}: {told}") from None
    return f"{len(drawn)} plots, PDF and PNG, are in {folder / plots.FOLDER}"


def tune(options: argparse.Namespace) -> str:
    """Search the best constant action, store the record, and return what to show."""
    from wisp_gym import evaluation, scenario

    loaded = scenario.load(options.scenario, overrides(options))
    tuning = evaluation.default_tuning(loaded, options.seeds)
    path = (options.out or evaluation.TUNED_FOLDER) / evaluation.record_name(loaded)
    evaluation.check_writable(path.parent, [path.name])
    with progress_bar() as progress:
        record = evaluation.tune(loaded, tuning, options.jobs or evaluation.usable_cores(), progress)
    evaluation.store(record, path)
    return f"{evaluation.render_record(record)}\n\nthe record is {path}"


@contextmanager
def progress_bar() -> Iterator[Progress | None]:
    """Show a bar of rows done on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rows", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show(text: str) -> None:
    """Print, to a reader that may have left (as `head` does)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(words)
    try:
        text = run(options, ["evaluate.py", *words])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return INPUT_ERROR
    except KeyboardInterrupt as interrupt:
        print(f"interrupted: {str(interrupt) or 'nothing has been written'}", file=sys.stderr)
        return INTERRUPTED
    except (OSError, BrokenExecutor) as error:
        many = options.capacity or options.loads is not None
        left = "only finished rows have been kept" if many else "nothing has been written"
        print(f"error: {type(error).__name__}: {error}; {left}", file=sys.stderr)
        return FAILED
    show(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
