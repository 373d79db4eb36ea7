"""The event loop, and what happens on a device: sessions start, rounds draft, tokens arrive."""

from __future__ import annotations

import heapq
from typing import Any

from reference.books import Books
from reference.drafting import Drafting
from reference.draws import CAUSE_NETWORK, address, link_cell
from reference.parts import NEVER, Device, Request, Round, Session
from reference.server import Server
from reference.waiting import Waiting
from wisp_gym.pipeline.log import (
    LOG_DELIVER,
    LOG_DRAFT,
    LOG_START,
)
from wisp_gym.pipeline.policy import Policy
from wisp_gym.world import World

DELIVERY, READY, ARRIVAL, TIMEOUT = range(4)
HEADER_BYTES, TOKEN_BYTES, PROMPT_TOKEN_BYTES = 40, 12, 4


class Simulator:
    """A policy at work in a world, one event at a time."""

    def __init__(self, world: World, policy: Policy, policy_seed: int) -> None:
        self.world, self.policy, self.policy_seed = world, policy, policy_seed
        self.now_ns = 0
        self.heap: list[tuple[int, int, int, int, Any]] = []
        self.ticket = 0  # no two entries of the heap compare further
        self.log: list[tuple[int, ...]] = []
        self.books = Books()
        arrays = world.arrays
        self.groups = [{name: g[name].item() for name in g.dtype.names} for g in arrays.groups]
        self.up_ns, self.down_ns = arrays.up_ns.tolist(), arrays.down_ns.tolist()
        self.refresh = [int(r) for r in arrays.refresh]
        self.seed = int(arrays.seed[0])
        self.sessions = self._read_sessions()
        self.devices = self._read_devices()
        self.drafting = Drafting(self)
        self.server = Server(self)
        self.waiting = Waiting(self)
        self.server_loop = policy.drafter.server_loop
        self.ready: set[int] = set()

    def _read_sessions(self) -> list[Session]:
        accepts = self.world.arrays.accepts.tolist()
        fleet = self.world.arrays.devices["group"]
        return [
            Session(
                row,
                int(s["device"]),
                int(fleet[s["device"]]),
                int(s["prompt"]),
                int(s["length"]),
                int(s["think_ns"]),
                accepts[int(s["offset"]) : int(s["offset"] + s["length"])],
                int(s["offset"]),
                int(s["start_ns"]),
            )
            for row, s in enumerate(self.world.arrays.sessions)
        ]

    def _read_devices(self) -> list[Device]:
        devices = []
        for index, record in enumerate(self.world.arrays.devices):
            r = {name: record[name].item() for name in record.dtype.names}
            names = (
                "group",
                "draft_ns",
                "check_ns",
                "prefill_ns",
                "network",
                "back_ns",
                "power_w",
                "first_session",
            )
            device = Device(index, *(r[n] for n in names), link=address(self.seed, CAUSE_NETWORK, index, 0))
            device.to_come = self.sessions[r["first_session"] : r["first_session"] + r["sessions"]]
            devices.append(device)
        return devices

    # --- time

    def write(self, kind: int, device: int, session: int, a: int, b: int = 0, c: int = 0, d: int = 0) -> None:
        self.log.append((self.now_ns, kind, device, session, a, b, c, d))

    def at(self, time_ns: int, kind: int, device: int, what: Any = None) -> None:
        """Something will happen to a device."""
        self.ticket += 1
        heapq.heappush(self.heap, (time_ns, kind, device, self.ticket, what))

    def start(self) -> None:
        for device in self.devices:
            if device.to_come and 0 <= device.to_come[0].start_ns < self.world.horizon_ns:
                self.start_session(device, device.to_come.pop(0))

    def until(self, time_ns: int) -> None:
        """Go on to a time; what happens at that very time is left."""
        while self.next_ns() < time_ns:
            self.now_ns = self.next_ns()
            while self.heap and self.heap[0][0] == self.now_ns:
                _, kind, device, _, what = heapq.heappop(self.heap)
                self.happen(kind, self.devices[device], what)
            self.server.at_this_instant()
            for index in sorted(self.ready):
                self.begin_round(self.devices[index])
            self.ready.clear()
            if not (self.heap and self.heap[0][0] == self.now_ns):
                self.server.decide()
        self.now_ns = time_ns

    def next_ns(self) -> int:
        first = self.heap[0][0] if self.heap else NEVER
        return min(first, self.server.next_ns())

    def happen(self, kind: int, device: Device, what: Any) -> None:
        if kind == DELIVERY:
            self.deliver(device, *what)
        elif kind == READY:
            self.ready.add(device.index)
        elif kind == ARRIVAL:
            self.server.receive(device, what)
        elif kind == TIMEOUT:
            self.waiting.time_out(device)

    # --- links

    def cross_up(self, device: Device, sent_ns: int, size: int, again: bool = False) -> int:
        """When a message sent then arrives: first in, first out."""
        at = link_cell(device.link, sent_ns, self.refresh[device.network])
        arrival = max(sent_ns + self.up_ns[device.network][at], device.up_free_ns + int(again))
        device.up_free_ns = arrival
        self.books.add(device.group, bytes=size, network_ns=arrival - sent_ns)
        return arrival

    def send_down(self, device: Device, session: Session, tokens: int, message: Any) -> None:
        at = link_cell(device.link, self.now_ns, self.refresh[device.network])
        arrival = max(self.now_ns + self.down_ns[device.network][at], device.down_free_ns)
        device.down_free_ns = arrival
        size = HEADER_BYTES + PROMPT_TOKEN_BYTES * tokens
        self.books.add(device.group, bytes=size, network_ns=arrival - self.now_ns)
        self.at(arrival, DELIVERY, device.index, (session, tokens, message))

    # --- sessions

    def start_session(self, device: Device, session: Session) -> None:
        """The prompt goes up at the session's start; the device reads it meanwhile."""
        device.session = session
        session.started = True
        session.delivery_ns = session.start_ns
        self.write(LOG_START, device.index, session.row, session.start_ns, session.prompt, session.length)
        device.prefilled_ns = session.start_ns
        if not self.server_loop:
            prefill_ns = session.prompt * device.prefill_ns
            device.prefilled_ns += prefill_ns
            energy = device.power_w * (1e-9 * prefill_ns)
            self.books.add(device.group, prefill_ns=prefill_ns, energy_j=energy)
        device.round = Round(session.start_ns)
        device.asked = device.had = 0
        arrival = self.cross_up(device, session.start_ns, HEADER_BYTES + PROMPT_TOKEN_BYTES * session.prompt)
        self.at(arrival, ARRIVAL, device.index, Request(session, arrival, arrival, session.start_ns, 0, 0))

    def due_ns(self, session: Session, token: int) -> int:
        """When a token (from 1) is due on the timeline."""
        group = self.groups[session.group]
        return session.start_ns + group["allowance_ns"] + token * group["period_ns"]

    def round_from_ns(self, session: Session, tokens: int) -> int:
        """From when a session with so many tokens leads its reader by no more than it may."""
        group = self.groups[session.group]
        return session.start_ns + tokens * group["period_ns"] - group["lead_ns"]

    def token_ns(self, device: Device) -> int:
        return device.draft_ns + (device.check_ns if self.drafting.checked else 0)

    def deliver(self, device: Device, session: Session, tokens: int, message: Any) -> None:
        verified, accepted, told = message
        device.answer = verified, accepted
        self.waiting.end(device, session, verified, accepted)
        gap = self.now_ns - session.delivery_ns
        session.stall_ns = max(session.stall_ns, gap)
        device.longest_stall_ns = max(device.longest_stall_ns, gap)
        if session.delivered_at:
            self.books.count_gap(device.group, gap, tokens)
        session.delivery_ns = self.now_ns
        before = len(session.delivered_at)
        session.delivered_at += [self.now_ns] * tokens
        on_time = sum(self.now_ns <= self.due_ns(session, before + 1 + i) for i in range(tokens))
        self.books.add(device.group, delivered=tokens, delivered_on_time=on_time)
        self.write(LOG_DELIVER, device.index, session.row, tokens, len(session.delivered_at))
        self.drafting.learn(device, session, tokens, told)
        if len(session.delivered_at) == session.length:
            self.finish(device, session)
        elif not self.server_loop:
            begin = max(device.prefilled_ns, self.round_from_ns(session, len(session.delivered_at)))
            if begin > self.now_ns:
                self.at(begin, READY, device.index)
            else:
                self.ready.add(device.index)

    def finish(self, device: Device, session: Session) -> None:
        """The reader reads to the end, pauses and asks again."""
        group = self.groups[session.group]
        on_time = sum(t <= self.due_ns(session, j + 1) for j, t in enumerate(session.delivered_at))
        self.books.add(
            device.group,
            finished=1,
            finished_on_time=int(on_time >= group["on_time_share"] * session.length),
            last_on_time=int(self.now_ns <= self.due_ns(session, session.length)),
        )
        read = max(self.now_ns, session.start_ns + session.length * group["period_ns"])
        start = read + session.think_ns
        device.session = None
        if device.to_come and start < self.world.horizon_ns:
            following = device.to_come.pop(0)
            following.start_ns = start
            self.start_session(device, following)

    # --- rounds

    def begin_round(self, device: Device) -> None:
        """Draft and send. The target supplies the last token, so a draft never reaches it."""
        session = device.session
        assert session is not None
        device.rounds += 1
        remaining = session.length - session.committed
        draft = self.drafting.draft(device, session, remaining - 1)
        token_ns = self.token_ns(device)
        draft_ns = draft.drafted * token_ns
        useful = min(draft.accepted + 1, draft.k)
        head_ns, ahead, extra_ns = self.head_start(device, draft, draft_ns)
        self.books.add(
            device.group,
            drafted=draft.drafted - ahead,
            sent=draft.k,
            dropped=draft.drafted - draft.k,
            draft_ns=draft_ns - head_ns,
            waste_ns=(draft.drafted - useful) * token_ns + extra_ns,
            energy_j=device.power_w * (1e-9 * (draft_ns - head_ns)),
        )
        device.round, device.had = draft, session.committed
        checked = int(self.drafting.checked)
        self.write(LOG_DRAFT, device.index, session.row, draft.drafted, draft.k, checked, head_ns)
        sent = self.now_ns + draft_ns - head_ns
        arrival = self.cross_up(device, sent, HEADER_BYTES + TOKEN_BYTES * draft.k)
        request = Request(session, arrival, arrival, self.now_ns, draft.k, draft.accepted, device.rounds)
        self.at(arrival, ARRIVAL, device.index, request)
        self.waiting.begin(device, session, sent, draft.k)

    def head_start(self, device: Device, draft: Round, draft_ns: int) -> tuple[int, int, int]:
        """What of the draft is there: time spent on it, tokens; and time spent on more than it needs."""
        ahead = min(device.ahead, draft.drafted)
        head_ns = min(device.ahead_ns, draft_ns)
        extra_ns = device.ahead_ns - head_ns
        resent = min(device.ahead_sent, draft.drafted)
        self.books.add(
            device.group,
            discarded=device.ahead - ahead - (device.ahead_sent - resent),
            resent=resent,
        )
        device.ahead = device.ahead_ns = device.ahead_sent = 0
        return head_ns, ahead, extra_ns
