"""An edge device: how fast it drafts with which model, what it draws, what a stop decision costs."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from wisp_gym.errors import unknown
from wisp_gym.profiles.figures import Figure, Name, Profile, Sourced, time_figure, within

Time = Annotated[Figure, AfterValidator(time_figure)]
Ratio = Annotated[Figure, AfterValidator(within(("1",), 0.1, 1e4))]
Power = Annotated[Figure, AfterValidator(within(("W",), 1e-3, 1e5))]


class DecodeSpeed(Figure):
    """Tokens per second of one draft model on the device.

    draft: the model.
    quant and runtime: how it was run.
    power_w: what the device drew, if published.
    prefill: tokens per second on the prompt, if published.
    context_tokens: length of the context at which it was measured, if not short.
    """

    draft: Name
    quant: str | None = None
    runtime: str | None = None
    power_w: float | None = Field(default=None, gt=0)
    prefill: float | None = Field(default=None, ge=0.1, le=1e7)
    context_tokens: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _check(self) -> DecodeSpeed:
        if self.unit != "tok/s" or not 0.1 <= self.value <= 1e6:
            raise ValueError("a decode speed must lie in 0.1..1e6 tok/s")
        return self


class Spread(Sourced):
    """Range of the factor by which two devices of one kind differ (runtime, heat, context)."""

    low: float = Field(ge=0.05, le=1)
    high: float = Field(ge=1, le=10)


class DeviceProfile(Profile):
    """Drafting on one kind of device.

    decode: one entry per draft, quantisation and runtime; of several for one draft the first is the one that
        scenarios use.
    prefill_ratio: prompt speed over decode speed, where no entry gives the prompt speed.
    """

    decode: tuple[DecodeSpeed, ...] = Field(min_length=1)
    prefill_ratio: Ratio
    power: Power
    spread: Spread
    stop_check: Time

    def drafts(self) -> list[str]:
        """Return the draft models with a known speed."""
        return sorted({entry.draft for entry in self.decode})

    def _entry(self, draft: str) -> DecodeSpeed:
        for entry in self.decode:
            if entry.draft == draft:
                return entry
        raise unknown(f"draft on device {self.name}", draft, self.drafts())

    def decode_tps(self, draft: str) -> float:
        """Return the drafting speed in tokens per second.

        :raises InputError: where the device has no figure for the draft; the known ones are listed
        """
        return self._entry(draft).value

    def prefill_tps(self, draft: str) -> float:
        """Return the speed on the prompt in tokens per second.

        :raises InputError: where the device has no figure for the draft; the known ones are listed
        """
        entry = self._entry(draft)
        return entry.prefill or entry.value * self.prefill_ratio.value

    @property
    def power_w(self) -> float:
        """Watts drawn while drafting."""
        return self.power.value

    @property
    def speed_spread(self) -> tuple[float, float]:
        """Lowest and highest factor on a single device's speed."""
        return self.spread.low, self.spread.high

    @property
    def stop_check_s(self) -> float:
        """Seconds of one call of a learned stop predictor."""
        return self.stop_check.si()
