"""Train an agent, save it for evaluate.py, and compare it with the baselines on validation worlds.

python train.py --agent ppo
python train.py --agent maskable_ppo --scenario paper-qwen3-32b-a100 --set fleet.devices=120 --seed 1
python train.py --scenario quickstart --set "ranges.devices=[60, 200]" --seeds 3
python train.py --resume runs/ppo-quickstart-s0
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from evaluate import (
    FAILED,
    INPUT_ERROR,
    INTERRUPTED,
    OneLineParser,
    check_record_place,
    progress_bar,
    say,
    show,
)
from wisp_gym._parser import path_argument, whole
from wisp_gym.errors import InputError, told
from wisp_gym.signals import endings, exit_code, importing, leave

if TYPE_CHECKING:
    from agents.several import Outcome
    from agents.training import TrainingRun

LEARNERS = ("safetensors", "sb3_contrib", "stable_baselines3", "tensorboard", "torch")
TABLE_WORLDS = 5

RUN_OPTIONS = {
    "agent": "--agent",
    "scenario": "--scenario",
    "overrides": "--set",
    "agent_set": "--agent-set",
    "timesteps": "--timesteps",
    "envs": "--envs",
    "seed": "--seed",
    "seeds": "--seeds",
    "out": "--out",
    "overwrite": "--overwrite",
}
"""Options that say what a run is; a run that is resumed has them already."""


EXIT_CODES = """exit codes: 0 done, 1 failed, 2 wrong input, or a disk that is full or cannot be written to,
130 interrupted, 143 ended by SIGTERM; a run that was ended goes on with --resume, from its last checkpoint
(docs/interruptions.md)
"""


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    described = (__doc__ or "").partition("\n\n")
    parser = OneLineParser(
        description=described[0],
        epilog=f"examples:\n{described[2]}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--agent", metavar="NAME", help="configs/agent/NAME.yaml, or a YAML file (ppo)")
    add("--scenario", metavar="NAME", help="configs/scenario/NAME.yaml, or a YAML file (fleet-mix)")
    add(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        dest="overrides",
        help="change the scenario; ranges.KEY=[LOW, HIGH] draws a value anew for every episode",
    )
    add("--agent-set", action="append", metavar="KEY=VALUE", help="change an agent setting")
    add(
        "--timesteps",
        type=whole(1),
        metavar="N",
        help="decisions to learn from, rounded up to whole rollouts",
    )
    add("--envs", type=whole(1), metavar="N", help="copies of the environment stepped side by side")
    add("--seed", type=whole(0), metavar="S", help="of weights, actions and worlds (0)")
    add("--seeds", type=whole(1), metavar="N", help="N runs, of seeds S to S+N-1, over the cores")
    add(
        "--out",
        type=path_argument,
        metavar="DIR",
        help="runs/<agent>-<scenario>-s<seed>; with --seeds DIR-s<seed>",
    )
    add("--overwrite", action="store_true", default=None, help="replace the run that DIR holds")
    add(
        "--resume",
        type=path_argument,
        metavar="RUN",
        help="go on with an interrupted run, its folder, to the same result",
    )
    add(
        "--validation-seeds",
        type=whole(0),
        metavar="N",
        help="worlds of the closing table (5); 0: no table",
    )
    return parser


def prepare(options: argparse.Namespace) -> list[TrainingRun]:
    """Check everything the user gave, before any work, and return the runs.

    :raises InputError: for the first thing that is wrong
    """
    missing = [package for package in LEARNERS if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(f"training needs {', '.join(missing)}, not installed: pip install -e .")
    return [interrupted_run(options)] if options.resume is not None else new_runs(options)


def new_runs(options: argparse.Namespace) -> list[TrainingRun]:
    """Return the runs that the options describe, one a seed.

    :raises InputError: for the first thing that is wrong
    """
    with importing():
        from agents.files import check_folder
        from agents.settings import load_settings
        from wisp_gym import scenario

    agent, world = options.agent or "ppo", options.scenario or "fleet-mix"
    shortcuts = {"timesteps": options.timesteps, "environments": options.envs}
    changes = [f"{key}={value}" for key, value in shortcuts.items() if value is not None]
    settings = load_settings(agent, [*(options.agent_set or ()), *changes])
    overrides = tuple(options.overrides or ())
    loaded = scenario.load(world, overrides)
    first = options.seed or 0
    seeds = range(first, first + (options.seeds or 1))
    folders = [folder_of(options, agent, world, seed) for seed in seeds]
    for folder in folders:
        check_folder(folder, bool(options.overwrite))
    table = TABLE_WORLDS if options.validation_seeds is None else options.validation_seeds
    with importing():
        from agents.comparison import BASELINES
        from agents.training import TrainingRun

    if table:
        check_record_place(loaded, BASELINES)
    return [
        TrainingRun(settings, world, overrides, seed, folder, table)
        for seed, folder in zip(seeds, folders, strict=True)
    ]


def folder_of(options: argparse.Namespace, agent: str, world: str, seed: int) -> Path:
    """Return the folder of one seed's run."""
    if options.out is not None and options.seeds is None:
        return Path(options.out)
    base = options.out or Path("runs") / f"{Path(agent).stem}-{Path(world).stem}"
    return Path(f"{base}-s{seed}")


def interrupted_run(options: argparse.Namespace) -> TrainingRun:
    """Return the run to go on with.

    :raises InputError: there is none, or an option says otherwise than the run
    """
    given = {name: getattr(options, name) for name in RUN_OPTIONS if getattr(options, name) is not None}
    if given:
        option = RUN_OPTIONS[next(iter(given))]
        raise InputError(f"{option} with --resume: a run keeps what it was started with; leave {option} out")

    with importing():
        from agents.files import check_resumable
        from agents.training import resumed

    run = resumed(options.resume, options.validation_seeds)
    check_resumable(options.resume)
    return run


