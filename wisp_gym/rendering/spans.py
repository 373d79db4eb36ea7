"""The event log as spans: who did what, from when to when. Pictures and traces are made of these.

A device has up to three things going on at once, its *tracks*: its own work (prefilling, drafting, which may
go on ahead while a request is on its way), its request's way (uplink, queue, pass, downlink), and, in
centralized serving, results on their way down while the session goes on. A request that is sent again after
a time-out is drawn once, from its first time on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wisp_gym.pipeline.log import (
    LOG_AHEAD,
    LOG_DELIVER,
    LOG_DRAFT,
    LOG_MEMBER,
    LOG_PASS,
    LOG_RETRY,
    LOG_START,
    LOG_VERIFY,
    LOG_WAIT,
    recent_rows,
)
from wisp_gym.pipeline.simulation import Simulation
from wisp_gym.pipeline.verify import noise_factor
from wisp_gym.rendering.intervals import Intervals, join, split
from wisp_gym.world import World
from wisp_gym.world.network import link_cell
from wisp_gym.world.server import attention_pairs, pass_time_ns

GPU = -1
"""The server's lane; a device's is its index."""

WORK, REQUEST, RESULT = 0, 1, 2
"""Tracks of a device's lane. Spans of one lane and track do not overlap."""


class Kind(IntEnum):
    """What a span is."""

    THINK = 0  # idle: all is delivered and being read, until the next session starts
    PREFILL = 1  # the device prefills its prompt: `new` tokens
    DRAFT = 2  # `k` tokens drafted, not verified yet
    USEFUL = 3  # `k` tokens drafted: the accepted ones and the first rejected one
    WASTED = 4  # `k` tokens drafted after the first rejected one, or dropped
    UPLINK = 5
    QUEUE = 6  # waiting in the server's queue
    VERIFY = 7  # the request's own share of its pass: what the pass would take with it alone
    SHARED = 8  # the rest of the pass: verification interference
    DOWNLINK = 9  # `new` tokens on their way to the device
    PASS = 10  # the GPU's: `members` requests, `heavy` of them prefill
    WAIT = 11  # the GPU's: the scheduler waits by choice


LINK_NS = 5_000_000_000
"""Longer than any result is on its way: so much of the log before a window is read with it."""


class Span(NamedTuple):
    """Something that took a while. Numbers that do not belong to its kind are 0, or -1 where 0 means
    something."""

    lane: int  # device index, or GPU
    kind: Kind
    start_ns: int
    end_ns: int
    session: int = -1  # row in the world's sessions
    batch: int = -1  # number of the pass
    k: int = 0  # draft tokens
    accepted: int = -1  # of them, -1 not known (yet)
    new: int = 0  # new tokens
    cached: int = 0  # cached tokens attended to
    due_ns: int = -1  # when the next token of the session is due on the device
    members: int = 0  # requests of the pass
    heavy: int = 0  # of them, those that prefill: a prompt, or a session evicted before
    heavy_new: int = 0  # their new tokens
    track: int = REQUEST


@dataclass
class _Member:
    """A request's part in a pass."""

    batch: int
    start_ns: int
    end_ns: int
    k: int
    new: int
    cached: int


@dataclass
class _Lane:
    """How a device stands while the log is read."""

    session: int = -1
    start_ns: int = 0
    length: int = 0
    committed: int = 0
    k: int = 0
    queued_ns: int = -1  # -1: not in the queue
    work: Intervals = field(default_factory=list)  # drafted, not verified yet
    token_ns: int = 0
    dropped: int = 0
    ahead: Intervals = field(default_factory=list)  # what the next draft has already
    member: _Member | None = None
    sent_down: deque[int] = field(default_factory=deque)  # results on their way: since when


