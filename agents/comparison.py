"""The comparison that ends a training run: the agent beside the baselines, in worlds it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wisp_gym.evaluation import Comparison, Progress

# What the paper leaves open must not be held against WISP: an agent meets its best reading at that load,
# and both readings of late requests. Two plain pairs and the bounds `tuned` and `hindsight` tell whether a
# constant choice would have done as well, a random controller what the load forgives (docs/bounds.md).
BASELINES = (
    *("wisp:best", "wisp:late=urgent", "wisp:late=last", "sled", "centralized", "predictor+fcfs", "fixed:5"),
    *("tuned", "hindsight", "random"),
)


def compare_with_baselines(
    models: Sequence[Path],
    scenario: str,
    overrides: Sequence[str],
    seeds: int,
    progress: Progress | None = None,
) -> Comparison:
    """Evaluate the baselines and models on the same validation worlds.

    :param models: folders of trained models
    :param scenario: name or path
    :param overrides: changes to the scenario as "key=value"
    :param seeds: number of worlds; seeds 0 to seeds - 1
    :param progress: told how many rows are done
    """
    from baselines import candidates, resolve
    from wisp_gym import evaluation
    from wisp_gym import scenario as scenarios

    return evaluation.compare(
        scenarios.load(scenario, overrides),
        [*BASELINES, *map(str, models)],
        range(seeds),
        resolve,
        candidates,
        split="validation",
        jobs=evaluation.usable_cores(),
        progress=progress,
    )


def over_training_seeds(comparison: Comparison, models: Sequence[Path]) -> str:
    """Return a line on what agents of several training seeds reach: the mean and its 95 % interval.

    :param comparison: with rows of all of them
    :param models: folders of the agents, one a training seed
    """
    from wisp_gym.evaluation.statistics import mean, paired_ratio

    goodputs = [comparison.metric(str(model), "goodput_tps") for model in models]
    reached = mean([mean(values).value for values in goodputs])
    reference = comparison.metric(BASELINES[0], "goodput_tps")
    ratio = mean([paired_ratio(values, reference).value for values in goodputs])
    return (
        f"over {len(models)} training seeds: goodput {reached.value:.1f} ± {reached.half_width:.1f} tok/s, "
        f"ratio to {BASELINES[0]} {ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"
    )
