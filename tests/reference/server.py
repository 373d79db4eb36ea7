"""The server: a queue, the KV memory, one pass at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reference.draws import CAUSE_SERVER, address, bits, cell
from reference.ordering import Ordering
from reference.parts import NEVER, Device, Request, Session
from wisp_gym.pipeline.log import (
    LOG_EVICT,
    LOG_MEMBER,
    LOG_PASS,
    LOG_SUPERSEDE,
    LOG_VERIFY,
    LOG_WAIT,
)
from wisp_gym.pipeline.simulation import scenario_estimator

if TYPE_CHECKING:
    from reference.simulator import Simulator

PRIOR_ROUNDS = 20.0


class Server:
    """What the server has and does."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        arrays = sim.world.arrays
        record = arrays.server[0]
        self.max_batch, self.max_new = int(record["max_batch"]), int(record["max_new"])
        self.kv_tokens, self.block = int(record["kv_tokens"]), int(record["block"])
        self.costs = [float(record[name]) for name in ("base_ns", "cached_ns", "request_ns", "pair_ns")]
        self.curve = arrays.pass_ns.tolist()
        self.noise = arrays.noise.tolist()
        self.noise_key = address(sim.seed, CAUSE_SERVER, 0, 0)
        self.profile = arrays.expected.tolist()
        self.estimator = [float(c) for c in scenario_estimator(sim.world)]
        self.rule = sim.policy.scheduler
        self.queue: list[Request] = []
        self.members: list[Request] = []
        self.pass_end_ns = NEVER
        self.history: list[tuple[int, int]] = []  # begin and end of every pass
        self.excess_ns = 0.0
        self.passes = 0
        self.told: int | None = None
        self.wake_ns = NEVER
        self.asked = False
        self.seen = [[PRIOR_ROUNDS * e for e in self.profile], [PRIOR_ROUNDS] * len(self.profile)]
        self.continuous = self.rule.kind == "continuous"
        self.whole_output = self.continuous and self.rule.whole_output
        self.ordering = Ordering(self)
        self.rates: dict[int, tuple[float, int]] = {}  # smoothed tokens/s by device, at the last commit
        self.last_round: dict[int, int] = {}  # newest round of each device that has asked

    def next_ns(self) -> int:
        return min(self.pass_end_ns, self.wake_ns)

    def at_this_instant(self) -> None:
        """GPU free, timer."""
        if self.pass_end_ns == self.sim.now_ns:
            self.end_pass()
        if self.wake_ns <= self.sim.now_ns:
            self.wake_ns = NEVER
            self.asked = True

    # --- the queue

    def receive(self, device: Device, request: Request) -> None:
        """A request joins the queue now."""
        if request.round_no and request.round_no == self.last_round.get(device.index):
            self.receive_again(device, request)
            return
        self.last_round[device.index] = request.round_no
        self.describe(request)
        self.queue.append(request)
        self.asked = True

    def receive_again(self, device: Device, request: Request) -> None:
        """A request of a round that asked before: a longer one replaces what still waits, in its place."""
        for r in self.queue:
            if r.session is request.session and r.round_no == request.round_no and r.k < request.k:
                self.sim.write(LOG_SUPERSEDE, device.index, r.session.row, r.k, 1)
                more = max(0, request.k - request.accepted - 1) - max(0, r.k - r.accepted - 1)
                waste_ns = more * self.sim.token_ns(device)
                self.sim.books.add(device.group, superseded=r.k, waste_ns=waste_ns)
                r.k, r.accepted = request.k, request.accepted
                self.describe(r)
                self.asked = True
                return
        self.sim.write(LOG_SUPERSEDE, device.index, -1, request.k, 0)
        self.sim.books.add(device.group, superseded=request.k)

    def expected(self, session: Session, k: int) -> float:
        """E[accepted] of a draft of k."""
        if self.rule.expected == "profile":
            return self.profile[k]
        fleet = self.seen[0][k] / self.seen[1][k]
        if self.rule.expected == "fleet":
            return fleet
        weight = PRIOR_ROUNDS * fleet
        own = (weight + session.taken) / (weight + session.foreseen) if k > 0 else 1.0
        return min(float(k), fleet * own)

    def describe(self, request: Request) -> None:
        """What a scheduler sees of it."""
        sim, session = self.sim, request.session
        group, device = sim.groups[session.group], sim.devices[session.device]
        request.expected = self.expected(session, request.k)
        reading = self.rule.deadline or sim.world.scenario.classes.deadline
        if session.committed == 0:
            due = float(sim.due_ns(session, 1))
        elif reading == "timeline":
            due = (
                session.start_ns
                + group["allowance_ns"]
                + (session.committed + request.expected + 1.0) * group["period_ns"]
            )
        else:
            due = request.round_ns + (request.expected + 1.0) * group["period_ns"]
        request.deadline_ns = due - device.back_ns
        self.cost(request)

    def cost(self, request: Request) -> None:
        """What it costs with what the memory holds of its session now."""
        session = request.session
        request.new = session.context - session.cached + request.k
        request.take = min(request.new, (self.max_new + 1) // 2)
        pairs = request.take * (request.take + session.cached)
        request.alone_ns = self.estimate(request.take, pairs, session.cached)

    def estimate(self, new: float, pairs: float, cached: float) -> float:
        c = self.estimator
        return c[0] + c[1] * new + c[2] * pairs + c[3] * cached

    def reserve(self, request: Request) -> int:
        session = request.session
        if self.whole_output:
            return session.prompt + session.length
        return session.context + request.k

    # --- decisions

    def decide(self) -> None:
        """Ask the scheduler, when the GPU is free, a request waits and something has changed."""
        if not self.asked or self.members or not self.queue:
            self.asked = False
            return
        self.asked = False
        members, wait_ns = self.ordering.choose()
        if not members:
            self.wake_ns = wait_ns
            self.sim.write(LOG_WAIT, -1, -1, wait_ns)
            return
        self.wake_ns = NEVER
        self.start_pass(members)

    # --- memory

    def hold(self, session: Session, tokens: int) -> None:
        self.sim.books.hold(tokens - session.held, self.sim.now_ns)
        session.held = tokens

    def make_room(self, members: list[Request]) -> None:
        """Reserve for the members; evict others while that does not fit."""
        inside = {r.session.row for r in members}
        need = sum(self.reserve(r) - r.session.held for r in members)
        while self.sim.books.kv_used + need > self.kv_tokens:
            self.evict(self.victim(inside))
        for request in members:
            self.hold(request.session, self.reserve(request))

    def victim(self, inside: set[int]) -> Session:
        holders = [
            d.session
            for d in self.sim.devices
            if d.session and d.session.held > 0 and d.session.row not in inside
        ]
        if self.continuous:
            return min(holders, key=lambda s: (-s.admitted_ns, s.device))
        return min(holders, key=lambda s: (s.served_ns, s.device))

    def evict(self, session: Session) -> None:
        self.sim.write(LOG_EVICT, session.device, session.row, session.held)
        self.sim.books.server["evictions"] += 1
        self.hold(session, 0)
        session.cached = 0
        session.admitted_ns = -1
        for request in self.queue:
            if request.session is session:
                self.cost(request)

    # --- passes

    def pass_ns(self, new: int, cached: int, pairs: float, requests: int) -> float:
        base, per_cached, per_request, per_pair = self.costs
        last = len(self.curve) - 1
        linear = self.curve[new] if new <= last else self.curve[last] * (new / last)
        return linear + base + per_cached * cached + per_request * requests + per_pair * pairs

    def new_tokens(self, members: list[Request]) -> list[int]:
        """New tokens by member, padding included."""
        if not self.rule.padded:
            return [r.take for r in members]
        longest = max(r.k for r in members)
        return [r.take + longest - r.k for r in members]

    def start_pass(self, members: list[Request]) -> None:
        sim, now = self.sim, self.sim.now_ns
        self.queue = [r for r in self.queue if r not in members]
        self.make_room(members)
        new = self.new_tokens(members)
        cached = sum(r.session.cached for r in members)
        pairs = 0.0
        for r in members:
            pairs += r.take * (r.session.cached + 0.5 * r.take)
        batch_ns = self.pass_ns(sum(new), cached, pairs, len(members))
        factor = self.noise[cell(bits(self.noise_key, self.passes))]
        time_ns = math.floor(batch_ns * factor + 0.5)
        self.interference(members, batch_ns)
        self.pass_end_ns = now + time_ns
        self.history.append((now, self.pass_end_ns))
        sim.write(LOG_PASS, -1, -1, self.passes, len(members), self.pass_end_ns)
        books = sim.books
        for name, amount in (
            ("passes", 1),
            ("members", len(members)),
            ("new_tokens", sum(new)),
            ("busy_ns", time_ns),
        ):
            books.server[name] += amount
        for r in members:
            session = r.session
            sim.write(LOG_MEMBER, session.device, session.row, self.passes, r.k, r.take, session.cached)
            wait = now - r.queued_ns
            books.add(
                session.group,
                requests=1,
                cold=int(session.cached == 0),
                queue_ns=wait,
                verify_ns=time_ns,
            )
            books.count_wait(session.group, wait)
        self.told = sim.drafting.tell(members)
        self.members = members
        self.passes += 1

    def interference(self, members: list[Request], batch_ns: float) -> None:
        n = len(members)
        self.excess_ns = 0.0
        for r in members:
            cached = r.session.cached
            pairs = r.take * (cached + 0.5 * r.take)
            alone = self.pass_ns(r.take, cached, pairs, 1)
            copies = self.pass_ns(n * r.take, n * cached, n * pairs, n)
            mix = max(0.0, batch_ns - copies)
            self.excess_ns = max(self.excess_ns, mix)
            self.sim.books.add(r.session.group, vi_raw_ns=batch_ns - alone, vi_mix_ns=mix)

    def end_pass(self) -> None:
        now = self.sim.now_ns
        members, self.members = self.members, []
        self.pass_end_ns = NEVER
        for r in self.queue:
            waited = min(float(now - r.queued_ns), self.excess_ns)
            self.sim.books.add(r.session.group, vi_queue_ns=waited)
        for r in members:
            self.end_member(r)
        self.asked = True

    def end_member(self, r: Request) -> None:
        sim, session, now = self.sim, r.session, self.sim.now_ns
        session.served_ns = now
        if session.cached == 0:
            session.admitted_ns = now
        if r.take < r.new:  # a part of a prompt: back to its place
            session.cached += r.take  # it keeps what it has reserved
            r.queued_ns = now
            self.cost(r)
            self.queue.append(r)
            self.queue.sort(key=lambda q: (q.arrived_ns, q.device))
            return
        tokens = r.accepted + 1
        session.committed += tokens
        self.book_round(r, tokens)
        sim.write(LOG_VERIFY, session.device, session.row, self.passes - 1, r.accepted, session.committed)
        sim.send_down(sim.devices[session.device], session, tokens, (r.k, r.accepted, self.told))
        if session.committed == session.length:
            session.cached = 0
            self.hold(session, 0)
            return
        block = 1 if sim.server_loop else self.block  # what never leaves the server loses no part of a block
        session.cached = (session.context - 1) // block * block
        if not self.whole_output:
            self.hold(session, session.cached)
        if sim.server_loop:
            self.begin_here(session)

    def book_round(self, r: Request, tokens: int) -> None:
        sim, session = self.sim, r.session
        back = sim.now_ns + sim.devices[session.device].back_ns
        first = session.committed - tokens + 1
        sim.books.add(
            session.group,
            rounds=1,
            verified=r.k,
            accepted=r.accepted,
            rejected=r.k - r.accepted,
            committed=tokens,
            forecast_on_time=sum(back <= sim.due_ns(session, first + i) for i in range(tokens)),
        )
        session.taken += r.accepted
        session.foreseen += self.seen[0][r.k] / self.seen[1][r.k]
        self.seen[0][r.k] += r.accepted
        self.seen[1][r.k] += 1.0
        self.rates[session.device] = (self.ordering.smoothed_tps(session.device, tokens), sim.now_ns)
        sim.drafting.judge(r.k, r.accepted)

    def begin_here(self, session: Session) -> None:
        """The next round of a session that stays on the server."""
        now = self.sim.now_ns
        begin = self.sim.round_from_ns(session, session.committed)
        request = Request(session, max(now, begin), max(now, begin), max(now, begin), 0, 0)
        if begin > now:
            self.sim.at(begin, 2, session.device, request)
        else:
            self.receive(self.sim.devices[session.device], request)
