"""Train the stop predictor of one or all draft/target pairs and write it beside the profiles."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields

from agents.predictor.files import write_predictor
from agents.predictor.fit import fit_predictor
from agents.predictor.training import Settings
from wisp_gym import profiles
from wisp_gym._parser import INPUT_ERROR, OneLineParser, path_argument
from wisp_gym.errors import InputError
from wisp_gym.evaluation.output import check_writable
from wisp_gym.profiles.predictor import FOLDER, MOST_UNITS, RECORD, WEIGHTS
from wisp_gym.rules.control import MAX_DRAFT

LIMITS: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31),
    "units": (1, MOST_UNITS),
    "streams": (1, 100_000),
    "length": (2, 10_000),
    "k": (1, MAX_DRAFT),
    "epochs": (1, 1000),
    "batch": (1, 10_000_000),
    "learning_rate": (1e-6, 1.0),
}
"""Allowed values of the settings."""


def _whole(text: str) -> int:
    """Return a whole number."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} must be a whole number")
    return int(text)


def _number(text: str) -> float:
    """Return a number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} must be a number") from None


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = OneLineParser(prog="python -m agents.predictor", description=__doc__, allow_abbrev=False)
    made.add_argument(
        "--pair", nargs="+", help="acceptance profiles, names or paths; default: all shipped ones"
    )
    made.add_argument(
        "--out", type=path_argument, default=FOLDER, help="folder of the two files of each pair"
    )
    for field in fields(Settings):
        name, default = f"--{field.name.replace('_', '-')}", field.default
        made.add_argument(
            name,
            type=_whole if isinstance(default, int) else _number,
            default=default,
            help=f"default {default}",
        )
    return made


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings of a command line.

    :raises InputError: a value out of range
    """
    chosen = Settings(**{field.name: getattr(options, field.name) for field in fields(Settings)})
    for field in fields(Settings):
        value, (least, most) = getattr(chosen, field.name), LIMITS[field.name]
        if not least <= value <= most:
            raise InputError(f"--{field.name.replace('_', '-')} {value}: allowed: {least:g} to {most:g}")
    if chosen.length <= chosen.k:
        raise InputError(f"--length {chosen.length}: allowed: more than --k, {chosen.k}")
    return chosen


def command_of(pair: str, settings: Settings) -> str:
    """Return the command that trains one pair so."""
    changed = [
        f" --{field.name.replace('_', '-')} {getattr(settings, field.name)}"
        for field in fields(Settings)
        if getattr(settings, field.name) != field.default
    ]
    return f"python -m agents.predictor --pair {pair}{''.join(changed)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = parser().parse_args(arguments)
    try:
        settings = settings_of(options)
        pairs = [profiles.acceptance(name) for name in options.pair or profiles.names("acceptance")]
        check_writable(options.out, [f"{pair.name}{end}" for pair in pairs for end in (RECORD, WEIGHTS)])
        for pair in pairs:
            record, tensors = fit_predictor(pair, settings, command_of(pair.name, settings))
            write_predictor(options.out, pair.name, record, tensors)
            reached = ", ".join(f"{name} {value:.3f}" for name, value in record.held_out.items())
            print(f"{pair.name}: {reached}", flush=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return INPUT_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(main())
