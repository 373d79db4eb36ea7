"""One training run, from settings to a model on disk."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import cast

from gymnasium.spaces import MultiDiscrete
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from agents import checkpoint, learners, model_file, run_record
from agents.boundary import Boundary
from agents.callbacks import TrainingCurves
from agents.elapsed_time import ElapsedTimeDiscount
from agents.environment import make_environments
from agents.files import CHECKPOINT, CURVES, VALIDATION, check_curves, check_there, cleared, drop_checkpoint
from agents.model_file import ModelRecord
from agents.progress import Interrupt, Report
from agents.run_record import RunRecord
from agents.settings import AgentSettings, AnySettings
from agents.spaces import ENVIRONMENT_ID
from agents.validation import Validation, ValidationRow
from wisp_gym import scenario as scenarios
from wisp_gym.errors import InputError
from wisp_gym.evaluation.output import unsealed
from wisp_gym.evaluation.versions import versions

LOG_STEPS = 2048
"""Curves get a point about every so many decisions, or every rollout where that is longer."""


@dataclass(frozen=True)
class TrainingRun:
    """What a training run is made from.

    :param settings: the agent's settings
    :param scenario: name or path
    :param overrides: changes to the scenario as "key=value"
    :param seed: of the weights, the sampled actions and the training worlds; not negative
    :param folder: for the model, the curves and what `resume` needs; made if it is missing
    :param table_worlds: worlds of the closing table
    :param resume: go on from the folder's checkpoint, or from the start where it has none yet
    :param trained: only the closing table is missing
    """

    settings: AnySettings
    scenario: str
    overrides: tuple[str, ...]
    seed: int
    folder: Path
    table_worlds: int = 0
    resume: bool = False
    trained: bool = False

    def comparison(self) -> str:
        """Return the command that compares the model with WISP where it was trained."""
        words = ["evaluate.py", "--policy", "wisp:best", str(self.folder), "--scenario", self.scenario]
        words += [word for change in self.overrides for word in ("--set", change)]
        return shlex.join(words)

    def record(self, complete: bool = False) -> RunRecord:
        """Return what run.json says.

        :param complete: whether training ran to its end
        """
        return RunRecord(
            scenario=self.scenario,
            overrides=self.overrides,
            scenario_sha256=scenarios.load(self.scenario, self.overrides).digest(),
            seed=self.seed,
            settings=self.settings,
            table_worlds=self.table_worlds,
            complete=complete,
        )


@dataclass(frozen=True)
class TrainingResult:
    """What came of it.

    :param timesteps: decisions learned from
    :param complete: False where the user ended it early
    :param seconds: wall-clock time of the learning
    """

    timesteps: int
    complete: bool
    seconds: float


def resumed(folder: Path, table_worlds: int | None = None) -> TrainingRun:
    """Return the run that a folder holds, to be gone on with.

    :param folder: the run's
    :param table_worlds: of the closing table, where they are to differ from the run's own
    :raises InputError: it holds no run, a complete one, or one whose scenario has changed since
    """
    record = run_record.read(folder)
    check_curves(folder)
    run = TrainingRun(
        record.settings,
        record.scenario,
        record.overrides,
        record.seed,
        folder,
        record.table_worlds if table_worlds is None else table_worlds,
        resume=True,
        trained=record.complete,
    )
    if run.trained and (run.table_worlds == 0 or unsealed(folder / VALIDATION) is None):
        drop_checkpoint(folder)  # of a run killed between its last two steps
        raise _complete(run)
    if run.record().scenario_sha256 != record.scenario_sha256:
        raise InputError(f"--resume {folder}: scenario {run.scenario} has changed since the run began")
    return run


def train(
    run: TrainingRun, tell: Callable[[int], None] = lambda done: None, interrupt: Interrupt | None = None
) -> TrainingResult:
    """Train an agent and save the model, also when the user ends it early with Ctrl-C.

    The same run on the same machine writes the same bytes, interrupted or not. The caller holds the folder.

    :param run: what to train
    :param tell: takes the decisions made so far, now and then
    :param interrupt: asked between two updates whether to stop
    :raises InputError: training diverged, or the checkpoint cannot be gone on with
    :raises OSError: a file cannot be written; the last checkpoint is still there
    """
    settings = run.settings
    record = run_record.read(run.folder) if run.resume else run.record()
    if record.complete:  # by another process, since it was decided to go on
        raise _complete(run)
    state = checkpoint.load(run.folder) if run.resume else None
    if state is not None and state.run != record.digest():
        raise InputError(f"--resume {run.folder}: {CHECKPOINT} belongs to another run")
    environments = make_environments(settings, run.scenario, run.overrides, run.seed)
    try:
        learner = learners.build(settings, environments, run.seed)
        if state is None:
            with cleared(run.folder):
                run_record.write(run.folder, record)
        else:
            checkpoint.put_back(state, learner)
        validation = _validation(run, () if state is None else state.rows)
        learners.write_curves(learner, run.folder / CURVES)
        boundary = Boundary(
            lambda: checkpoint.save(
                run.folder, checkpoint.take(learner, record.digest(), validation.rows if validation else ())
            ),
            settings.checkpoint_every,
            interrupt or Interrupt(()),
            validation,
        )
        result = _learn(learner, settings, boundary, tell)
    finally:
        environments.close()
    check_there(run.folder)
    shutil.rmtree(run.folder / VALIDATION, ignore_errors=True)  # it judged the model replaced here
    model_file.save(run.folder, learners.tensors(learner), _record(run, result, environments))
    if result.complete:
        run_record.write(run.folder, record.model_copy(update={"complete": True}))
        drop_checkpoint(run.folder)
    return result


def _complete(run: TrainingRun) -> InputError:
    """Return the error for a run that there is nothing left to do for."""
    return InputError(f"--resume {run.folder}: the run is complete; {run.comparison()}")


def _validation(run: TrainingRun, rows: tuple[ValidationRow, ...]) -> Validation | None:
    """Return what judges the agent during training, with the rows of the run's earlier part."""
    if run.settings.validation_every == 0:
        return None
    scenario = scenarios.load(run.scenario, run.overrides)
    return Validation(scenario, run.settings, run.folder, rows)


