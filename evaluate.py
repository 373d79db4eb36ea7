"""Compare policies on the same worlds: a table on the terminal, CSV, JSON and a manifest in a folder.

python evaluate.py --policy wisp sled centralized --scenario paper-qwen3-32b-a100 --seeds 10
python evaluate.py --policy wisp:best predictor+fcfs runs/ppo-quickstart-s0 --set fleet.devices=60 --per-class
python evaluate.py --policy wisp sled centralized --scenario trace --set workload.trace=FILE.csv
python evaluate.py --capacity --policy wisp sled centralized --scenario paper-qwen3-32b-a100 --plot
python evaluate.py --grid --scenario paper-qwen3-32b-a100 --seeds 10 --plot
python evaluate.py --plot-from results/FOLDER
python evaluate.py --policy wisp sled --log-out logs
python evaluate.py --rescore logs --set classes.allowance_s=2
python evaluate.py --tune --scenario quickstart
python evaluate.py --policy wisp:late=urgent wisp:late=last tuned hindsight random runs/ppo-quickstart-s0
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from wisp_gym._parser import complain
from wisp_gym.command_line import OneLineParser, listed, parser, seed_list
from wisp_gym.errors import InputError, told
from wisp_gym.option_rules import check_together
from wisp_gym.signals import endings, exit_code, importing, leave

if TYPE_CHECKING:
    from wisp_gym.evaluation import EventLogs, Progress
    from wisp_gym.evaluation.spec import Resolve
    from wisp_gym.scenario import Scenario

__all__ = [
    "FAILED",
    "INPUT_ERROR",
    "INTERRUPTED",
    "OneLineParser",
    "main",
    "progress_bar",
    "say",
    "seed_list",
    "show",
]

FAILED, INPUT_ERROR, INTERRUPTED = 1, 2, 130
LOAD_PARTIAL = ("capacity.partial.csv", "loads.partial.csv", "grid.partial.csv")


def overrides(options: argparse.Namespace) -> list[str]:
    """Return the changes to the scenario."""
    shortcuts = {"fleet.devices": options.devices, "horizon_s": options.horizon}
    if options.devices is not None:
        shortcuts["ranges.devices"] = "null"  # where every world draws its own size, this fixes it
    return [*options.overrides, *(f"{key}={value}" for key, value in shortcuts.items() if value is not None)]


def resolver(options: argparse.Namespace) -> Resolve:
    """Return what turns a policy's name into a policy; say whose code runs, where --trust lets any."""
    from agents.foreign import WARNING
    from baselines import is_foreign, resolve, resolve_trusted

    if not options.trust:
        return resolve
    for name in filter(is_foreign, options.policy):
        say(f"--trust: loading {name} {WARNING}")
    return resolve_trusted


def run(options: argparse.Namespace, command: Sequence[str]) -> str:
    """Check everything the user gave, compare, save, and return what to show."""
    check_together(options)
    if options.plot_from is not None:
        return draw(options.plot_from)
    if options.capacity or options.loads is not None:
        return run_loads(options, command)
    if options.grid:
        return run_grid(options, command)
    if options.rescore is not None:
        return run_rescore(options, command)
    if options.tune:
        return tune(options)
    started = datetime.now(UTC)
    with importing():
        from baselines import candidates
        from wisp_gym import evaluation, scenario

    changes = overrides(options)
    loaded, resolve = scenario.load(options.scenario, changes), resolver(options)
    folder = options.out or evaluation.default_folder(loaded.name, [*options.policy, *changes])
    evaluation.check_writable(folder)
    check_record_place(loaded, options.policy)
    traced = None
    if options.trace_out is not None:
        traced = evaluation.check_trace(options.trace_out, options.trace_window, loaded)
    jobs = options.jobs or evaluation.usable_cores()
    shown, also = "", None
    with evaluation.held(folder, evaluation.FILES), logs_of(options, folder) as logs:
        with progress_bar() as progress:
            comparison = evaluation.compare(
                loaded,
                options.policy,
                options.seeds or seed_list("5"),
                resolve,
                candidates,
                jobs=jobs,
                progress=progress,
                logs=logs,
            )
        table = evaluation.render(comparison, options.per_class)
        if traced is not None:
            also = evaluation.trace_file(comparison, options.trace_out, traced, resolve)
            shown = (
                f"\n{options.trace_out} shows {traced[0]:g} to {traced[1]:g} s "
                f"of seed {comparison.seeds[0]}: open it in ui.perfetto.dev"
            )
        written = {} if logs is None else logs.written()
        evaluation.save(comparison, folder, resolve, command, jobs, started, also, written)
    shown += told_of_logs(options)
    drawn = f"\n{draw(folder)}" if options.plot else ""
    return f"{table}\n\nmetrics.csv, summary.json and manifest.json are in {folder}{shown}{drawn}"


