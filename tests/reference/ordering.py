"""Who is next, under every scheduler: requests in a rule's order while they fit engine, memory and guard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reference.draws import CAUSE_POLICY, address, uniform
from reference.parts import NEVER, Request

if TYPE_CHECKING:
    from reference.server import Server


class Ordering:
    """A scheduler's settings."""

    def __init__(self, server: Server) -> None:
        self.server = server
        rule = self.rule = server.rule
        self.most = min(rule.max_requests or server.max_batch, server.max_batch)
        self.size = min(rule.static_size, self.most)
        if rule.kind == "static":
            self.most = self.size
        self.budget = min(rule.token_budget or server.max_new, server.max_new)
        self.margin_ns = round(1e9 * rule.margin_s)
        self.fair_ns = round(1e9 * rule.fair_s)
        self.limit_ns = round(1e9 * rule.static_limit_s)

    def choose(self) -> tuple[list[Request], int]:
        """The members of the next pass; when there are none, until when to wait."""
        queue, now = self.server.queue, self.server.sim.now_ns
        if self.rule.kind == "static":
            oldest = min(r.arrived_ns for r in queue)
            if len(queue) < self.size and now < oldest + self.limit_ns:
                return [], oldest + self.limit_ns
        members: list[Request] = []
        for request in sorted(queue, key=lambda r: (*self.rank(r), r.device)):
            if self.fits(members, request) and self.may_join(members, request):
                members.append(request)
        if not members and not self.server.whole_output:
            members = [min(queue, key=lambda r: (r.deadline_ns, r.device))]
        return members, NEVER

    # --- order

    def is_late(self, r: Request) -> bool:
        return self.server.sim.now_ns + r.alone_ns > r.deadline_ns

    def is_urgent(self, r: Request) -> bool:
        return r.deadline_ns - r.alone_ns - self.margin_ns <= self.server.sim.now_ns

    def rank(self, r: Request) -> tuple[int, float]:
        kind = self.rule.kind
        if kind in ("fcfs", "static"):
            return 0, r.arrived_ns
        if kind == "edf":
            return 0, r.deadline_ns
        if kind == "density":
            return 0, -r.expected / r.alone_ns
        if kind == "slo-aware":
            return self.wisp_rank(r)
        if kind == "continuous":
            return self.continuous_rank(r)
        if kind == "random":
            sim = self.server.sim
            return 0, uniform(address(sim.policy_seed, CAUSE_POLICY, self.server.passes, r.device), 0)
        if kind == "proportional-fair":
            return 0, -(r.expected + 1.0) / (self.smoothed_tps(r.session.device) + 1e9 / self.fair_ns)
        raise NotImplementedError(f"scheduler {kind}")

    def smoothed_tps(self, device: int, tokens: int = 0) -> float:
        """A device's committed tokens/s, smoothed, with so many more committed now."""
        tps, rated_ns = self.server.rates.get(device, (0.0, 0))
        elapsed = (self.server.sim.now_ns - rated_ns) / self.fair_ns
        return (tps + 1e9 * tokens / self.fair_ns) / (1.0 + elapsed)

    def wisp_rank(self, r: Request) -> tuple[int, float]:
        density = -r.expected / r.alone_ns
        late, urgent = self.is_late(r), self.is_urgent(r)
        if self.rule.late == "literal":
            return (0, r.deadline_ns) if urgent else (1, density)
        if self.rule.late == "urgent":
            return (0, r.deadline_ns) if late else (1, r.deadline_ns) if urgent else (2, density)
        return (2, r.arrived_ns) if late else (0, r.deadline_ns) if urgent else (1, density)

    def continuous_rank(self, r: Request) -> tuple[int, float]:
        if self.rule.run_to_completion:
            return (0, r.session.admitted_ns) if r.session.cached > 0 else (1, r.arrived_ns)
        return 0, max(r.session.served_ns, r.arrived_ns)

    # --- limits

    def fits(self, members: list[Request], r: Request) -> bool:
        server = self.server
        if len(members) == self.most:
            return False
        new = sum(server.new_tokens([*members, r]))
        if new > server.max_new or (members and new > self.budget):
            return False
        reserved = sum(server.reserve(m) for m in [*members, r])
        if server.continuous and r.session.cached == 0:
            free = server.kv_tokens - server.sim.books.kv_used
            taken = sum(server.reserve(m) - m.session.held for m in [*members, r])
            return taken <= free
        return reserved <= server.kv_tokens

    def may_join(self, members: list[Request], r: Request) -> bool:
        """WISP's guard."""
        if self.rule.kind != "slo-aware" or (not members and self.rule.late != "literal"):
            return True
        together = [*members, r]
        new = sum(m.take for m in together)
        pairs = sum(m.take * (m.take + m.session.cached) for m in together)
        cached = sum(m.session.cached for m in together)
        end = self.server.sim.now_ns + self.server.estimate(new, pairs, cached)
        counts = [m for m in together if self.rule.late == "literal" or not self.is_late(m)]
        return all(end <= m.deadline_ns for m in counts)
