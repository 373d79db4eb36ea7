"""What an agent is trained with: read from configs/agent/NAME.yaml, checked, and kept in the model file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from wisp_gym._validation import Checked, build
from wisp_gym._yaml import parse, read_mapping
from wisp_gym.errors import InputError, unknown

CONFIG_FOLDER = Path(__file__).resolve().parent.parent / "configs" / "agent"

Width = Annotated[int, Field(ge=1, le=4096)]


class AgentSettings(Checked):
    """Every number a run depends on beside scenario, seed and code; configs/agent/ppo.yaml explains each."""

    kind: Literal["ppo"]
    timesteps: Annotated[int, Field(ge=1, le=10**12)]
    environments: Annotated[int, Field(ge=1, le=256)]
    rollout_steps: Annotated[int, Field(ge=2, le=1_048_576)]
    batch_size: Annotated[int, Field(ge=2, le=1_048_576)]
    epochs: Annotated[int, Field(ge=1, le=100)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    gae_lambda: Annotated[float, Field(ge=0, le=1)]
    clip_range: Annotated[float, Field(gt=0, le=1)]
    entropy_coefficient: Annotated[float, Field(ge=0, le=10)]
    value_coefficient: Annotated[float, Field(ge=0, le=100)]
    max_gradient_norm: Annotated[float, Field(gt=0, le=1e6)]
    hidden: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)]
    reward: Literal["goodput", "attainment", "log_utility"]
    control: Literal["joint", "draft", "batch"]
    threads: Annotated[int, Field(ge=1, le=1024)]

    @property
    def steps_per_environment(self) -> int:
        """Decisions per copy between two updates: the fewest that reach `rollout_steps` in whole batches."""
        unit = self.batch_size // math.gcd(self.batch_size, self.environments)
        wanted = -(-self.rollout_steps // self.environments)
        return -(-wanted // unit) * unit


def agent_names() -> list[str]:
    """Return the names of the agents that have a configuration."""
    return sorted(path.stem for path in CONFIG_FOLDER.glob("*.yaml"))


def load_settings(name: str = "ppo", overrides: Sequence[str] = ()) -> AgentSettings:
    """Read an agent's settings.

    :param name: a name in configs/agent/, or the path of a YAML file
    :param overrides: changes as "key=value", the value in YAML
    :raises InputError: no such agent, a file that is no YAML mapping, an unknown key or a value out of range
    """
    fields = read_mapping(_settings_file(name))
    for text in overrides:
        key, value = _override(text)
        fields[key] = value
    return build(AgentSettings, fields, f"agent {name}")


def _settings_file(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    if name not in agent_names():
        raise unknown("agent", name, agent_names())
    return CONFIG_FOLDER / f"{name}.yaml"


def _override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise InputError(f"--agent-set {text!r}: must be key=value")
    if key not in AgentSettings.model_fields:
        raise unknown("agent setting", key, AgentSettings.model_fields)
    return key, parse(value, f"--agent-set {key}")
