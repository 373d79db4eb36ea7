"""Does an agent that was trained on fleet-mix hold against WISP at loads it may meet, and has it adapted?

    python train.py --agent ppo --seeds 3 --validation-seeds 0
    python benchmarks/fleet_mix.py runs/ppo-fleet-mix-s0 runs/ppo-fleet-mix-s1 runs/ppo-fleet-mix-s2

The mixed fleet's capacity under wisp:best is measured first. Then all policies meet the same test worlds at
1.0, 1.3 and 1.6 times that size: wisp:best, WISP's readings of late requests, the bounds tuned (of that
load, and one action for the whole range of fleets) and hindsight, random, each agent, the action that it
takes most often at that load held constant, and its own network before training, with and without the lean
towards WISP that it starts from. Tables and one line of JSON; the files of each load go below --out.

An agent has adapted at a load where the paired interval of its goodput less that of tuned, of tuned on the
range and of its own commonest action lies above zero each time, and all agents do.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents import learners, model_file
from agents.environment import make_environments
from agents.files import MODEL_RECORD
from agents.model_file import read
from baselines import candidates, resolve
from wisp_gym import evaluation, scenario
from wisp_gym._parser import OneLineParser, whole
from wisp_gym.envs import AgentScheduler
from wisp_gym.envs.constant import action_name
from wisp_gym.evaluation.bounds import find_bounds
from wisp_gym.evaluation.fleets import at_load, fleet_kinds
from wisp_gym.evaluation.statistics import Estimate, paired_difference, paired_ratio
from wisp_gym.evaluation.summary import CLASSES
from wisp_gym.pipeline import Simulation
from wisp_gym.world import draw_world, world_seed

SCENARIO = "fleet-mix"
REFERENCE = "wisp:best"
CONSTANTS = ("tuned", "tuned on the range", "commonest action")
"""What an agent must be above to have adapted."""

MODAL_WORLDS = 4
PLAIN = (REFERENCE, "wisp:late=urgent", "wisp:late=last", "tuned", "hindsight", "random")
LOADS = (1.0, 1.3, 1.6)


def capacity(seeds: int, folder: Path, jobs: int) -> int:
    """Return the devices that the mixed fleet holds under wisp:best, as evaluate.py --capacity does."""
    spec = scenario.load(SCENARIO)
    place = evaluation.Workplace(folder, jobs, None)
    kinds = fleet_kinds(spec, ["mix"])
    study = evaluation.measure_capacity(
        spec, [REFERENCE], kinds, tuple(range(seeds)), resolve, candidates, place
    )
    print(evaluation.render_capacity(study), end="\n\n", flush=True)
    return int(study.capacities["mix", REFERENCE].crossing.capacity)


def tuned_for_all(folder: Path, jobs: int) -> str:
    """Return the best constant action for fleets of every size that training draws, on training worlds."""
    bounds = find_bounds(scenario.load(SCENARIO), ["tuned"], (), "train", folder=folder, jobs=jobs)
    assert bounds is not None
    bounds.keep()
    return bounds.record.winner


def untrained(run: Path, folder: Path, lean: bool) -> Path:
    """Save a run's network as it was before training; return its folder.

    :param lean: with the lean towards WISP that the run started from, or with none
    """
    record, _ = read(run)
    settings = record.settings if lean else record.settings.model_copy(update={"wisp_prior": 0.0})
    target = folder / f"{'untrained' if lean else 'blank'}-s{record.seed}"
    environments = make_environments(settings, record.scenario, record.overrides, record.seed)
    learner = learners.build(settings, environments, record.seed)
    blank = record.model_copy(update={"timesteps": 0, "weights_sha256": "", "settings": settings})
    model_file.save(target, learners.tensors(learner), blank)
    environments.close()
    return target


def commonest_action(run: Path, spec: scenario.Scenario) -> str:
    """Return the action that an agent takes most often at a load, on training worlds, as a policy's name."""
    record, actor = read(run)
    taken: Counter[tuple[int, ...]] = Counter()

    def act(observation: NDArray[np.float32]) -> NDArray[np.int64]:
        action = actor(observation)
        taken[tuple(action.tolist())] += 1
        return action

    for seed in range(MODAL_WORLDS):
        agent = AgentScheduler(act, run.name, record.settings.control, record.settings.hold_s)
        Simulation(draw_world(spec, world_seed("train", seed)), agent.policy()).run()
    return action_name(taken.most_common(1)[0][0])


