"""What a controller written in Python is asked, and what it answers. Baselines and agents share these two
protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Stream:
    """Draft signals of a session, position by position.

    :param signals: columns confidence (0-1), entropy (nats), top-2 margin (0-1), logit spread (nats)  #
    (length, 4)
    """

    signals: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.signals)


@dataclass(frozen=True)
class RoundView:
    """What a device knows when it begins a round.

    :param now_s: time, s; :param device: its index; :param group: its SLO class, 0 the loosest; :param
    rate_tps: of the class
    :param committed: output tokens it has
    :param last_k: tokens sent in the last verified round; :param last_accepted: of them accepted
    :param round_trip_s: time from sending the last request to its result, s (0 before the first)
    """

    now_s: float
    device: int
    group: int
    rate_tps: float
    committed: int
    last_k: int
    last_accepted: int
    round_trip_s: float


@dataclass(frozen=True)
class DispatchView:
    """What the server knows when the GPU is free and requests wait.

    :param now_ns: time, ns; :param batch_no: passes begun so far
    :param requests: the queue in order of arrival, REQUEST records (wisp_gym/rules/control.py)  # (waiting,)
    :param max_requests: requests a pass takes; :param max_new: new tokens it takes
    :param kv_tokens: KV memory; :param kv_used: of it in use, tokens
    :param estimator: c0..c3 of the verification time estimator, ns  # (4,)
    :param waited_ns: how long the scheduler has been waiting by choice
    """

    now_ns: int
    batch_no: int
    requests: npt.NDArray[Any]
    max_requests: int
    max_new: int
    kv_tokens: int
    kv_used: int
    estimator: npt.NDArray[np.float64]
    waited_ns: int


@dataclass(frozen=True)
class Wait:
    """A scheduler's answer that starts no pass: ask again at `until_ns`, or at the next arrival if that is
    earlier."""

    until_ns: int


@runtime_checkable
class Drafter(Protocol):
    """Decides on the device how many tokens a round drafts."""

    def score(self, stream: Stream) -> npt.NDArray[np.float32]:
        """Return a stop score per position; asked once per stream, on the true prefix and off it.  #
        (length,)"""
        ...

    def limit(self, view: RoundView) -> tuple[int, float]:
        """Return the most tokens to draft, and the threshold: the first token whose score is below it ends
        the draft."""
        ...


@runtime_checkable
class Scheduler(Protocol):
    """Decides on the server which waiting requests to verify now.

    It may have an attribute `requests_as`, a `SchedulerRule`: the readings of deadline and E[accepted]
    by which
    its requests are described. Without it they are the scenario's deadline and the fleet's running mean.
    """

    def select(self, view: DispatchView) -> Sequence[int] | Wait:
        """Return indices into `view.requests` in order of preference (what does not fit is skipped), or a
        `Wait`."""
        ...


@runtime_checkable
class Commander(Protocol):
    """Decides at every dispatch both halves: how the compiled rules serve now, and what the replies tell
    the devices to draft.

    Environments and trained agents act this way; draft caps and stop thresholds travel on the replies.
    """

    def command(self, simulation: Any) -> None:
        """Write the decision into the simulation (its `state.control`, `caps`, `thresholds` and `answer`)."""
        ...
