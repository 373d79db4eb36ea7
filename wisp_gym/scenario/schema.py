"""What a scenario file may say, key by key, and which combinations are impossible."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import NormalDist
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from wisp_gym._validation import Checked, printable

Name = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(printable)]
ProfileName = Annotated[str, Field(min_length=1, max_length=1000)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0.001, le=1000)]

MAX_DEVICES = 65_536
MAX_ARRIVALS = 1_000_000
"""Most devices of a closed loop, and of an open loop, in which each arrival has its own."""

DeviceCount = Annotated[int, Field(ge=1, le=MAX_DEVICES)]
Shift = Annotated[float, Field(ge=-5, le=5)]

MAX_TOKENS = 100_000
"""Longest prompt or output of a law, tokens."""

Point = tuple[Annotated[float, Field(ge=0, le=100_000)], Annotated[float, Field(ge=0, le=MAX_DEVICES)]]
"""A time, s, and a number of sessions."""


def _check_shares(shares: tuple[float, ...]) -> None:
    if abs(math.fsum(shares) - 1) > 1e-6:
        raise ValueError(f"shares {list(shares)} sum to {math.fsum(shares):g}, must sum to 1")


def _check_profile(points: tuple[Point, ...]) -> None:
    if len(points) < 2:
        raise ValueError(f"concurrency has {len(points)} points [time s, sessions], must have at least 2")
    if points[0] != (0, 0):
        raise ValueError(
            f"concurrency starts at {list(points[0])}, must start at [0, 0] as a world begins empty"
        )
    for (before, _), (after, _) in pairwise(points):
        if after <= before:
            raise ValueError(f"concurrency: time {after:g} s after {before:g} s: times must increase")
    if max(sessions for _, sessions in points) == 0:
        raise ValueError("concurrency is 0 throughout, must be above 0 somewhere")


class LogNormal(Checked):
    """A log-normal law, clipped to [min, max]. sigma is the logarithm's; 0 makes every draw the median."""

    median: float = Field(ge=0, le=1e9)
    sigma: float = Field(ge=0, le=3)
    min: float = Field(ge=0, le=1e9)
    max: float = Field(ge=0, le=1e9)

    @model_validator(mode="after")
    def _check(self) -> LogNormal:
        if not self.min <= self.median <= self.max:
            raise ValueError(f"min {self.min:g}, median {self.median:g}, max {self.max:g}: must not decrease")
        return self

    @property
    def mean(self) -> float:
        """Mean of the clipped law, in the unit of the median."""
        if self.sigma == 0 or self.median == 0:
            return self.median
        normal, sigma = NormalDist(), self.sigma
        middle = math.log(self.median)
        low = (math.log(self.min) - middle) / sigma if self.min > 0 else -math.inf
        high = (math.log(self.max) - middle) / sigma
        whole = self.median * math.exp(sigma**2 / 2)
        inside = whole * (normal.cdf(high - sigma) - normal.cdf(low - sigma))
        return inside + self.min * normal.cdf(low) + self.max * normal.cdf(-high)


class Server(Checked):
    """The server and its engine's limits, the same for every controller.

    profile: name or YAML file.
    max_batch: requests in one pass.
    max_new_tokens: new tokens in one pass.
    kv_tokens: tokens that the KV memory holds, None for the profile's.
    block: tokens in a block of the prefix cache (1: sessions stay pinned; 16: a paged cache).
    noise_cv: coefficient of variation of pass times, None for the profile's.
    estimator: JSON file with c0..c3 of the verification time estimator that schedulers plan with, None
        for one fitted to the profile.
    """

    profile: ProfileName
    max_batch: int = Field(ge=1, le=1024)
    max_new_tokens: int = Field(default=2048, ge=64, le=2048)
    kv_tokens: int | None = Field(default=None, ge=64, le=100_000_000)
    block: int = Field(default=1, ge=1, le=1024)
    noise_cv: float | None = Field(default=None, ge=0, le=1)
    estimator: ProfileName | None = None


class DeviceShare(Checked):
    """A device profile and its share of the fleet."""

    device: ProfileName
    share: Share


class NetworkShare(Checked):
    """A network profile and its share of the fleet."""

    network: ProfileName
    share: Share