def check_record_place(loaded: Scenario, policies: Sequence[str]) -> None:
    """Make sure, before any work, that what `tuned` finds can be kept where it is looked for.

    :raises InputError: it cannot
    """
    from wisp_gym import evaluation
    from wisp_gym.evaluation.bounds import BOUNDS

    record = evaluation.TUNED_FOLDER / evaluation.record_name(loaded)
    if set(BOUNDS) & set(policies) and not record.exists():
        evaluation.check_writable(evaluation.TUNED_FOLDER, (), "the record behind `tuned`:")


@contextmanager
def logs_of(options: argparse.Namespace, results: Path) -> Iterator[EventLogs | None]:
    """Give a place for event logs, where they are asked for.

    :param results: the folder of the results, held already
    """
    from wisp_gym import evaluation

    if options.log_out is None:
        yield None
        return
    with evaluation.event_logs(options.log_out, options.log_format or "parquet", results) as logs:
        yield logs


def told_of_logs(options: argparse.Namespace) -> str:
    """Say where event logs are, if any have been written."""
    if options.log_out is None:
        return ""
    return f"\nthe event logs are in {options.log_out}: evaluate.py --rescore {options.log_out}"


def run_rescore(options: argparse.Namespace, command: Sequence[str]) -> str:
    """Score event logs again, save, and return what to show."""
    started = datetime.now(UTC)
    from wisp_gym import evaluation

    changes = options.overrides
    evaluation.check_changes(changes)
    logs = evaluation.read_logs(options.rescore)
    facts = logs[0].facts
    name = ["rescored", *facts.policies, *map(str, facts.loads), *changes]
    folder = options.out or evaluation.default_folder(logs[0].scenario().name, name)
    names = ("metrics.csv", "summary.json", "loads.csv", "manifest.json")
    evaluation.check_writable(folder, names)
    jobs = options.jobs or evaluation.usable_cores()
    with evaluation.held(folder, names):
        with progress_bar() as progress:
            rescored = evaluation.rescore(logs, changes, jobs, progress)
        if isinstance(rescored, evaluation.LoadSweep):
            table = evaluation.render_loads(rescored)
        else:
            table = evaluation.render(rescored, options.per_class)
        evaluation.save_rescored(rescored, logs, changes, folder, command, jobs, started)
    judged = f", judged with {', '.join(changes)}" if changes else ""
    drawn = f"\n{draw(folder)}" if options.plot else ""
    return f"{table}\n\nread from {len(logs)} event logs{judged}; the rows are in {folder}{drawn}"


def run_loads(options: argparse.Namespace, command: Sequence[str]) -> str:
    """Find capacities, or compare at several loads; save, and return what to show."""
    started = datetime.now(UTC)
    with importing():
        from baselines import candidates
        from wisp_gym import evaluation, scenario

    changes = overrides(options)
    loaded, resolve = scenario.load(options.scenario, changes), resolver(options)
    kinds = evaluation.fleet_kinds(
        loaded, options.kinds or (["each", "mix"] if options.capacity else ["mix"])
    )
    loads = () if options.capacity else evaluation.parse_loads(options.loads)
    what = "capacity" if options.capacity else "loads"
    folder = options.out or evaluation.default_folder(
        loaded.name, [what, *options.policy, *(options.kinds or []), *changes]
    )
    names = ("capacity.csv", "capacity.json", "loads.csv", "manifest.json")
    evaluation.check_writable(folder, names)
    jobs = options.jobs or evaluation.usable_cores()
    who, seeds = (options.policy, kinds), options.seeds or seed_list("5")
    kept = kept_when_interrupted(folder, options.log_out is not None)
    held = evaluation.held(folder, (*names, *LOAD_PARTIAL))
    with held, kept, logs_of(options, folder) as logs, progress_bar() as progress:
        place = evaluation.Workplace(folder, jobs, progress, logs)
        if options.capacity:
            study = evaluation.measure_capacity(loaded, *who, seeds, resolve, candidates, place)
            evaluation.save_capacity(study, folder, command, jobs, started)
            table = evaluation.render_capacity(study)
        else:
            sweep = evaluation.sweep_loads(loaded, *who, loads, seeds, resolve, candidates, place)
            written = {} if logs is None else logs.written()
            evaluation.save_loads(sweep, folder, command, jobs, started, written)
            table = evaluation.render_loads(sweep)
    drawn = f"\n{draw(folder)}" if options.plot else ""
    return f"{table}\n\nthe rows and manifest.json are in {folder}{told_of_logs(options)}{drawn}"


