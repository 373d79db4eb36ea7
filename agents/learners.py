"""PPO and A2C from stable-baselines3 and MaskablePPO from sb3-contrib, built from the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv

from agents.curves_file import CurvesFile
from agents.elapsed_time import ElapsedTimeRolloutBuffer, MaskableElapsedTimeRolloutBuffer
from agents.network import Floats
from agents.settings import A2CSettings, AgentSettings, ProximalSettings
from wisp_gym.envs import wisp_action
from wisp_gym.envs.action import SIZES

LEARNERS: dict[str, type[OnPolicyAlgorithm]] = {"ppo": PPO, "a2c": A2C, "maskable_ppo": MaskablePPO}


def build(settings: AgentSettings, environments: VecEnv, seed: int) -> OnPolicyAlgorithm:
    """Return an untrained learner whose weights and later choices follow from the seed.

    Sets torch's thread count and the global generators of Python, NumPy and torch.

    :param settings: the agent's settings
    :param environments: as many copies as `settings.environments`
    :param seed: of the weights and of the sampled actions; the environments keep their own seeds
    """
    torch.set_num_threads(settings.threads)
    # The learner's own `seed` would also reseed the environments, which name their worlds themselves.
    set_random_seed(seed)
    learner = LEARNERS[settings.kind](
        "MlpPolicy",
        environments,
        learning_rate=settings.learning_rate,
        n_steps=settings.steps_per_environment,
        gamma=1.0,  # unused: the buffer discounts by elapsed time
        gae_lambda=settings.gae_lambda,
        ent_coef=settings.entropy_coefficient,
        vf_coef=settings.value_coefficient,
        max_grad_norm=settings.max_gradient_norm,
        policy_kwargs={"net_arch": list(settings.hidden), "activation_fn": torch.nn.Tanh},
        device="cpu",
        **_own(settings),
    )
    learner.set_logger(Logger(None, []))
    _lean_towards_wisp(learner, settings.wisp_prior)
    return learner


def _lean_towards_wisp(learner: OnPolicyAlgorithm, logits: float) -> None:
    """Make WISP's action the likelier one of a fresh actor, whatever it observes.

    :param logits: added to the choice of every component that is WISP's
    """
    starts = np.concatenate([[0], np.cumsum(SIZES)[:-1]])
    if logits and learner.action_space.shape == (len(SIZES),):
        actor: Any = learner.policy.action_net
        with torch.no_grad():
            actor.bias[torch.as_tensor(starts + wisp_action())] += logits


def _own(settings: AgentSettings) -> dict[str, Any]:
    """Return the arguments that only this learner takes."""
    if isinstance(settings, ProximalSettings):
        buffer = MaskableElapsedTimeRolloutBuffer if settings.masked else ElapsedTimeRolloutBuffer
        return {
            "rollout_buffer_class": buffer,
            "batch_size": settings.batch_size,
            "n_epochs": settings.epochs,
            "clip_range": settings.clip_range,
        }
    assert isinstance(settings, A2CSettings)
    return {"rollout_buffer_class": ElapsedTimeRolloutBuffer}


def write_curves(learner: OnPolicyAlgorithm, folder: Path) -> None:
    """Let a learner write its curves to tensorboard; what an interrupted run drew past this point is hidden.

    :param learner: at the number of steps from which it goes on
    :param folder: for tensorboard's files
    """
    purge = learner.num_timesteps + 1 if learner.num_timesteps else None
    learner.logger.output_formats.append(CurvesFile(folder, purge))


def tensors(learner: OnPolicyAlgorithm) -> dict[str, Floats]:
    """Return copies of the learner's weights by name, actor and critic."""
    state = learner.policy.state_dict()
    return {name: np.array(tensor.cpu().numpy(), dtype=np.float32) for name, tensor in state.items()}