class Fleet(Checked):
    """The devices. In an open loop each arrival has its own device.

    devices: in the fleet; of a trace, the most arrivals taken; of an arrival profile, the most there may be.
    draft: the draft model.
    mix: device kinds and their shares.
    networks: the same, drawn independently of the kinds.
    allow_infeasible: also draw devices that could not hold their class's rate if they had the server to
        themselves.
    """

    devices: int = Field(ge=1, le=MAX_ARRIVALS)
    draft: Name
    mix: tuple[DeviceShare, ...] = Field(min_length=1, max_length=16)
    networks: tuple[NetworkShare, ...] = Field(min_length=1, max_length=16)
    allow_infeasible: bool = False

    @model_validator(mode="after")
    def _check(self) -> Fleet:
        kinds = {
            "mix": [part.device for part in self.mix],
            "networks": [part.network for part in self.networks],
        }
        for field, names in kinds.items():
            if len(set(names)) < len(names):
                raise ValueError(f"{field} = {names}: a name comes twice, must come once")
        _check_shares(tuple(part.share for part in self.mix))
        _check_shares(tuple(part.share for part in self.networks))
        return self


class Classes(Checked):
    """SLO classes, loosest first.

    rates_tps: tokens per second that a session must hold.
    shares: of the fleet, or of the arrivals.
    allowance_s: seconds before a session's timeline starts.
    on_time_share: share of a session's tokens that must be on time.
    deadline: how WISP's scheduler reads a deadline, from the round's start or from the session's timeline.
    """

    rates_tps: tuple[Rate, ...] = Field(default=(2.0, 4.0, 6.0, 8.0), min_length=1, max_length=4)
    shares: tuple[Share, ...] = (0.25, 0.25, 0.25, 0.25)
    allowance_s: float = Field(default=1.0, ge=0, le=3600)
    on_time_share: float = Field(default=0.95, gt=0, le=1)
    deadline: Literal["round", "timeline"] = "round"

    @model_validator(mode="after")
    def _check(self) -> Classes:
        if len(self.shares) != len(self.rates_tps):
            raise ValueError(
                f"shares has {len(self.shares)} entries, rates_tps {len(self.rates_tps)}: must be equal"
            )
        if any(b <= a for a, b in pairwise(self.rates_tps)):
            raise ValueError(f"rates_tps {list(self.rates_tps)} must increase")
        _check_shares(self.shares)
        return self

    @property
    def slowest_tps(self) -> float:
        """Rate of the loosest class that has devices, tokens per second."""
        return min(rate for rate, share in zip(self.rates_tps, self.shares, strict=True) if share > 0)


class Workload(Checked):
    """What is asked.

    kind: `closed` (a device asks again some time after its answer is read), `trace` (arrivals and lengths
        from a file) or `arrivals` (Poisson arrivals whose nominal concurrency follows a profile).
    prompt_tokens: law of the prompt's length, tokens (not of a trace).
    output_tokens: law of the output's length, tokens (not of a trace).
    think_s: law of the pause before a device asks again, s (closed loop).
    lead_s: how far a session's tokens may lead its reader, s of reading at the class's rate; further rounds
        wait, and the session keeps its KV memory meanwhile. None: no such flow control.
    trace: the file.
    stretch: factor on its arrival times.
    concurrency: the profile: points [time s, sessions] from [0, 0] on, straight lines between, the last value
        after. Sessions count from arrival for output length / rate, whatever a controller does.
    scale: factor on the profile's sessions.
    """

    kind: Literal["closed", "trace", "arrivals"] = "closed"
    prompt_tokens: LogNormal = LogNormal(median=100, sigma=0.4, min=16, max=400)
    output_tokens: LogNormal = LogNormal(median=120, sigma=0.4, min=16, max=400)
    think_s: LogNormal = LogNormal(median=1.5, sigma=0.5, min=0.2, max=10)
    lead_s: float | None = Field(default=None, ge=0, le=100_000)
    trace: str | None = None
    stretch: float = Field(default=1.0, gt=0, le=1000)
    concurrency: tuple[Point, ...] = Field(default=(), max_length=10_000)
    scale: float = Field(default=1.0, gt=0, le=1000)

    @model_validator(mode="after")
    def _check(self) -> Workload:
        for name, law in (("prompt_tokens", self.prompt_tokens), ("output_tokens", self.output_tokens)):
            if law.min < 1 or law.max > MAX_TOKENS:
                raise ValueError(
                    f"{name}: min {law.min:g}, max {law.max:g}: must lie in 1..{MAX_TOKENS} tokens"
                )
        if self.kind == "arrivals":
            _check_profile(self.concurrency)
        return self


