"""The comparison that ends a training run: the agent beside the baselines, in worlds it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wisp_gym.evaluation.compare import Comparison

# What the paper leaves open must not be held against WISP: an agent meets its best reading at that load.
BASELINES = ("wisp:best", "sled", "centralized")


def compare_with_baselines(model: Path, scenario: str, overrides: Sequence[str], seeds: int) -> Comparison:
    """Evaluate the baselines and a model on the same validation worlds.

    :param model: the trained model's folder
    :param scenario: name or path
    :param overrides: changes to the scenario as "key=value"
    :param seeds: number of worlds; seeds 0 to seeds - 1
    """
    from baselines import candidates, resolve
    from wisp_gym import scenario as scenarios
    from wisp_gym.evaluation.compare import compare

    drawn_from = scenarios.load(scenario, overrides)
    policies = [*BASELINES, str(model)]
    return compare(drawn_from, policies, range(seeds), resolve, candidates, split="validation")


def comparison_table(model: Path, scenario: str, overrides: Sequence[str], seeds: int) -> str:
    """Return the comparison as text, as evaluate.py prints it; arguments as above."""
    from wisp_gym.evaluation.tables import render

    text: str = render(compare_with_baselines(model, scenario, overrides, seeds))
    return text
