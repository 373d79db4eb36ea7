"""What there is: devices, their sessions, and a session's request while it is at the server."""

from __future__ import annotations

from dataclasses import dataclass, field

NEVER = 2**62


@dataclass
class Session:
    """A prompt and its answer. Token j of it (from 1) has the time `delivered_at[j - 1]` once it is there."""

    row: int
    device: int
    group: int
    prompt: int
    length: int
    think_ns: int
    accepts: list[int]
    offset: int
    start_ns: int = -1
    started: bool = False
    committed: int = 0
    delivered_at: list[int] = field(default_factory=list)
    delivery_ns: int = -1  # the last one, or the start
    stall_ns: int = 0
    cached: int = 0
    held: int = 0
    served_ns: int = -1
    admitted_ns: int = -1
    taken: int = 0  # accepted tokens, as the server knows
    foreseen: float = 0.0

    @property
    def context(self) -> int:
        return self.prompt + self.committed


@dataclass
class Round:
    """A draft under way: what the device made of it and what the target will say."""

    begun_ns: int
    drafted: int = 0
    k: int = 0
    accepted: int = 0


@dataclass
class Request:
    """What waits in the server's queue, as a scheduler sees it."""

    session: Session
    arrived_ns: int
    queued_ns: int
    round_ns: int
    k: int
    accepted: int
    round_no: int = 0
    parts: int = 0  # passes it has been in
    take: int = 0
    new: int = 0
    expected: float = 0.0
    deadline_ns: float = 0.0
    alone_ns: float = 0.0

    @property
    def device(self) -> int:
        return self.session.device


@dataclass
class Device:
    """A user's device."""

    index: int
    group: int
    draft_ns: int
    check_ns: int
    prefill_ns: int
    network: int
    back_ns: int
    power_w: float
    first_session: int
    link: int  # key of its link's draws
    to_come: list[Session] = field(default_factory=list)
    session: Session | None = None
    round: Round | None = None
    prefilled_ns: int = 0
    up_free_ns: int = 0
    down_free_ns: int = 0
    longest_stall_ns: int = 0
    rounds: int = 0
    told: int = 0  # draft length of the next round, as the last reply said
    sums: list[list[float]] = field(default_factory=list)  # bandit: time, tokens, rounds by length
    answer: tuple[int, int] = (0, 0)  # tokens verified and accepted in the last round
    had: int = 0  # tokens of the session as the round began
    asked: int = 0  # tokens in the round's newest request
    ahead_from_ns: int = -1  # since when it drafts ahead of that one
    timer_ns: int = NEVER
    retries: int = 0
    ahead: int = 0  # tokens of the next draft that are there
    ahead_ns: int = 0  # time spent on that draft
    ahead_sent: int = 0  # of these tokens, sent before in a request that came too late