class SpanReader:
    """Reads a log row by row and yields spans as they are known to end.

    :param world: the log's
    :param control: the policy's settings, a CONTROL record
    :param devices: lanes wanted; None all (the GPU's always)
    """

    def __init__(self, world: World, control: Any, devices: Collection[int] | None = None) -> None:
        self.world, self.arrays = world, world.arrays
        self.server_loop = bool(control["server_loop"])
        self.wanted = None if devices is None else frozenset(devices)
        self.lanes: dict[int, _Lane] = {}
        self.passes: dict[int, Span] = {}
        self.noise: dict[int, float] = {}
        self.wait_ns = -1
        self.block = 1 if self.server_loop else int(self.arrays.server[0]["block"])

    def read(self, rows: npt.NDArray[np.int64], now_ns: int) -> Iterator[Span]:
        """Yield the spans of a log that ends at `now_ns`; what is still under way ends there.

        :param rows: of the log, in order  # (rows, 8)
        """
        handlers = {
            LOG_START: self._start,
            LOG_DRAFT: self._draft,
            LOG_RETRY: self._retry,
            LOG_AHEAD: self._ahead,
            LOG_MEMBER: self._member,
            LOG_VERIFY: self._verify,
            LOG_DELIVER: self._deliver,
        }
        for time_ns, kind, device, session, a, b, c, d in rows.tolist():
            if kind in (LOG_PASS, LOG_WAIT):
                yield from self._server(time_ns, kind, a, b, c)
                continue
            if kind == LOG_MEMBER:
                self._weigh(a, b, c, d)
            if kind in handlers and (self.wanted is None or device in self.wanted):
                lane = self.lanes.setdefault(device, _Lane())
                yield from handlers[kind](device, lane, time_ns, session, a, b, c, d)
        yield from self._rest(now_ns)

    # --- the server

    def _server(self, time_ns: int, kind: int, a: int, b: int, c: int) -> Iterator[Span]:
        if self.wait_ns >= 0:
            yield Span(GPU, Kind.WAIT, self.wait_ns, time_ns)
        self.wait_ns = time_ns if kind == LOG_WAIT else -1
        if kind == LOG_PASS:
            self.passes[a] = Span(GPU, Kind.PASS, time_ns, c, batch=a, members=b)
            self.noise[a] = float(noise_factor(self.arrays, a))

    def _weigh(self, batch: int, k: int, new: int, cached: int) -> None:
        """Add a member to what is known of its pass. It prefills when it brings more than its draft and what
        a KV block may have lost."""
        known = self.passes.get(batch)
        if known is None:
            return
        heavy = new - k > self.block
        self.passes[batch] = known._replace(
            new=known.new + new,
            cached=known.cached + cached,
            heavy=known.heavy + heavy,
            heavy_new=known.heavy_new + (new if heavy else 0),
        )

    def own_share_ns(self, member: _Member) -> int:
        """Return what the member's pass would have taken with it alone, at most what it took."""
        pairs = attention_pairs(member.new, member.cached)
        server, curve = self.arrays.server[0], self.arrays.pass_ns
        alone_ns = pass_time_ns(server, curve, member.new, member.cached, pairs, 1)
        return min(member.end_ns - member.start_ns, round(alone_ns * self.noise[member.batch]))

    # --- a device

    def _start(
        self, device: int, lane: _Lane, time_ns: int, session: int, a: int, b: int, c: int, d: int
    ) -> Iterator[Span]:
        if (
            a > time_ns and self.arrays.devices[device]["sessions"] > 1
        ):  # an arrival's device is not idle before
            yield Span(device, Kind.THINK, time_ns, a)
        lane.session, lane.start_ns, lane.length, lane.committed = session, a, c, 0
        lane.k, lane.member, lane.work, lane.ahead = 0, None, [], []
        if not self.server_loop:
            end_ns = a + b * int(self.arrays.devices[device]["prefill_ns"])
            yield Span(device, Kind.PREFILL, a, end_ns, session, new=b, track=WORK)
        yield from self._send(device, lane, a)

    def _draft(
        self, device: int, lane: _Lane, time_ns: int, session: int, a: int, b: int, c: int, d: int
    ) -> Iterator[Span]:
        record = self.arrays.devices[device]
        lane.token_ns = int(record["draft_ns"] + (record["check_ns"] if c == 1 else 0))
        sent_ns = time_ns + a * lane.token_ns - d
        lane.session, lane.k, lane.dropped = session, b, a - b
        lane.work, unused = split(lane.ahead, d)
        yield from self._drafted(device, lane, Kind.WASTED, unused)
        lane.ahead, lane.work = [], join([*lane.work, (time_ns, sent_ns)])
        yield from self._send(device, lane, sent_ns)

    def _retry(
        self, device: int, lane: _Lane, time_ns: int, session: int, a: int, b: int, c: int, d: int
    ) -> Iterator[Span]:
        """The device asks again: what it drafted ahead belongs to the draft now."""
        if b > 0 and lane.work:
            lane.work = join([*lane.work, (c, c + b * lane.token_ns)])
        yield from ()

    def _ahead(
        self, device: int, lane: _Lane, time_ns: int, session: int, a: int, b: int, c: int, d: int
    ) -> Iterator[Span]:
        """The answer is here: the guess of the target's token is of no more use, the rest is kept or not."""
        if lane.token_ns == 0:  # nothing of its draft is in the log
            return
        drafted = join([*lane.work, (a, a + d)])
        lane.work = []
        wasted, lane.ahead = split(drafted, lane.token_ns) if c >= 0 else (drafted, [])
        yield from self._drafted(device, lane, Kind.WASTED, wasted)

    def _send(self, device: int, lane: _Lane, sent_ns: int) -> Iterator[Span]:
        """A request leaves; it never queues on its device's uplink, save behind one that was sent again."""
        network = self.arrays.devices[device]["network"]
        cell = link_cell(self.arrays.seed[0], device, sent_ns, self.arrays.refresh[network])
        lane.queued_ns = sent_ns + int(self.arrays.up_ns[network, cell])
        yield Span(device, Kind.UPLINK, sent_ns, lane.queued_ns, lane.session, k=lane.k)

    def _member(
        self, device: int, lane: _Lane, time_ns: int, session: int, a: int, b: int, c: int, d: int
    ) -> Iterator[Span]:
        if lane.member is not None:  # a prompt in parts: back in the queue in between
            lane.queued_ns = lane.member.end_ns
            yield from self._passed(device, lane, -1)
        lane.session = session
        if lane.queued_ns >= 0:
            yield Span(
                device, Kind.QUEUE, lane.queued_ns, time_ns, session, k=b, due_ns=self._due_ns(device, lane)
            )
        lane.queued_ns = -1
        if a in self.passes:
            lane.member = _Member(a, time_ns, self.passes[a].end_ns, b, c, d)

    def _verify(
        self, device: int, lane: _Lane, time_ns: int, session: int, a: int, b: int, c: int, d: int
    ) -> Iterator[Span]:
        k = lane.k if lane.member is None else lane.member.k
        yield from self._passed(device, lane, b)
        yield from self._judged(device, lane, k, b)
        lane.committed = c
        lane.sent_down.append(time_ns)
        if self.server_loop and c < lane.length:
            lane.queued_ns, lane.k = time_ns, 0

    def _deliver(
        self, device: int, lane: _Lane, time_ns: int, session: int, a: int, b: int, c: int, d: int
    ) -> Iterator[Span]:
        lane.committed = max(lane.committed, b)
        if lane.sent_down:
            yield self._downlink(device, session, lane.sent_down.popleft(), time_ns, a)

    def _downlink(self, device: int, session: int, since_ns: int, until_ns: int, tokens: int) -> Span:
        track = RESULT if self.server_loop else REQUEST
        return Span(device, Kind.DOWNLINK, since_ns, until_ns, session, new=tokens, track=track)

    def _due_ns(self, device: int, lane: _Lane) -> int:
        """Return when the next token of the session is due on the device."""
        group = self.arrays.groups[self.arrays.devices[device]["group"]]
        return lane.start_ns + int(group["allowance_ns"] + (lane.committed + 1) * group["period_ns"])

    def _passed(self, device: int, lane: _Lane, accepted: int) -> Iterator[Span]:
        """The request's pass is over, or the log is: its own share, then what the others added."""
        member, lane.member = lane.member, None
        if member is None:
            return
        own_ns = member.start_ns + self.own_share_ns(member)
        span = Span(
            device,
            Kind.VERIFY,
            member.start_ns,
            own_ns,
            lane.session,
            member.batch,
            member.k,
            accepted,
            member.new,
            member.cached,
            self._due_ns(device, lane),
            self.passes[member.batch].members,
        )
        yield span
        yield span._replace(kind=Kind.SHARED, start_ns=own_ns, end_ns=member.end_ns)

    def _judged(self, device: int, lane: _Lane, k: int, accepted: int) -> Iterator[Span]:
        """Say which part of the k tokens verified was of use. What is left of the device's work was sent in
        requests that came too late."""
        waste = max(0, k - accepted - 1) + lane.dropped
        useful, rest = split(lane.work, (k + lane.dropped - waste) * lane.token_ns)
        wasted, lane.work = split(rest, waste * lane.token_ns)
        yield from self._drafted(device, lane, Kind.USEFUL, useful)
        yield from self._drafted(device, lane, Kind.WASTED, wasted)

    def _drafted(self, device: int, lane: _Lane, kind: Kind, parts: Intervals) -> Iterator[Span]:
        for begin_ns, end_ns in parts:
            k = (end_ns - begin_ns) // lane.token_ns if lane.token_ns else 0
            yield Span(device, kind, begin_ns, end_ns, lane.session, k=k, track=WORK)

    # --- what is under way at the end

    def _rest(self, now_ns: int) -> Iterator[Span]:
        if self.wait_ns >= 0:
            yield Span(GPU, Kind.WAIT, self.wait_ns, now_ns)
        for device, lane in self.lanes.items():
            if lane.member is not None:
                if lane.member.end_ns < now_ns:  # a prompt in parts
                    lane.queued_ns, lane.k = lane.member.end_ns, 0
                yield from self._passed(device, lane, -1)
            if 0 <= lane.queued_ns < now_ns:
                due_ns = self._due_ns(device, lane)
                yield Span(device, Kind.QUEUE, lane.queued_ns, now_ns, lane.session, k=lane.k, due_ns=due_ns)
            yield from self._drafted(device, lane, Kind.DRAFT, join([*lane.work, *lane.ahead]))
            for since_ns in lane.sent_down:
                yield self._downlink(device, lane.session, since_ns, now_ns, 0)
        yield from self.passes.values()


