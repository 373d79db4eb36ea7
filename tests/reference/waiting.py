"""What a device does while it waits for an answer: draft ahead, ask again after a time-out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reference.parts import NEVER, Device, Request, Session
from wisp_gym.pipeline.log import LOG_AHEAD, LOG_RETRY

if TYPE_CHECKING:
    from reference.simulator import Simulator

MAX_DRAFT = 32
MOST_AT_RANDOM = 7
ARRIVAL, TIMEOUT = 2, 3
HEADER_BYTES, TOKEN_BYTES = 40, 12


class Waiting:
    """Drafting ahead and time-outs, as the drafter's settings say."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        rule = sim.policy.drafter
        self.ahead = rule.ahead
        self.timeout_ns = None if rule.timeout_s is None else round(1e9 * rule.timeout_s)
        self.retries = rule.retries

    def most(self, device: Device, session: Session) -> int:
        """Tokens drafted ahead of the newest request at most, the guess of the target's token included."""
        guess = device.had + device.asked
        left = session.length - guess - 1  # after the guess; the target supplies the last of these
        rule = self.sim.policy.drafter
        cap = MOST_AT_RANDOM if rule.kind == "random" else rule.caps[device.group]
        limit = min(cap, left - 1, MAX_DRAFT - device.asked - 1)
        if limit <= 0:
            return 0
        on_path = all(session.accepts[device.had : guess + 1])
        tokens = self.sim.drafting.run(session, guess + 1, limit, on_path)[0]
        return 1 + tokens

    def begin(self, device: Device, session: Session, sent_ns: int, k: int) -> None:
        """A new round's request leaves at `sent_ns`."""
        device.asked, device.retries = k, 0
        device.ahead_from_ns = -1
        if self.ahead:
            device.ahead_from_ns = sent_ns
        if self.timeout_ns is not None and self.retries > 0:
            self.set_timer(device, sent_ns + self.timeout_ns)

    def whole(self, spent_ns: int, token_ns: int, most: int) -> int:
        """Tokens that are complete after a time."""
        return most if token_ns == 0 else min(most, spent_ns // token_ns)

    def set_timer(self, device: Device, time_ns: int) -> None:
        device.timer_ns = time_ns
        self.sim.at(time_ns, TIMEOUT, device.index, None)

    def time_out(self, device: Device) -> None:
        """Merge what was drafted ahead into a longer request of the round, and send that."""
        sim, now = self.sim, self.sim.now_ns
        if device.timer_ns != now or device.session is None:
            return
        session = device.session
        since, new = device.ahead_from_ns, 0
        token_ns = sim.token_ns(device)
        if since >= 0:
            most = self.most(device, session)
            new = self.whole(now - since, token_ns, most)
        sim.books.add(
            device.group,
            drafted=new,
            draft_ns=new * token_ns,
            sent=device.asked + new,
            resent=device.asked,
            energy_j=1e-9 * device.power_w * (new * token_ns),
        )
        device.asked += new
        device.retries += 1
        sim.write(LOG_RETRY, device.index, session.row, device.asked, new, since)
        if since >= 0:
            done = since + new * token_ns
            device.ahead_from_ns = now if new == most else done
        arrival = sim.cross_up(device, now, HEADER_BYTES + TOKEN_BYTES * device.asked, again=True)
        accepts = session.accepts[device.had : device.had + device.asked]
        run = accepts.index(0) if 0 in accepts else len(accepts)
        assert device.round is not None
        request = Request(session, arrival, arrival, device.round.begun_ns, device.asked, run, device.rounds)
        sim.at(arrival, ARRIVAL, device.index, request)
        device.timer_ns = NEVER
        if device.retries < self.retries:
            self.set_timer(device, now + self.timeout_ns)

    def end(self, device: Device, session: Session, verified: int, accepted: int) -> None:
        """An answer is there: what was drafted ahead is kept or discarded."""
        sim, now = self.sim, self.sim.now_ns
        device.timer_ns = NEVER
        late = device.asked - verified  # tokens in requests that came too late
        since, device.ahead_from_ns = device.ahead_from_ns, -1
        if since < 0 or (late == 0 and self.most(device, session) == 0):
            return
        token_ns = sim.token_ns(device)
        spent = min(now - since, self.most(device, session) * token_ns)
        whole = self.whole(spent, token_ns, self.most(device, session))
        right = accepted == verified and bool(session.accepts[device.had + verified])
        chain = late + whole
        kept = chain - 1 if right and chain > 0 else -1
        if kept >= 0:
            device.ahead = kept
            device.ahead_ns = kept * token_ns + (spent - whole * token_ns)
            device.ahead_sent = max(0, late - 1)
            discarded, wasted = int(late == 0), token_ns
        else:
            device.ahead = device.ahead_ns = device.ahead_sent = 0
            discarded, wasted = whole, late * token_ns + spent
        sim.books.add(
            device.group,
            drafted=whole,
            discarded=discarded,
            draft_ns=spent,
            waste_ns=wasted,
            energy_j=1e-9 * device.power_w * spent,
        )
        sim.write(LOG_AHEAD, device.index, session.row, since, whole, kept, spent)
