"""Every parameter of the reproduction: measured, reported, assumed, chosen or, five at most, calibrated.

Values are read from the scenario and the policies, so that this table cannot disagree with what is run.
Calibrated ones are fitted to the capacity table alone, one set for all systems and classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.paper.policies import resolve, variant
from wisp_gym.errors import InputError
from wisp_gym.scenario import Scenario

Kind = Literal["measured", "reported", "chosen", "calibrated", "assumed"]
MOST_CALIBRATED = 5


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    :param place: a scenario's field as `--set` takes it, or system:half.field of a policy
    :param kind: measured by others; reported by the authors; a number calibrated by us; chosen by us among
        known alternatives with the published table in view; or assumed
    :param why: where the value comes from
    """

    place: str
    kind: Kind
    why: str

    @property
    def of_policy(self) -> bool:
        """Whether it belongs to a policy."""
        return ":" in self.place

    def value(self, scenario: Scenario) -> Any:
        """Return its value in force.

        :raises InputError: there is no such field
        """
        if self.of_policy:
            system, _, path = self.place.partition(":")
            return _enter(vars(resolve(system)), path.split("."), self.place)
        if self.place == "server.kv_tokens":
            return scenario.kv_tokens
        if self.place == "server.noise_cv":
            return scenario.noise_cv
        return _enter(scenario.file.model_dump(mode="json"), self.place.split("."), self.place)

    def changed(self, value: float) -> tuple[list[str], dict[str, str]]:
        """Return what gives it another value: overrides of the scenario, and names of policies by system."""
        if not self.of_policy:
            return [f"{self.place}={value}"], {}
        system, _, path = self.place.partition(":")
        return [], {system: variant(system, **{path.replace(".", "__"): value})}

    def scaled(self, scenario: Scenario, factor: float) -> float:
        """Return its value times a factor; a whole number stays one, and moves by one at least."""
        value = self.value(scenario)
        if not isinstance(value, int):
            return float(f"{factor * value:.6g}")
        step = 1 if factor > 1 else -1
        return max(
            1, max(round(factor * value), value + 1) if step > 0 else min(round(factor * value), value - 1)
        )


def _enter(place: Any, path: list[str], whole: str) -> Any:
    """Return what is at a path of keys, list entries or attributes."""
    for key in path:
        try:
            if isinstance(place, dict):
                place = place[key]
            elif isinstance(place, list):
                place = place[int(key)]
            else:
                place = getattr(place, key)
        except (KeyError, IndexError, ValueError, AttributeError):
            raise InputError(f"parameter {whole}: there is no {key!r}") from None
    return place


PARAMETERS = (
    # the server
    Parameter(
        "server.profile", "measured", "published kernel measurements of this GPU, summed (docs/profiles.md)"
    ),
    Parameter("server.max_batch", "calibrated", "the engine's limit of requests a pass; not published"),
    Parameter(
        "server.kv_tokens",
        "chosen",
        "what 0.9 of the GPU's memory leaves beside the weights (18,986), not a public run's 30,000-37,000",
    ),
    Parameter("server.max_new_tokens", "assumed", "new tokens of a pass; vLLM's default chunk"),
    Parameter("server.block", "calibrated", "block of vLLM's prefix cache: 8, 16 (default) or 32 tokens"),
    Parameter("server.noise_cv", "assumed", "spread of pass times about the formula"),
    # the fleet
    Parameter("fleet.draft", "reported", "the paper's smallest draft"),
    Parameter("fleet.mix", "assumed", "the paper names the device kinds, not their shares"),
    Parameter("fleet.networks", "assumed", "delays are not published; the measured network nearest to 20 ms"),
    Parameter(
        "fleet.allow_infeasible", "assumed", "a device that cannot hold its class alone is drawn again"
    ),
    Parameter(
        "acceptance.profile",
        "measured",
        "rates of this pair (ConfigSpec); what drafts look like off the path is fitted to WISP's 0.425",
    ),
    # what is owed
    Parameter("classes.rates_tps", "reported", "the SLO classes"),
    Parameter("classes.shares", "assumed", "system goodput is taken over classes in equal shares"),
    Parameter("classes.allowance_s", "assumed", "seconds before a session's timeline starts"),
    Parameter("classes.on_time_share", "assumed", "share of a session's tokens that must be on time"),
    Parameter("classes.deadline", "reported", "the paper's budget of a round runs from its beginning"),
    # what is asked
    Parameter("workload.kind", "assumed", "closed loop: a device asks again after its answer"),
    Parameter("workload.prompt_tokens", "assumed", "lengths are not published"),
    Parameter("workload.output_tokens", "assumed", "lengths are not published"),
    Parameter(
        "workload.think_s",
        "chosen",
        "SLED's capacity times rate is the same in all classes: nearly no pause",
    ),
    Parameter(
        "workload.lead_s", "calibrated", "flow control: how far a session may lead its reader; not published"
    ),
    # the policies
    Parameter("wisp:drafter.recall", "reported", "operating point of the stop predictor, 0.801"),
    Parameter("wisp:drafter.caps", "assumed", "longest draft by class; 8 is common"),
    Parameter("wisp:scheduler.margin_s", "calibrated", "safety margin; not published"),
    Parameter("wisp:scheduler.expected", "assumed", "E[accepted]: the fleet's mean of drafts of that length"),
    Parameter(
        "centralized:scheduler.whole_output",
        "chosen",
        "sessions are admitted for their whole output, known ahead; vLLM admits for what they have",
    ),
    Parameter("wisp:scheduler.late", "chosen", "what becomes of late requests: docs/scheduler-alone.md"),
    Parameter(
        "sled:drafter.caps", "assumed", "fixed drafts are reported, their length is ConfigSpec's default"
    ),
    Parameter("sled:scheduler.static_size", "calibrated", "requests its server waits for; not published"),
    Parameter("sled:scheduler.static_limit_s", "assumed", "longest wait for them: about a pass"),
    Parameter("sled:scheduler.padded", "reported", "drafts are padded to the longest (arXiv 2506.09397)"),
)
"""All of them. What a calibrated one does to the result is in the section `sensitivity`."""


def calibrated() -> list[Parameter]:
    """Return the calibrated parameters."""
    return [parameter for parameter in PARAMETERS if parameter.kind == "calibrated"]


def moved() -> list[Parameter]:
    """Return the parameters that the section `sensitivity` moves: the calibrated ones, and the KV memory."""
    return [one for one in PARAMETERS if one.kind == "calibrated" or one.place == "server.kv_tokens"]


def shown(value: Any) -> str:
    """Return a value as a table shows it, a law of lengths by its median and spread."""
    if isinstance(value, dict) and "median" in value:
        return f"median {value['median']:g}, sigma {value['sigma']:g}, {value['min']:g}-{value['max']:g}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return ", ".join(f"{name} {part['share']:g}" for part in value for name in [_name(part)])
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _name(part: dict[str, Any]) -> str:
    """Return the profile's name of a share."""
    return next(str(value) for key, value in part.items() if key != "share")
