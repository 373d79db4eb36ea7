"""What each policy did on the first world compared, as a Chrome trace that Perfetto opens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from wisp_gym.errors import InputError
from wisp_gym.evaluation.bounds import BOUNDS
from wisp_gym.evaluation.compare import Comparison
from wisp_gym.evaluation.output import check_writable
from wisp_gym.evaluation.runner import draw
from wisp_gym.evaluation.spec import Resolve, RowSpec
from wisp_gym.pipeline import Simulation
from wisp_gym.rendering import TraceProcess, trace_bytes

if TYPE_CHECKING:
    from wisp_gym.scenario import Scenario

ENDINGS = (".json", ".json.gz")
DEFAULT_S, LONGEST_S = 60.0, 600.0
"""Simulated seconds in a trace: by default, and at most. 60 s of 128 devices: about 15 MB, gzipped 2."""


def check_trace(path: Path, window: str | None, scenario: Scenario) -> tuple[float, float]:
    """Return the window of a trace, s, once it is sure that it can be written.

    :param path: of the file, .json or .json.gz
    :param window: "begin:end" in simulated seconds; None: the first 60 s after the warm-up
    :param scenario: says how long a world lasts
    :raises InputError: the window is not one, or the file cannot be written
    """
    if not path.name.endswith(ENDINGS):
        raise InputError(f"--trace-out {path}: allowed: a name that ends in {' or '.join(ENDINGS)}")
    check_writable(path.parent, [path.name], "--trace-out")
    if window is None:
        begin_s = scenario.warmup()
        return begin_s, min(begin_s + DEFAULT_S, scenario.horizon_s)
    begin, colon, end = window.partition(":")
    try:
        begin_s, end_s = float(begin), float(end)
    except ValueError:
        colon, begin_s, end_s = "", 0.0, 0.0
    if not colon or not 0 <= begin_s < end_s <= scenario.horizon_s or end_s - begin_s > LONGEST_S:
        raise InputError(
            f"--trace-window {window!r}; allowed: BEGIN:END in simulated seconds, 0 to {scenario.horizon_s:g}"
            f" (the horizon), at most {LONGEST_S:g} s apart, as in 60:80"
        )
    return begin_s, end_s


def trace_file(
    comparison: Comparison, path: Path, window_s: tuple[float, float], resolve: Resolve
) -> Mapping[str, bytes]:
    """Run every policy of a comparison on its first world once more, with the log on.

    :param comparison: what was run
    :param path: of the file, compressed where it ends in .gz
    :param window_s: what is shown, simulated seconds
    :param resolve: turns a policy's name into a policy
    :return: the file's content by its absolute path, as `save(also=)` takes it
    """
    seed = comparison.seeds[0]
    chosen = {choice.policy: choice.chosen for choice in comparison.choices}
    if comparison.bounds is not None:
        chosen |= {
            bound: comparison.bounds.controller(bound, seed)
            for bound in set(BOUNDS) & set(comparison.policies)
        }
    specs = [
        RowSpec(comparison.scenario, policy, chosen.get(policy, policy), seed, comparison.split)
        for policy in comparison.policies
    ]
    world = draw(specs[0])
    processes = []
    for spec in specs:
        simulation = Simulation(world, resolve(spec.controller), policy_seed=seed, log=True)
        simulation.until(round(1e9 * window_s[1]))
        processes.append(TraceProcess(f"{spec.policy}, seed {seed}", simulation))
    return {str(path.absolute()): trace_bytes(processes, window_s, path.name.endswith(".gz"))}