def _learn(
    learner: OnPolicyAlgorithm, settings: AgentSettings, boundary: Boundary, tell: Callable[[int], None]
) -> TrainingResult:
    began_s = time.perf_counter()
    callbacks: list[BaseCallback] = [boundary, TrainingCurves(), ElapsedTimeDiscount(), Report(tell)]
    rollout = settings.steps_per_environment * settings.environments
    try:
        # Counting on from the steps already made, not resetting the environments where they are under way.
        learner.learn(
            settings.timesteps - learner.num_timesteps,
            callback=CallbackList(callbacks),
            reset_num_timesteps=False,
            log_interval=max(1, min(LOG_STEPS, settings.timesteps // 8) // rollout),
        )
    except ValueError as error:
        # torch refuses to sample from logits that are not finite.
        if "invalid values" not in str(error):
            raise
        raise InputError("training diverged: try a lower learning_rate") from error
    finally:
        learner.logger.close()
    return TrainingResult(boundary.reached, not boundary.stopped, time.perf_counter() - began_s)


def _record(run: TrainingRun, result: TrainingResult, environments: VecEnv) -> ModelRecord:
    (observation_size,) = environments.observation_space.shape or ()
    action_space = cast(MultiDiscrete, environments.action_space)
    packages = {name: version(name) for name in ("stable-baselines3", "sb3-contrib")}
    return ModelRecord(
        environment=ENVIRONMENT_ID,
        observation_size=observation_size,
        action_counts=tuple(int(count) for count in action_space.nvec),
        scenario=run.scenario,
        overrides=run.overrides,
        seed=run.seed,
        timesteps=result.timesteps,
        complete=result.complete,
        settings=run.settings,
        versions=versions() | packages,
    )