@contextmanager
def kept_when_interrupted(folder: Path, logs: bool = False) -> Iterator[None]:
    """Let an interrupt say where finished rows are kept, if there are any.

    :param folder: where
    :param logs: whether event logs were asked for, which rows that are taken over have none of
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        again = "the same command without --log-out" if logs else "the same command"
        kept = f"finished rows are kept in {folder}; {again} goes on from there"
        interrupt.args = (kept,) if list(folder.glob("*.partial.csv")) else ()
        raise


def run_grid(options: argparse.Namespace, command: Sequence[str]) -> str:
    """Run every drafter with every scheduler; save, and return what to show."""
    started = datetime.now(UTC)
    with importing():
        from baselines import drafter_names, resolve, scheduler_names
        from wisp_gym import evaluation, scenario

    changes = overrides(options)
    loaded = scenario.load(options.scenario, changes)
    drafters = drafter_names() if options.drafters is None else listed(options.drafters)
    schedulers = scheduler_names() if options.schedulers is None else listed(options.schedulers)
    narrowed = [text for text in (options.drafters, options.schedulers) if text is not None]
    folder = options.out or evaluation.default_folder(loaded.name, ["grid", *narrowed, *changes])
    evaluation.check_writable(folder, evaluation.GRID_FILES)
    jobs = options.jobs or evaluation.usable_cores()
    held = evaluation.held(folder, (*evaluation.GRID_FILES, *LOAD_PARTIAL))
    with held, kept_when_interrupted(folder), progress_bar() as progress:
        place = evaluation.Workplace(folder, jobs, progress)
        seeds = options.seeds or seed_list("5")
        grid = evaluation.measure_grid(loaded, drafters, schedulers, seeds, resolve, place)
        evaluation.save_grid(grid, folder, command, jobs, started)
    drawn = f"\n{draw(folder)}" if options.plot else ""
    files = ", ".join(evaluation.GRID_FILES)
    return f"{evaluation.render_grid(grid)}\n\n{files} are in {folder}{drawn}"


def draw(folder: Path) -> str:
    """Draw the plots of a folder of results and say where they are."""
    with importing():
        from wisp_gym.evaluation import plots

    try:
        drawn = plots.draw(folder)
    except OSError as error:
        told = f"plots cannot be written ({error.strerror}); the results stand"
        raise InputError(f"{folder / plots.FOLDER}: {told}") from None
    return f"{len(drawn)} plots, PDF and PNG, are in {folder / plots.FOLDER}"


def tune(options: argparse.Namespace) -> str:
    """Search the best constant action, store the record, and return what to show."""
    with importing():
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
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rows", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show(text: str) -> bool:
    """Print, to a reader that may have left (as `head` does) or have no space; return whether that went well.

    A reader that has left has read enough; one without space is told on standard error.
    """
    try:
        print(text, flush=True)
    except UnicodeEncodeError:  # a terminal without ±
        return show(text.encode("ascii", "replace").decode())
    except OSError as error:
        # The same at exit, when Python writes out what it still holds.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            say(f"error: standard output: {told(error)}")
            return False
    return True


def say(line: str) -> None:
    """Print a line on standard error, if anybody is there."""
    with suppress(OSError):
        if sys.stderr is not None:
            print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    with endings():
        try:
            options = parser(__doc__ or "").parse_args(words)
            return answer(options, ["evaluate.py", *words])
        except KeyboardInterrupt as interrupt:
            say(f"interrupted: {str(interrupt) or 'nothing has been written'}")
            return exit_code(interrupt)


def answer(options: argparse.Namespace, command: Sequence[str]) -> int:
    """Do what was asked for, show it or say what went wrong; return the exit code."""
    many = options.capacity or options.grid or options.loads is not None
    left = "only finished rows have been kept" if many else "nothing has been written"
    try:
        text = run(options, command)
    except InputError as error:
        complain(error, options.debug)
        return INPUT_ERROR
    except OSError as error:
        say(f"error: {told(error)}; {left}")
        return INPUT_ERROR
    except BrokenExecutor as error:
        say(f"error: {error}; {left}")
        return FAILED
    return 0 if show(text) else INPUT_ERROR


if __name__ == "__main__":
    code = main()
    leave()
    sys.exit(code)
