"""What a world holds: one documented record type per entity, and the arrays that the compiled pipeline reads.

Times are int64 nanoseconds from the start of the world; durations were rounded once, where they were made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from wisp_gym.scenario import Scenario

GROUPS = 4
"""SLO classes at most; a scenario with fewer leaves the last ones empty. A class is called a group in the
code."""

SLOT_NS = 50_000_000
"""A link's delay is constant within a slot of 50 ms, the sampling interval of the measured round trips."""

CELLS = 4096
"""Cells of a quantile table: a draw picks a cell by 12 random bits."""

NO_LEAD_NS = 2**60
"""A lead that no session reaches."""

DEVICE = np.dtype(
    [
        ("group", "i8"),  # SLO class, 0 the loosest
        ("draft_ns", "i8"),  # time to draft one token
        ("check_ns", "i8"),  # time of one call of the stop predictor
        ("prefill_ns", "i8"),  # time to prefill one prompt token on the device
        ("network", "i8"),  # row of the link tables
        ("back_ns", "i8"),  # median one-way delay to the device, what the server plans with
        ("first_session", "i8"),  # its first row in `sessions`
        ("sessions", "i8"),  # how many rows follow
        ("kind", "i8"),  # row of the scenario's device mix
        ("power_w", "f8"),  # while drafting or prefilling
        ("speed", "f8"),  # its draft speed over its profile's
    ]
)

SESSION = np.dtype(
    [
        ("device", "i8"),
        ("offset", "i8"),  # where its token stream begins in the stream arrays, -1 not drawn
        ("prompt", "i8"),  # tokens
        ("length", "i8"),  # output tokens
        ("think_ns", "i8"),  # pause before the next session of the device
        ("start_ns", "i8"),  # given start (first session, open loop), or -1: an outcome
    ]
)

GROUP = np.dtype(
    [
        ("period_ns", "i8"),  # 1 / rate
        ("lead_ns", "i8"),  # how far tokens may lead their reader; NO_LEAD_NS: any distance
        ("allowance_ns", "i8"),  # token j is due at start + allowance + j * period
        ("rate_tps", "f8"),
        ("on_time_share", "f8"),  # of its tokens, for a session to be on time
        ("devices", "i8"),  # of the class; of an arrival profile, its nominal sessions at the peak
    ]
)

SERVER = np.dtype(
    [
        ("max_batch", "i8"),  # requests in a pass
        ("max_new", "i8"),  # new tokens in a pass
        ("kv_tokens", "i8"),  # tokens the KV memory holds
        ("block", "i8"),  # tokens per KV block: 1 a pinned session, 16 a paged prefix cache
        ("base_ns", "f8"),  # per pass: a0 and the host's share
        ("cached_ns", "f8"),  # per cached token: c
        ("request_ns", "f8"),  # per request: e and the host's share
        ("pair_ns", "f8"),  # per new x attended token of a prefill
    ]
)


class WorldArrays(NamedTuple):
    """The world as the compiled pipeline reads it. Nothing here is ever written after the draw."""

    seed: npt.NDArray[np.uint64]  # (1,) the world seed, for link delays and pass noise
    devices: npt.NDArray[Any]  # (devices,) DEVICE
    sessions: npt.NDArray[Any]  # (sessions,) SESSION
    groups: npt.NDArray[Any]  # (4,) GROUP
    server: npt.NDArray[Any]  # (1,) SERVER
    pass_ns: npt.NDArray[np.float64]  # (max_new + 1,) g(S)
    noise: npt.NDArray[np.float64]  # (4096,) equally likely factors on a pass's time, mean one
    up_ns: npt.NDArray[np.int64]  # (networks, 4096) one-way delay by quantile cell
    down_ns: npt.NDArray[np.int64]  # (networks, 4096) the rest of the same round trip
    refresh: npt.NDArray[np.uint64]  # (networks,) a slot draws anew when its bits are below this
    accepts: npt.NDArray[np.uint8]  # (positions,) does the draft agree with the target here
    expected: npt.NDArray[np.float64]  # (33,) expected accepted tokens of a draft of k, from the profile


class Signals:
    """A field of World that is drawn when it is first read, unless it was given.

    Signals take 32 of a position's 41 bytes, and no compiled rule reads them: it reads scores made of them.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, world: World | None, owner: type) -> Any:
        if world is None:
            return None  # the default
        if vars(world)[self.name] is None:
            from wisp_gym.world.session_streams import whole_signals

            both = whole_signals(world)
            for name, drawn in zip(("signals", "off_signals"), both, strict=True):
                if vars(world)[name] is None:
                    vars(world)[name] = drawn
        return vars(world)[self.name]

    def __set__(self, world: World, value: npt.NDArray[np.float32] | None) -> None:
        vars(world)[self.name] = value


@dataclass(frozen=True, eq=False)
class World:
    """Everything that is drawn before control: fleet, sessions, token streams, link delays, server noise.

    A *streamed* world is one whose token streams are too many to hold: `arrays.accepts` is empty, and each
    simulation draws the streams of the sessions under way (pipeline/stream_pool.py).

    :param scenario: what it was drawn from
    :param seed: the world seed
    :param horizon_ns: where it ends; :param warmup_ns: where counting begins
    :param arrays: what the compiled pipeline reads
    :param refused: requests of a trace that could never fit the KV memory
    :param stream: parameters of the law of its token streams  # (14,)
    :param signals: draft signals on the true prefix, rows confidence, entropy (nats), margin, spread; drawn
    when first read  # (4, positions)
    :param off_signals: the same after a round's first mismatch  # (4, positions)
    """

    scenario: Scenario
    seed: int
    horizon_ns: int
    warmup_ns: int
    arrays: WorldArrays
    refused: int
    stream: npt.NDArray[np.float64]
    signals: Signals = Signals()
    off_signals: Signals = Signals()

    @property
    def devices(self) -> int:
        """Number of devices."""
        return len(self.arrays.devices)

    @property
    def streamed(self) -> bool:
        """Whether its token streams are drawn piece by piece as they are needed."""
        return len(self.arrays.sessions) > 0 and len(self.arrays.accepts) == 0

    @property
    def signals_given(self) -> bool:
        """Whether signals are there: given, or drawn because they were read."""
        return vars(self)["signals"] is not None