def clip(span: Span, begin_ns: int, end_ns: int) -> Span | None:
    """Return a span's part in a window, None where there is none."""
    start, end = max(span.start_ns, begin_ns), min(span.end_ns, end_ns)
    return span._replace(start_ns=start, end_ns=end) if start < end else None


def spans(
    simulation: Simulation,
    begin_ns: int = 0,
    end_ns: int | None = None,
    devices: Collection[int] | None = None,
) -> list[Span]:
    """Return what happened in a window, from the log and the world.

    :param simulation: with its log on
    :param begin_ns: the window's begin; :param end_ns: its end, None (and at most) now
    :param devices: lanes wanted; None all (the GPU's always)
    :return: spans cut to the window, by lane, track and start
    :raises RuntimeError: no log was written
    """
    if not simulation.state.clock[0]["log_on"]:
        raise RuntimeError("spans: the simulation wrote no log; construct it with log=True")
    now_ns = simulation.now_ns
    end_ns = now_ns if end_ns is None else min(end_ns, now_ns)
    reader = SpanReader(simulation.world, simulation.state.control[0], devices)
    rows = recent_rows(simulation.events, begin_ns - LINK_NS)
    rows = rows[(rows[:, 1] != LOG_START) | (rows[:, 0] > 0) | (rows[:, 4] < end_ns)]  # arrivals yet to come
    cut = (clip(span, begin_ns, end_ns) for span in reader.read(rows, now_ns))
    return sorted(
        (span for span in cut if span is not None), key=lambda span: (span.lane, span.track, span.start_ns)
    )
