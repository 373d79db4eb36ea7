"""The comparison that ends a training run: the agent beside the baselines, in worlds it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wisp_gym.evaluation import Comparison
    from wisp_gym.scenario import Scenario

BASELINES = ("wisp", "sled", "centralized")


def compare_with_baselines(model: Path, scenario: Scenario, seeds: int) -> Comparison:
    """Evaluate the baselines and the model on the same validation worlds.

    :param model: the trained model's folder
    :param scenario: where the worlds are drawn from
    :param seeds: number of worlds; seeds 0 to seeds - 1
    """
    from baselines import resolve
    from wisp_gym.evaluation import compare

    return compare(scenario, [*BASELINES, str(model)], range(seeds), resolve, split="validation")
