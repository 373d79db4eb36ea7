"""The plot of capacities: a group a kind of fleet, a bar a policy."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from wisp_gym.evaluation.plots.bars import ERROR
from wisp_gym.evaluation.plots.loads import legend_height
from wisp_gym.evaluation.plots.results import Results
from wisp_gym.evaluation.plots.style import colour, figure, label, legend


def capacity(results: Results) -> Figure:
    """Return the capacity of every policy for every kind of fleet, with bootstrap intervals."""
    policies, fleets = results.policies, results.fleets
    made, (axes,) = figure(1.9 + legend_height(results))
    width = 0.8 / len(policies)
    for at, policy in enumerate(policies):
        found = {entry["fleet"]: entry for entry in results.capacities if entry["policy"] == policy}
        value = np.array([found[fleet]["capacity_devices"] for fleet in fleets], float)
        ends = [(found[fleet]["low_devices"], found[fleet]["high_devices"]) for fleet in fleets]
        gaps = [
            (max(0.0, here - (low if low is not None else here)), max(0.0, (high or here) - here))
            for here, (low, high) in zip(value, ends, strict=True)
        ]
        places = np.arange(len(fleets)) + (at - (len(policies) - 1) / 2) * width
        axes.bar(places, value, 0.9 * width, color=colour(at), yerr=np.array(gaps).T.tolist(), error_kw=ERROR)
    axes.set_xticks(range(len(fleets)), fleets)
    axes.tick_params(axis="x", length=0)
    axes.grid(False, axis="x")
    axes.set_ylabel("capacity [devices]")
    axes.set_xlabel("fleet" + (f", 95 % CI, {results.seeds} seeds" if results.seeds > 1 else ""))
    legend(made, [Patch(color=colour(at), label=label(policy, 24)) for at, policy in enumerate(policies)])
    return made