Weight = Annotated[float, Field(ge=0, le=1e6)]


class Ranges(Checked):
    """What each world draws for itself between two bounds, from its seed; null leaves the fixed value.

    devices: size of the fleet, every whole number equally likely.
    class_weights, mix_weights, network_weights: a weight per class, device kind and network, in their order;
        shares are the weights over their sum.
    acceptance_shift: logits added to the logit of agreement at every position: how hard the text is to draft.
    """

    devices: tuple[DeviceCount, DeviceCount] | None = None
    class_weights: tuple[tuple[Weight, Weight], ...] | None = None
    mix_weights: tuple[tuple[Weight, Weight], ...] | None = None
    network_weights: tuple[tuple[Weight, Weight], ...] | None = None
    acceptance_shift: tuple[Shift, Shift] | None = None

    @model_validator(mode="after")
    def _check(self) -> Ranges:
        for name, bounds in (("devices", self.devices), ("acceptance_shift", self.acceptance_shift)):
            if bounds is not None and bounds[0] > bounds[1]:
                raise ValueError(f"{name} = {list(bounds)}: must be [least, greatest]")
        for name in ("class_weights", "mix_weights", "network_weights"):
            weights = getattr(self, name)
            for low, high in weights or ():
                if low > high:
                    raise ValueError(f"{name}: [{low:g}, {high:g}] must be [least, greatest]")
            if weights is not None and not any(low > 0 for low, _ in weights):
                raise ValueError(f"{name} = {[list(pair) for pair in weights]}: one must be above 0 at least")
        return self

    def given(self) -> bool:
        """Return whether a world draws anything for itself."""
        return any(value is not None for value in vars(self).values())


class Acceptance(Checked):
    """How often the draft agrees with the target.

    profile: of the draft and target pair.
    """

    profile: ProfileName


class ScenarioFile(Checked):
    """A scenario as written in its file.

    ranges: what each world draws for itself.
    horizon_s: simulated seconds.
    warmup_s: seconds that are not counted, None for two cycles of the slowest class.
    episode_s: simulated seconds of one episode of an environment.
    """

    name: Name
    description: str = ""
    server: Server
    fleet: Fleet
    classes: Classes = Classes()
    workload: Workload = Workload()
    acceptance: Acceptance
    ranges: Ranges = Ranges()
    horizon_s: float = Field(gt=0, le=1_000_000)
    warmup_s: float | None = Field(default=None, ge=0)
    episode_s: float = Field(default=60.0, gt=0, le=1_000_000)

    @model_validator(mode="after")
    def _check(self) -> ScenarioFile:
        ranges, fleet = self.ranges, self.fleet
        if self.workload.kind == "closed" and fleet.devices > MAX_DEVICES:
            raise ValueError(
                f"fleet.devices = {fleet.devices}: must be less than or equal to {MAX_DEVICES} (closed loop)"
            )
        counts = {
            "class_weights": len(self.classes.rates_tps),
            "mix_weights": len(fleet.mix),
            "network_weights": len(fleet.networks),
        }
        for name, count in counts.items():
            weights = getattr(ranges, name)
            if weights is not None and len(weights) != count:
                raise ValueError(f"ranges.{name} has {len(weights)} entries: must have {count}")
        for (_, high), share in zip(ranges.class_weights or (), self.classes.shares, strict=False):
            if high > 0 and share == 0:
                raise ValueError("ranges.class_weights: must be [0, 0] for a class whose share is 0")
        if ranges.devices is not None and self.workload.kind != "closed":
            raise ValueError("ranges.devices: must be null where arrivals bring their own devices")
        if ranges.class_weights is not None and self.workload.kind == "arrivals":
            raise ValueError(
                "ranges.class_weights: must be null with an arrival profile, whose rate rests on it"
            )
        return self
