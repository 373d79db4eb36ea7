"""Train an agent, save it for evaluate.py, and compare it with the baselines on validation worlds.

python train.py --agent ppo
python train.py --agent ppo --scenario paper-qwen3-32b-a100 --set fleet.devices=120 --seed 1
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from evaluate import FAILED, INPUT_ERROR, INTERRUPTED, OneLineParser, progress_bar, show
from wisp_gym.errors import InputError

if TYPE_CHECKING:
    from agents.training import TrainingRun

LEARNERS = ("safetensors", "stable_baselines3", "tensorboard", "torch")


def whole(least: int) -> type[int]:
    """Return a converter for argparse that takes whole numbers from `least` on."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value < 2**32:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from {least} to {2**32 - 1}")
        return value

    return convert  # type: ignore[return-value]


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    described = (__doc__ or "").partition("\n\n")
    parser = OneLineParser(
        description=described[0],
        epilog=f"examples:\n{described[2]}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--agent",
        default="ppo",
        metavar="NAME",
        help="configs/agent/NAME.yaml, or a YAML file (default: ppo)",
    )
    add("--scenario", default="quickstart", metavar="NAME", help="configs/scenario/NAME.yaml, or a YAML file")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="change the scenario",
    )
    add("--agent-set", action="append", default=[], metavar="KEY=VALUE", help="change an agent setting")
    add(
        "--timesteps",
        type=whole(1),
        metavar="N",
        help="decisions to learn from, rounded up to whole rollouts",
    )
    add("--envs", type=whole(1), metavar="N", help="copies of the environment stepped side by side")
    add("--seed", type=whole(0), default=0, metavar="S", help="of weights, actions and worlds (default: 0)")
    add("--out", type=Path, metavar="DIR", help="default: runs/<agent>-<scenario>-s<seed>")
    add("--overwrite", action="store_true", help="replace the run that DIR holds")
    add(
        "--validation-seeds",
        type=whole(0),
        default=5,
        metavar="N",
        help="worlds of the closing table; 0: no table",
    )
    return parser


def prepare(options: argparse.Namespace) -> TrainingRun:
    """Check everything the user gave and claim the output folder, before any work.

    :raises InputError: for the first thing that is wrong
    """
    missing = [package for package in LEARNERS if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(f"training needs {', '.join(missing)}, not installed: pip install -e .")

    from agents.files import claim_folder
    from agents.settings import load_settings
    from wisp_gym import scenario

    shortcuts = {"timesteps": options.timesteps, "environments": options.envs}
    changes = [f"{key}={value}" for key, value in shortcuts.items() if value is not None]
    settings = load_settings(options.agent, [*options.agent_set, *changes])
    scenario.load(options.scenario, options.overrides)
    name = f"{Path(options.agent).stem}-{Path(options.scenario).stem}-s{options.seed}"
    folder: Path = options.out or Path("runs") / name
    claim_folder(folder, options.overwrite)

    from agents.training import TrainingRun

    return TrainingRun(settings, options.scenario, tuple(options.overrides), options.seed, folder)


def run(options: argparse.Namespace, command: Sequence[str]) -> int:
    """Train, save and compare; return the exit code."""
    planned = prepare(options)

    from agents.training import train

    show(f"training {options.agent} on {planned.scenario}; curves: tensorboard --logdir {planned.folder}")
    result = train(planned)
    show(f"{result.timesteps:,} steps in {result.seconds:.0f} s; the model is in {planned.folder}\n")
    if not result.complete:
        print(f"stopped early; compare it: evaluate.py --policy wisp:best {planned.folder}", file=sys.stderr)
        return INTERRUPTED
    if options.validation_seeds:
        show(compare(planned, options.validation_seeds, command))
    return 0


def compare(trained: TrainingRun, seeds: int, command: Sequence[str]) -> str:
    """Compare the model with the baselines on validation worlds, keep the results, and return the table."""
    from agents.comparison import compare_with_baselines
    from agents.files import VALIDATION
    from baselines import resolve
    from wisp_gym import evaluation

    started, folder = datetime.now(UTC), trained.folder
    with progress_bar() as progress:
        comparison = compare_with_baselines(folder, trained.scenario, trained.overrides, seeds, progress)
    evaluation.save(comparison, folder / VALIDATION, resolve, command, evaluation.usable_cores(), started)
    return evaluation.render(comparison)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 for wrong input, 130 for Ctrl-C."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(words)
    try:
        return run(options, ["train.py", *words])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return INPUT_ERROR
    except KeyboardInterrupt:
        print("interrupted: no model beyond those announced above has been saved", file=sys.stderr)
        return INTERRUPTED
    except (OSError, BrokenExecutor) as error:
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
