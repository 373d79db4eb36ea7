"""A scenario that is ready to be simulated: its fields, the profiles it names, the requests of its trace."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wisp_gym.profiles import (
    AcceptanceProfile,
    DeviceProfile,
    Estimator,
    NetworkProfile,
    Predictor,
    ServerProfile,
    digest,
)
from wisp_gym.scenario.schema import Acceptance, Classes, Fleet, Ranges, ScenarioFile, Server, Workload
from wisp_gym.scenario.trace import Requests


@dataclass(frozen=True)
class TraceFacts:
    """What is known of a trace beside its requests.

    path: of the file.
    sha256: of its content.
    requests: rows with output.
    no_output: rows without, left out.
    refused: rows that can never fit into the KV memory.
    """

    path: str
    sha256: str
    requests: int
    no_output: int
    refused: int


@dataclass(frozen=True)
class Profiles:
    """The profiles that a scenario names, in the order of `fleet.mix` and `fleet.networks`, and its
    estimator."""

    server: ServerProfile
    devices: tuple[DeviceProfile, ...]
    networks: tuple[NetworkProfile, ...]
    acceptance: AcceptanceProfile
    predictor: Predictor
    estimator: Estimator | None = None


@dataclass(frozen=True, eq=False)
class Scenario:
    """A checked scenario; made by `wisp_gym.scenario.load`, equal to another when its digest is.

    file: the fields as written, overrides applied, paths resolved.
    profiles: what it names.
    requests: of the trace that arrive before the horizon and fit, times stretched; None without a trace.
    refused: requests before the horizon that can never fit into the KV memory.
    trace: facts on the trace; None without one.
    folder: of the scenario's file.
    """

    file: ScenarioFile
    profiles: Profiles
    requests: Requests | None = None
    refused: int = 0
    trace: TraceFacts | None = None
    folder: Path | None = None

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.file.name

    @property
    def description(self) -> str:
        """A sentence on the scenario."""
        return self.file.description

    @property
    def server(self) -> Server:
        """Server profile and engine limits as written."""
        return self.file.server

    @property
    def fleet(self) -> Fleet:
        """Devices, draft, mix and networks as written."""
        return self.file.fleet

    @property
    def classes(self) -> Classes:
        """SLO classes."""
        return self.file.classes

    @property
    def workload(self) -> Workload:
        """What is asked."""
        return self.file.workload

    @property
    def acceptance(self) -> Acceptance:
        """The acceptance profile's name."""
        return self.file.acceptance

    @property
    def ranges(self) -> Ranges:
        """What each world draws for itself."""
        return self.file.ranges

    @property
    def horizon_s(self) -> float:
        """Simulated seconds."""
        return self.file.horizon_s

    @property
    def episode_s(self) -> float:
        """Simulated seconds of an environment's episode."""
        return self.file.episode_s

    @property
    def kv_tokens(self) -> int:
        """Tokens that the KV memory holds."""
        return self.profiles.server.kv_tokens if self.server.kv_tokens is None else self.server.kv_tokens

    @property
    def noise_cv(self) -> float:
        """Coefficient of variation of pass times."""
        return self.profiles.server.noise_cv if self.server.noise_cv is None else self.server.noise_cv

    @property
    def devices(self) -> int:
        """Devices that take part: of a trace, the requests before the horizon; of a profile, the most there
        may be."""
        return self.fleet.devices if self.requests is None else len(self.requests)

    @property
    def open_loop(self) -> bool:
        """Whether sessions begin when they do, each on its own device, whatever became of those before."""
        return self.workload.kind != "closed"

    def cycle_s(self) -> float:
        """Return the slowest class's session cycle, s: mean output at its rate, and the mean pause (closed
        loop)."""
        if self.requests is not None:
            return float(self.requests.output_tokens.mean()) / self.classes.slowest_tps
        pause_s = 0.0 if self.open_loop else self.workload.think_s.mean
        return self.workload.output_tokens.mean / self.classes.slowest_tps + pause_s

    def warmup(self) -> float:
        """Return the seconds at the start that are not counted: `warmup_s` or two cycles (slowest class)."""
        return 2 * self.cycle_s() if self.file.warmup_s is None else self.file.warmup_s

    def cycles(self) -> float:
        """Return how many cycles of the slowest class the horizon holds; ten make a run that counts."""
        return self.horizon_s / self.cycle_s()

    def to_dict(self) -> dict[str, Any]:
        """Return what decides a run as JSON-able data: fields with defaults filled in, profiles, trace."""
        fields = self.file.model_dump(mode="json")
        fields["server"] |= {"kv_tokens": self.kv_tokens, "noise_cv": self.noise_cv}
        fields["warmup_s"] = self.warmup()
        used = self.profiles
        listed = (used.server, *used.devices, *used.networks, used.acceptance)
        fields["profiles"] = [{"name": profile.name, "sha256": digest(profile)} for profile in listed]
        fields["profiles"] += [{"name": used.predictor.name, "sha256": used.predictor.sha256}]
        fields["estimator_ns"] = None if used.estimator is None else used.estimator.coefficients_ns()
        fields["refused"] = self.refused
        fields["trace"] = None if self.trace is None else vars(self.trace).copy()
        return fields

    def digest(self) -> str:
        """Return the SHA-256 (hexadecimal) of what decides a run; names and places of files do not."""
        known: str | None = self.__dict__.get("_digest")
        if known is None:
            known = _digest(self.to_dict())
            object.__setattr__(self, "_digest", known)
        return known

    def __hash__(self) -> int:
        return hash(self.digest())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scenario) and self.digest() == other.digest()


def _without(fields: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != key}


def _digest(fields: dict[str, Any]) -> str:
    """Return the digest; a file counts by its content, listed under "profiles" and "trace"."""
    fields = {key: value for key, value in fields.items() if key not in ("name", "description", "acceptance")}
    fields["workload"] = _without(fields["workload"], "trace")
    fields["server"] = _without(_without(fields["server"], "profile"), "estimator")
    mix, networks = fields["fleet"]["mix"], fields["fleet"]["networks"]
    fields["fleet"] = fields["fleet"] | {
        "mix": [part["share"] for part in mix],
        "networks": [part["share"] for part in networks],
    }
    if fields["trace"] is not None:
        fields["trace"] = fields["trace"]["sha256"]
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
