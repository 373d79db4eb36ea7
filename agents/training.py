"""One training run, from settings to a model on disk."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import cast

from gymnasium.spaces import MultiDiscrete
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.vec_env import VecEnv

from agents import model_file, ppo
from agents.callbacks import TrainingCurves
from agents.elapsed_time import ElapsedTimeDiscount
from agents.environment import make_environments
from agents.files import CURVES, VALIDATION
from agents.model_file import ModelRecord
from agents.progress import StopOnInterrupt, TrainingProgress
from agents.settings import AgentSettings
from agents.spaces import ENVIRONMENT_ID
from wisp_gym.errors import InputError
from wisp_gym.evaluation.manifest import versions


@dataclass(frozen=True)
class TrainingRun:
    """What a training run is made from.

    :param settings: the agent's settings
    :param scenario: name or path
    :param overrides: changes to the scenario as "key=value"
    :param seed: of the weights, the sampled actions and the training worlds; not negative
    :param folder: for the model and the curves; made if it is missing
    """

    settings: AgentSettings
    scenario: str
    overrides: tuple[str, ...]
    seed: int
    folder: Path


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


def train(run: TrainingRun) -> TrainingResult:
    """Train an agent and save the model, also when the user ends it early with Ctrl-C.

    The same run on the same machine writes the same bytes.

    :raises InputError: training diverged
    """
    environments = make_environments(run.settings, run.scenario, run.overrides, run.seed)
    try:
        learner = ppo.build(run.settings, environments, run.seed, run.folder / CURVES)
        result = _learn(learner, run.settings.timesteps)
    finally:
        environments.close()
    record = _record(run, result, environments)
    shutil.rmtree(run.folder / VALIDATION, ignore_errors=True)  # it judged the model replaced here
    model_file.save(run.folder, ppo.tensors(learner), record)
    return result


def _learn(learner: PPO, timesteps: int) -> TrainingResult:
    began_s = time.perf_counter()
    bar = TrainingProgress(timesteps)
    with StopOnInterrupt() as stop:
        callbacks: list[BaseCallback] = [ElapsedTimeDiscount(), TrainingCurves(), bar, stop]
        try:
            learner.learn(timesteps, callback=CallbackList(callbacks))
        except ValueError as error:
            # torch refuses to sample from logits that are not finite.
            if "invalid values" not in str(error):
                raise
            raise InputError("training diverged: try a lower learning_rate") from error
        finally:
            bar.close()
            learner.logger.close()
    rollout = learner.n_steps * learner.n_envs
    learned_from = learner.num_timesteps // rollout * rollout  # a rollout cut short led to no update
    return TrainingResult(learned_from, not stop.pressed, time.perf_counter() - began_s)


def _record(run: TrainingRun, result: TrainingResult, environments: VecEnv) -> ModelRecord:
    (observation_size,) = environments.observation_space.shape or ()
    action_space = cast(MultiDiscrete, environments.action_space)
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
        versions=versions() | {"stable-baselines3": version("stable-baselines3")},
    )