def interval(estimate: Estimate) -> dict[str, float]:
    """Return a figure and its 95 % interval."""
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def verdicts(comparison: evaluation.Comparison, run: str, others: Mapping[str, str]) -> dict[str, Any]:
    """Return what is asked of one agent at one load.

    :param others: policies beside PLAIN that it is compared with, by what they are to it
    """
    goodput = comparison.metric(run, "goodput_tps")
    above = {
        name: interval(paired_difference(goodput, comparison.metric(policy, "goodput_tps")))
        for name, policy in ({policy: policy for policy in PLAIN} | dict(others)).items()
    }
    classes = {}
    for number in CLASSES:
        name = f"attainment_class_{number}"
        change = paired_difference(comparison.metric(run, name), comparison.metric(REFERENCE, name))
        classes[str(number)] = round(100 * change.value, 2)
    return {
        "goodput_ratio_to_wisp_best": interval(
            paired_ratio(goodput, comparison.metric(REFERENCE, "goodput_tps"))
        ),
        "goodput_above_tps": above,
        "attainment_points_against_wisp_best": classes,
        "commonest_action": others["commonest action"],
        "adapted": all(above[name]["low"] > 0 for name in CONSTANTS),
    }


def compare_at(
    devices: int,
    seeds: int,
    runs: Sequence[Path],
    range_tuned: str,
    folder: Path,
    jobs: int,
    command: Sequence[str],
) -> tuple[dict[str, Any], dict[str, Estimate]]:
    """Compare everyone at one size of the fleet; return verdicts by agent and ratios to wisp:best."""
    started = datetime.now(UTC)
    spec = at_load(scenario.load(SCENARIO), devices)
    others: dict[Path, dict[str, str]] = {
        run: {
            "tuned on the range": range_tuned,
            "commonest action": commonest_action(run, spec),
            "untrained": str(untrained(run, folder / "untrained", lean=True)),
            "blank": str(untrained(run, folder / "untrained", lean=False)),
        }
        for run in runs
    }
    named = [others[run][what] for what in next(iter(others.values())) for run in runs]
    policies = list(dict.fromkeys([*PLAIN, *map(str, runs), *named]))
    comparison = evaluation.compare(
        spec, policies, range(seeds), resolve, candidates, jobs=jobs, records=folder / "tuned"
    )
    print(evaluation.render(comparison, per_class=True), end="\n\n", flush=True)
    evaluation.save(comparison, folder / f"{devices}-devices", resolve, command, jobs, started)
    ratios = {summary.policy: summary.ratio for summary in evaluation.summarise(comparison)}
    shown = {policy: ratios[policy] for policy in PLAIN} | {"tuned on the range": ratios[range_tuned]}
    for run in runs:
        shown[run.name] = ratios[str(run)]
        shown |= {f"{run.name}, {what}": ratios[others[run][what]] for what in list(others[run])[1:]}
    return {run.name: verdicts(comparison, str(run), others[run]) for run in runs}, shown


def short_table(loads: dict[str, int], ratios: dict[str, dict[str, Estimate]]) -> str:
    """Return the goodput of everyone as a ratio to wisp:best's, a row a policy and a column a load."""
    lines = ["| | " + " | ".join(f"{factor} x ({devices})" for factor, devices in loads.items()) + " |"]
    lines.append("|---|" + "---|" * len(loads))
    for name in next(iter(ratios.values())):
        if name != REFERENCE:
            cells = [ratios[factor][name] for factor in loads]
            shown = [f"{cell.value:.3f} [{cell.low:.3f}, {cell.high:.3f}]" for cell in cells]
            lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def holds(result: dict[str, Any]) -> bool:
    """Return whether every agent meets what is asked of it at every load."""
    for load, agents in result.items():
        for found in agents.values():
            above = found["goodput_above_tps"]
            if found["goodput_ratio_to_wisp_best"]["low"] <= 0.99 or above["untrained"]["value"] <= 0:
                return False
            if min(found["attainment_points_against_wisp_best"].values()) < -5.0:
                return False
            if float(load) > 1.0 and above["wisp:late=urgent"]["low"] <= 0:
                return False
    return True


def main() -> None:
    """Measure and print."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of trained agents")
    parser.add_argument("--worlds", type=whole(1), default=20, help="test worlds at each load")
    parser.add_argument("--capacity-worlds", type=whole(1), default=20, help="test worlds of the capacity")
    parser.add_argument(
        "--out", type=Path, default=Path("results/fleet-mix-agents"), help="folder of the files"
    )
    options = parser.parse_args()
    for run in options.runs:
        if not (run / MODEL_RECORD).is_file():
            parser.error(f"{run}: no {MODEL_RECORD} there; train.py makes it")
    jobs = evaluation.usable_cores()
    command = ["benchmarks/fleet_mix.py", *map(str, options.runs)]
    held = capacity(options.capacity_worlds, options.out / "capacity", jobs)
    loads = {str(factor): round(factor * held) for factor in LOADS}
    range_tuned = tuned_for_all(options.out / "tuned", jobs)
    result, ratios = {}, {}
    for factor, devices in loads.items():
        result[factor], ratios[factor] = compare_at(
            devices, options.worlds, options.runs, range_tuned, options.out, jobs, command
        )
    print(short_table(loads, ratios), end="\n\n")
    adapted = {
        factor: all(found["adapted"] for found in agents.values()) for factor, agents in result.items()
    }
    summary = {
        "capacity": held,
        "devices": loads,
        "holds": holds(result),
        "adapted": adapted,
        "loads": result,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
