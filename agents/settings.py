"""What an agent is trained with: read from configs/agent/NAME.yaml, checked, and kept in the model file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from wisp_gym._validation import Checked, build
from wisp_gym._yaml import parse, read_mapping
from wisp_gym.errors import InputError, unknown

CONFIG_FOLDER = Path(__file__).resolve().parent.parent / "configs" / "agent"

Width = Annotated[int, Field(ge=1, le=4096)]


class AgentSettings(Checked):
    """What every run depends on beside scenario, seed and code; configs/agent/*.yaml explain each."""

    kind: str
    timesteps: Annotated[int, Field(ge=1, le=10**12)]
    environments: Annotated[int, Field(ge=1, le=256)]
    rollout_steps: Annotated[int, Field(ge=2, le=1_048_576)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    gae_lambda: Annotated[float, Field(ge=0, le=1)]
    entropy_coefficient: Annotated[float, Field(ge=0, le=10)]
    value_coefficient: Annotated[float, Field(ge=0, le=100)]
    max_gradient_norm: Annotated[float, Field(gt=0, le=1e6)]
    hidden: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)]
    reward: Literal["goodput", "attainment", "log_utility"]
    control: Literal["joint", "draft", "batch"]
    threads: Annotated[int, Field(ge=1, le=1024)]
    # What follows has defaults, so that older models can be read.
    hold_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    tau_s: Annotated[float, Field(ge=0.001, le=1e6)] = 10.0
    wisp_prior: Annotated[float, Field(ge=0, le=20)] = 0.0
    # These leave the weights as they are.
    validation_every: Annotated[int, Field(ge=0, le=10**12)] = 50_000
    validation_worlds: Annotated[int, Field(ge=1, le=1000)] = 3
    validation_s: Annotated[float, Field(gt=0, le=1e6)] = 120.0
    checkpoint_every: Annotated[int, Field(ge=0, le=10**12)] = 50_000

    @property
    def steps_per_environment(self) -> int:
        """Decisions per copy between two updates: the fewest that reach `rollout_steps`."""
        return max(1, -(-self.rollout_steps // self.environments))

    @property
    def masked(self) -> bool:
        """Whether the actor is shown which actions are allowed."""
        return False


class ProximalSettings(AgentSettings):
    """Settings of PPO, with or without masks."""

    kind: Literal["ppo", "maskable_ppo"]
    batch_size: Annotated[int, Field(ge=2, le=1_048_576)]
    epochs: Annotated[int, Field(ge=1, le=100)]
    clip_range: Annotated[float, Field(gt=0, le=1)]

    @property
    def steps_per_environment(self) -> int:
        """Decisions per copy between two updates: the fewest that reach `rollout_steps` in whole batches."""
        unit = self.batch_size // math.gcd(self.batch_size, self.environments)
        return -(-super().steps_per_environment // unit) * unit

    @property
    def masked(self) -> bool:
        """Whether the actor is shown which actions are allowed."""
        return self.kind == "maskable_ppo"


class A2CSettings(AgentSettings):
    """Settings of A2C: one gradient step on each rollout."""

    kind: Literal["a2c"]


AnySettings = ProximalSettings | A2CSettings

Settings = Annotated[AnySettings, Field(discriminator="kind")]
"""What a file of settings may hold."""

KINDS: Mapping[str, type[ProximalSettings] | type[A2CSettings]] = {
    "ppo": ProximalSettings,
    "a2c": A2CSettings,
    "maskable_ppo": ProximalSettings,
}


def agent_names() -> list[str]:
    """Return the names of the agents that have a configuration."""
    return sorted(path.stem for path in CONFIG_FOLDER.glob("*.yaml"))


def load_settings(name: str = "ppo", overrides: Sequence[str] = ()) -> AnySettings:
    """Read an agent's settings.

    :param name: a name in configs/agent/, or the path of a YAML file
    :param overrides: changes as "key=value", the value in YAML
    :raises InputError: no such agent, a file that is no YAML mapping, an unknown key or a value out of range
    """
    fields = read_mapping(_settings_file(name))
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise unknown(f"agent {name}: kind", str(kind), KINDS)
    for text in overrides:
        key, value = _override(text, KINDS[kind])
        fields[key] = value
    return build(KINDS[kind], fields, f"agent {name}")


def _settings_file(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    if name not in agent_names():
        raise unknown("agent", name, agent_names())
    return CONFIG_FOLDER / f"{name}.yaml"


def _override(text: str, model: type[AgentSettings]) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise InputError(f"--agent-set {text!r}: must be key=value")
    if key not in model.model_fields:
        raise unknown("agent setting", key, model.model_fields)
    return key, parse(value, f"--agent-set {key}")
