"""The spaces a model must have been trained for, without building an environment."""

from __future__ import annotations

from dataclasses import dataclass

ENVIRONMENT_ID = "wisp_gym/EdgeCloud-v0"


@dataclass(frozen=True)
class Spaces:
    """Sizes of an environment's spaces.

    :param observation_size: entries of an observation
    :param action_counts: choices of each action component
    """

    observation_size: int
    action_counts: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.observation_size} observations and actions {list(self.action_counts)}"


def environment_spaces() -> Spaces:
    """Return the spaces of `ENVIRONMENT_ID`, the same in every scenario."""
    from wisp_gym.envs.action import SIZES
    from wisp_gym.envs.features import SIZE

    return Spaces(SIZE, SIZES)