def run(options: argparse.Namespace, command: Sequence[str]) -> int:
    """Train, save and compare; return the exit code."""
    planned = prepare(options)
    for one in planned:
        show(f"training {one.settings.kind} on {one.scenario}; curves: tensorboard --logdir {one.folder}")
    try:
        return one_run(planned[0], command) if len(planned) == 1 else several_runs(planned, command)
    except KeyboardInterrupt as interrupt:
        interrupt.args = (how_to_go_on(planned),)
        raise
    except OSError as error:
        say(f"error: {told(error)}; {how_to_go_on(planned)}")
        return INPUT_ERROR
    except BrokenExecutor as error:
        say(f"error: {error}; {how_to_go_on(planned)}")
        return FAILED


def one_run(planned: TrainingRun, command: Sequence[str]) -> int:
    """Train here and compare; return the exit code."""
    from agents.files import drop_checkpoint, held
    from agents.progress import Interrupt, training_bar
    from agents.training import train

    with held(planned.folder):
        if planned.trained:
            show(f"{planned.folder} is trained; what is left is the comparison")
            drop_checkpoint(planned.folder)  # of a run killed between its last two steps
        else:
            interrupt = Interrupt()
            with interrupt, training_bar(planned.settings.timesteps) as tell:
                result = train(planned, tell, interrupt)
            code = report(planned, result)
            if code != 0:
                return code if code != INTERRUPTED else 128 + interrupt.number
        if planned.table_worlds:
            show(f"\n{compare([planned], command)}")
    return 0


def several_runs(planned: Sequence[TrainingRun], command: Sequence[str]) -> int:
    """Train each run in a process of its own and compare them; return the exit code."""
    from agents.progress import Interrupt, training_bar
    from agents.several import train_several
    from wisp_gym.evaluation import usable_cores

    jobs = max(1, usable_cores() // planned[0].settings.threads)
    codes: list[int] = []
    interrupt = Interrupt()
    with training_bar(sum(run.settings.timesteps for run in planned)) as tell:
        outcomes = train_several(
            planned, jobs, tell, lambda run, outcome: codes.append(report(run, outcome)), interrupt
        )
    code = max([*codes, *(INTERRUPTED for outcome in outcomes if outcome is None)])
    if code == 0 and planned[0].table_worlds:
        show(f"\n{compare(planned, command)}")
    return code if code != INTERRUPTED else 128 + interrupt.number


def report(run: TrainingRun, outcome: Outcome) -> int:
    """Say what came of a run; return the exit code."""
    if isinstance(outcome, InputError):
        say(f"error: {run.folder}: {outcome}")
        return INPUT_ERROR
    if isinstance(outcome, OSError):
        say(f"error: {told(outcome)}; {how_to_go_on([run])}")
        return INPUT_ERROR
    if isinstance(outcome, Exception):
        say(f"error: {run.folder}: {outcome}; {how_to_go_on([run])}")
        return FAILED
    if outcome is None:
        say(f"{run.folder}: ended before it began; {how_to_go_on([run])}")
        return INTERRUPTED
    show(f"{outcome.timesteps:,} steps in {outcome.seconds:.0f} s; the model is in {run.folder}")
    if outcome.complete:
        return 0
    say(f"stopped early; go on: train.py --resume {run.folder}; compare it: {run.comparison()}")
    return INTERRUPTED


def how_to_go_on(planned: Sequence[TrainingRun]) -> str:
    """Return what there is of each run and the command that goes on with it."""
    from agents.run_record import kept

    return "; ".join(kept(run.folder) for run in planned)


def compare(trained: Sequence[TrainingRun], command: Sequence[str]) -> str:
    """Compare the models with the baselines on validation worlds, keep the results, and return the table."""
    from agents.comparison import compare_with_baselines, over_training_seeds
    from agents.files import VALIDATION
    from baselines import resolve
    from wisp_gym import evaluation

    started, first = datetime.now(UTC), trained[0]
    models = [run.folder for run in trained]
    with progress_bar() as progress:
        comparison = compare_with_baselines(
            models, first.scenario, first.overrides, first.table_worlds, progress
        )
    table = evaluation.render(comparison)
    folder = first.folder / VALIDATION
    if len(trained) > 1:
        folder = Path(f"{first.folder}-{trained[-1].seed}") / VALIDATION  # as in runs/ppo-quickstart-s0-2
        table += f"\n\n{over_training_seeds(comparison, models)}"
    with nullcontext() if len(trained) == 1 else evaluation.held(folder, evaluation.FILES):
        evaluation.save(comparison, folder, resolve, command, evaluation.usable_cores(), started)
    return f"{table}\n\nthe comparison's files are in {folder}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0; 1 where a process failed; 2 for wrong input and for a disk that is full or cannot be written to;
    130 for Ctrl-C, 143 for SIGTERM.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    with endings():
        try:
            return run(parser().parse_args(words), ["train.py", *words])
        except InputError as error:
            say(f"error: {error}")
            return INPUT_ERROR
        except KeyboardInterrupt as interrupt:
            say(f"interrupted: {str(interrupt) or 'nothing has been written'}")
            return exit_code(interrupt)
        except OSError as error:
            say(f"error: {told(error)}")
            return INPUT_ERROR


if __name__ == "__main__":
    code = main()
    leave()
    sys.exit(code)
