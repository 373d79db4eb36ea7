"""Which options of evaluate.py go together."""

from __future__ import annotations

import argparse

from wisp_gym.command_line import DEFAULT_SCENARIO
from wisp_gym.errors import InputError


def check_together(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other.

    :raises InputError: they do
    """
    many, old = options.capacity or options.loads is not None, options.plot_from is not None
    again = options.rescore is not None
    wrong = [
        *log_rules(options),
        (
            not (old or again or options.tune or options.grid or options.policy),
            "--policy: at least one is needed",
        ),
        (options.grid and bool(options.policy), "--grid runs all pairs: no --policy; --drafters narrows it"),
        (
            options.grid and (many or old or options.tune or options.per_class),
            "--grid stands alone: no --capacity, --loads, --tune, --plot-from, --per-class",
        ),
        (
            not options.grid and (options.drafters is not None or options.schedulers is not None),
            "--drafters, --schedulers: only with --grid",
        ),
        (options.tune and bool(options.policy), "--tune searches constant actions: no --policy"),
        (many and options.per_class, "--per-class: the files of --capacity and --loads have every class"),
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
            options.trace_out is not None and (many or old or options.grid),
            "--trace-out shows a plain comparison: no --capacity, no --loads, no --grid, no --plot-from",
        ),
        (
            options.trace_window is not None and options.trace_out is None,
            "--trace-window: the window of a trace; --trace-out names its file",
        ),
    ]
    for is_wrong, message in wrong:
        if is_wrong:
            raise InputError(message)


def log_rules(options: argparse.Namespace) -> list[tuple[bool, str]]:
    """Return what of the options on event logs is wrong, and what to say then."""
    other = options.capacity or options.grid or options.tune or options.plot_from is not None
    again, new = options.rescore is not None, options.log_out is not None
    given = {
        "--policy": options.policy,
        "--seeds": options.seeds,
        "--devices": options.devices,
        "--horizon": options.horizon,
        "--loads": options.loads,
        "--class": options.kinds,
        "--log-out": options.log_out,
        "--trace-out": options.trace_out,
        "--scenario": None if options.scenario == DEFAULT_SCENARIO else options.scenario,
    }
    refused = [name for name, value in given.items() if value is not None]
    return [
        (
            new and (other or again),
            "--log-out goes with a plain comparison and --loads: no --capacity, --grid, --tune, --rescore, "
            "--plot-from",
        ),
        (
            options.log_format is not None and not new,
            "--log-format: the form of event logs; --log-out names their folder",
        ),
        (again and other, "--rescore stands alone: no --capacity, --grid, --tune, --plot-from"),
        (again and bool(refused), f"--rescore scores what the logs hold: no {', '.join(refused)}"),
    ]
