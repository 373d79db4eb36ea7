"""A server: the time of a pass of a target model on given GPUs, part by part, and the KV memory."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from wisp_gym.profiles.figures import (
    FACTORS,
    TIME_UNITS,
    Cited,
    Figure,
    Name,
    Named,
    Profile,
    Series,
    Table,
    time_figure,
    within,
)

Time = Annotated[Figure, AfterValidator(time_figure)]
Variation = Annotated[Figure, AfterValidator(within(("1",), 0.0, 2.0))]
Rate = Annotated[Figure, AfterValidator(within(("TFLOP/s",), 1e9, 1e18))]
Tokens = Annotated[Figure, AfterValidator(within(("tokens",), 1.0, 1e8))]

LONGEST_PASS_S = 600.0

ATTENTION_EFFICIENCY = 0.5
"""Share of the GPU's peak that prefill attention reaches."""


class PassTable(Series):
    """g(S): the time of one pass without attention, by the sum S of its new tokens.

    sum_new: the S of each value.
    step_at: tokens at which a staircase steps up: from there on the time is that of the next S in the table,
        where a straight line between neighbours would hide the step.
    """

    sum_new: tuple[int, ...] = Field(min_length=2)
    step_at: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> PassTable:
        if len(self.sum_new) != len(self.values):
            raise ValueError(
                f"sum_new has {len(self.sum_new)} entries, values {len(self.values)}: must be equal"
            )
        if self.sum_new[0] != 1 or any(b <= a for a, b in pairwise(self.sum_new)):
            raise ValueError("sum_new must start at 1 and increase")
        if self.unit not in TIME_UNITS or min(self.values) <= 0:
            raise ValueError("values must be times above 0 (s, ms, us or ns)")
        if max(self.values) * FACTORS[self.unit] > LONGEST_PASS_S:
            raise ValueError(f"values must be at most {LONGEST_PASS_S:g} s")
        if any(not 1 < step < self.sum_new[-1] for step in self.step_at):
            raise ValueError(f"step_at must lie inside 2..{self.sum_new[-1] - 1}")
        return self


class Attention(Cited):
    """Prefill attention: 4 * heads * head_dim * layers FLOPs for each pair of a new and an earlier token."""

    heads: int = Field(ge=1, le=1024)
    head_dim: int = Field(ge=1, le=1024)
    layers: int = Field(ge=1, le=1024)


class ServerProfile(Profile):
    """Pass time and memory of one target model on one set of GPUs.

    Pass time = g(S) + pass_base_s + cached_token_s * C + request_s * B + host_base_s + host_request_s * B,
    with S new tokens, C cached tokens and B requests, plus attention_pair_s for each pair of a new and an
    earlier token of long prefills.
    """

    gpu: Name
    model: Name
    tensor_parallel: int = Field(ge=1, le=64)
    pass_time: PassTable
    pass_base: Time
    cached_token: Time
    request: Time
    host_base: Time
    host_request: Time
    attention: Attention
    gpu_peak: Rate
    kv_memory: Tokens
    noise: Variation
    grid: Table | None = None
    statistics: tuple[Named, ...] = ()

    def pass_curve(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the nodes of g, lines between: new tokens int64[n], ascending; seconds float64[n]."""
        nodes = dict(zip(self.pass_time.sum_new, self.pass_time.values, strict=True))
        for step in self.pass_time.step_at:
            nodes[step] = nodes[min(known for known in self.pass_time.sum_new if known >= step)]
        sum_new = np.array(sorted(nodes), dtype=np.int64)
        seconds = np.array([nodes[int(tokens)] for tokens in sum_new]) * FACTORS[self.pass_time.unit]
        return sum_new, seconds

    @property
    def pass_base_s(self) -> float:
        """Attention's constant part of a pass, seconds."""
        return self.pass_base.si()

    @property
    def cached_token_s(self) -> float:
        """Seconds for each cached token that a pass attends to."""
        return self.cached_token.si()

    @property
    def request_s(self) -> float:
        """Seconds for each request of a pass, on the GPU."""
        return self.request.si()

    @property
    def host_base_s(self) -> float:
        """Seconds of the host for each pass."""
        return self.host_base.si()

    @property
    def host_request_s(self) -> float:
        """Seconds of the host for each request of a pass."""
        return self.host_request.si()

    @property
    def attention_pair_s(self) -> float:
        """Seconds for each pair of a new and an earlier token, at half of the GPUs' peak."""
        flops = 4 * self.attention.heads * self.attention.head_dim * self.attention.layers
        return flops / self.tensor_parallel / (ATTENTION_EFFICIENCY * self.gpu_peak.si())

    @property
    def kv_tokens(self) -> int:
        """Tokens that the KV memory holds."""
        return int(self.kv_memory.value)

    @property
    def noise_cv(self) -> float:
        """Coefficient of variation of a pass's time about the formula."""
        return self.noise.value
