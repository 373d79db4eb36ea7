"""Draw a training run's main curves, as tensorboard's scalars page shows them, into a PNG.

python docs/curves.py runs/ppo-quickstart-s0 --out docs/images/training-curves.png
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

CLONE = Path(__file__).resolve().parent.parent
if str(CLONE) not in sys.path:
    sys.path.insert(0, str(CLONE))

from wisp_gym.errors import InputError  # noqa: E402 (the clone's, wherever this is run)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Points = tuple[list[int], list[float]]

CURVES = (
    "episode/goodput_tps",
    "episode/attainment",
    "episode/attainment_worst",
    "episode/longest_stall_s",
    "episode/tokens_per_round",
    "episode/wdt_share",
    "episode/batch_size_mean",
    "episode/gpu_busy_share",
    "rollout/ep_rew_mean",
    "train/entropy_loss",
    "train/explained_variance",
    "train/approx_kl",
)
"""What is drawn, where the run has it."""

COLUMNS, SMOOTHING = 4, 0.6
"""Curves in a row; tensorboard's default weight of the average so far."""


def read(run: Path) -> dict[str, Points]:
    """Return the curves of a run: decisions and values, by name.

    :param run: its folder, event files anywhere below it
    :raises InputError: no curve there
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, Points] = {}
    for folder in sorted({path.parent for path in run.rglob("events.out.tfevents.*")}):
        events = EventAccumulator(str(folder), {"scalars": 0})
        events.Reload()
        for name in events.Tags()["scalars"]:
            listed: list[Any] = events.Scalars(name)
            found[name] = ([point.step for point in listed], [point.value for point in listed])
    if not found.keys() & set(CURVES):
        raise InputError(f"{run}: no training curves there; allowed: the folder of a run of train.py")
    return found


def smoothed(values: Sequence[float], weight: float = SMOOTHING) -> list[float]:
    """Return tensorboard's smoothing: an exponential average, its start not drawn to zero."""
    average, mass, result = 0.0, 0.0, []
    for value in values:
        if math.isfinite(value):
            average = weight * average + (1 - weight) * value
            mass = weight * mass + (1 - weight)
        result.append(average / mass if mass else math.nan)
    return result


def draw(curves: dict[str, Points], title: str) -> Figure:
    """Return the curves in a grid: as recorded, pale, and smoothed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for name in CURVES if name in curves]
    rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(12.0, 0.4 + 2.3 * rows), layout="constrained", dpi=100)
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes, name in zip(grid.flat, names, strict=False):
        steps, values = curves[name]
        axes.plot(steps, values, color="#ff7043", alpha=0.3, linewidth=1.2)
        axes.plot(steps, smoothed(values), color="#ff7043", linewidth=1.6)
        axes.set_title(name, fontsize=9, loc="left")
        axes.grid(color="#e0e0e0", linewidth=0.6)
        axes.tick_params(labelsize=8, length=0)
        axes.xaxis.set_major_formatter(lambda step, _: f"{step / 1000:g}k")
        axes.margins(x=0.02)
        for side in axes.spines.values():
            side.set_visible(False)
    return figure


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a training run")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.png")
    parser.add_argument("--title", default="", help="words above the curves")
    options = parser.parse_args(arguments)
    try:
        figure = draw(read(options.run), options.title)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(options.out, metadata={"Software": None})
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
