"""Validation during training: the agent beside WISP on worlds of their own, as evaluate.py runs them.

It acts with a copy of the weights in NumPy and draws nothing from a global generator, so training does not
notice it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agents.files import VALIDATION_CSV, check_there
from agents.network import Floats, actor_layers, build_actor
from agents.settings import AgentSettings
from agents.spaces import environment_spaces
from wisp_gym.evaluation.output import write_together
from wisp_gym.evaluation.writers import number

if TYPE_CHECKING:
    from wisp_gym.pipeline import Policy
    from wisp_gym.scenario import Scenario
    from wisp_gym.world import World

FIRST_SEED = 1000
"""The closing table's worlds begin at 0; training is watched on others."""

COLUMNS: Mapping[str, str] = {
    "timesteps": "decisions learned from",
    "goodput_tps": "the agent's goodput on the validation worlds, mean, likeliest actions",
    "wisp_goodput_tps": "WISP's goodput on the same worlds",
    "ratio": "the agent's goodput over WISP's",
    "attainment": "the agent's attainment, mean over the worlds",
    "wisp_attainment": "WISP's attainment, mean over the same worlds",
    "attainment_worst": "the attainment of the agent's worst class, mean over the worlds",
    "wisp_attainment_worst": "the attainment of WISP's worst class, mean over the same worlds",
}

_METRICS = ("goodput_tps", "attainment", "attainment_worst")


@dataclass(frozen=True)
class ValidationRow:
    """One line of validation.csv; `COLUMNS` says what each entry is."""

    timesteps: int
    goodput_tps: float
    wisp_goodput_tps: float
    ratio: float
    attainment: float
    wisp_attainment: float
    attainment_worst: float
    wisp_attainment_worst: float


class Validation:
    """Judges an agent on the same few validation worlds again and again.

    :param scenario: of the training
    :param settings: `validation_worlds` and `validation_s` say how many worlds, and how many seconds of each
        count, after the scenario's warm-up
    :param folder: where validation.csv goes
    :param rows: those of an earlier part of the run
    """

    def __init__(
        self, scenario: Scenario, settings: AgentSettings, folder: Path, rows: Sequence[ValidationRow] = ()
    ) -> None:
        self.scenario, self.settings, self.folder, self.rows = scenario, settings, folder, list(rows)
        self._worlds: list[World] | None = None
        self._wisp: dict[str, float] = {}

    def due(self, timesteps: int, rollout: int) -> bool:
        """Return whether it is time, between two updates: at the start, then every `validation_every`.

        :param timesteps: decisions so far
        :param rollout: decisions between two updates
        """
        every = self.settings.validation_every
        return not self.done(timesteps) and (
            timesteps == 0 or timesteps // every > (timesteps - rollout) // every
        )

    def done(self, timesteps: int) -> bool:
        """Return whether there is a row of this moment."""
        return bool(self.rows) and self.rows[-1].timesteps == timesteps

    def judge(self, timesteps: int, tensors: Mapping[str, Floats]) -> ValidationRow:
        """Run the agent on the worlds, write validation.csv and return the new row.

        :param timesteps: decisions so far
        :param tensors: the learner's weights by name
        """
        worlds = self._drawn()
        agent = self._mean(worlds, _agent(tensors, self.settings))
        wisp = self._wisp
        ratio = agent["goodput_tps"] / wisp["goodput_tps"] if wisp["goodput_tps"] else float("nan")
        pairs = [value for name in _METRICS[1:] for value in (agent[name], wisp[name])]
        row = ValidationRow(timesteps, agent["goodput_tps"], wisp["goodput_tps"], ratio, *pairs)
        self.rows.append(row)
        self.write()
        return row

    def write(self) -> None:
        """Write validation.csv, all rows so far."""
        check_there(self.folder)
        write_together(self.folder, {VALIDATION_CSV: as_csv(self.rows)})

    def _drawn(self) -> list[World]:
        """Return the worlds; draw them and run WISP through them on first use."""
        from baselines import resolve
        from wisp_gym.world import draw_world, world_seed

        if self._worlds is None:
            horizon_s = min(self.scenario.horizon_s, self.scenario.warmup() + self.settings.validation_s)
            seeds = range(FIRST_SEED, FIRST_SEED + self.settings.validation_worlds)
            drawn = [
                draw_world(self.scenario, world_seed("validation", seed), horizon_s=horizon_s)
                for seed in seeds
            ]
            self._worlds = drawn
            self._wisp = self._mean(drawn, resolve("wisp"))
        return self._worlds

    def _mean(self, worlds: Sequence[World], policy: Policy) -> dict[str, float]:
        """Return a policy's mean metrics over the worlds."""
        from wisp_gym.metrics import measure
        from wisp_gym.pipeline import Simulation

        metrics = [measure(Simulation(world, policy).run()) for world in worlds]
        return {name: sum(run[name] for run in metrics) / len(metrics) for name in _METRICS}


def as_csv(rows: Sequence[ValidationRow]) -> bytes:
    """Return the rows under a heading; the same rows give the same bytes."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([row.timesteps, *(number(value) for value in astuple(row)[1:])] for row in rows)
    return text.getvalue().encode()


def _agent(tensors: Mapping[str, Floats], settings: AgentSettings) -> Policy:
    """Return the weights as a policy for the pipeline."""
    from wisp_gym.envs import AgentScheduler

    spaces = environment_spaces()
    layers = actor_layers(settings.hidden, spaces.observation_size, spaces.action_counts)
    actor = build_actor(tensors, list(layers), spaces.action_counts)
    return AgentScheduler(actor, "agent", settings.control, settings.hold_s, settings.masked).policy()
