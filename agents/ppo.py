"""PPO from stable-baselines3, built from the settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv

from agents.elapsed_time import ElapsedTimeRolloutBuffer
from agents.network import Floats
from agents.settings import AgentSettings


def build(settings: AgentSettings, environments: VecEnv, seed: int, curves: Path | None = None) -> PPO:
    """Return an untrained learner whose weights and later choices follow from the seed.

    Sets torch's thread count and the global generators of Python, NumPy and torch.

    :param settings: the agent's settings
    :param environments: as many copies as `settings.environments`
    :param seed: of the weights and of the sampled actions; the environments keep their own seeds
    :param curves: folder for tensorboard's files; none are written without it
    """
    torch.set_num_threads(settings.threads)
    # The learner's own `seed` would also reseed the environments, which name their worlds themselves.
    set_random_seed(seed)
    learner = PPO(
        "MlpPolicy",
        environments,
        learning_rate=settings.learning_rate,
        n_steps=settings.steps_per_environment,
        batch_size=settings.batch_size,
        n_epochs=settings.epochs,
        gamma=1.0,  # unused: the buffer discounts by elapsed time
        gae_lambda=settings.gae_lambda,
        clip_range=settings.clip_range,
        ent_coef=settings.entropy_coefficient,
        vf_coef=settings.value_coefficient,
        max_grad_norm=settings.max_gradient_norm,
        rollout_buffer_class=ElapsedTimeRolloutBuffer,
        policy_kwargs={"net_arch": list(settings.hidden), "activation_fn": torch.nn.Tanh},
        device="cpu",
    )
    learner.set_logger(Logger(None, [TensorBoardOutputFormat(str(curves))] if curves else []))
    return learner


def tensors(learner: PPO) -> dict[str, Floats]:
    """Return copies of the learner's weights by name, actor and critic."""
    state = learner.policy.state_dict()
    return {name: np.array(tensor.cpu().numpy(), dtype=np.float32) for name, tensor in state.items()}
