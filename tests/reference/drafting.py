"""How many tokens a round drafts, under every drafter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reference.belief import Beliefs
from reference.draws import CAUSE_POLICY, address, bits
from reference.parts import Device, Request, Round, Session
from wisp_gym.pipeline.scores import compiled_scores

if TYPE_CHECKING:
    from reference.simulator import Simulator

PRIOR_ROUNDS = 20.0
KEPT = 0.995


class Drafting:
    """A drafter's settings, and what its devices were told or have learned."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.rule = sim.policy.drafter
        self.checked = self.rule.score in ("stop", "agreement", "observed")
        self.cumulative = self.rule.score == "agreement"
        self.threshold = float(self.rule.threshold)
        if self.rule.recall is not None:
            self.threshold = float(sim.world.scenario.profiles.predictor.threshold(self.rule.recall))
        self.checked &= self.threshold > -math.inf
        self.agreed = PRIOR_ROUNDS * float(sim.world.arrays.expected[1])
        self.judged = PRIOR_ROUNDS
        self.on: list[float] = []
        self.off: list[float] = []
        if self.rule.score is not None:
            on, off = compiled_scores(sim.world, self.rule.score)
            self.on, self.off = on.tolist(), off.tolist()
        self.beliefs = Beliefs(self) if self.rule.kind == "bayes" else None

    def limit(self, device: Device, session: Session) -> int:
        """Most tokens of the next draft."""
        kind = self.rule.kind
        if kind in ("constant", "bayes"):
            return self.rule.caps[device.group]
        if kind in ("table", "goodput"):
            return device.told
        if kind == "ucb":
            device.told = self.pick_arm(device)
            return device.told
        if kind == "random":
            first = session.row - device.first_session
            draw = address(self.sim.policy_seed, CAUSE_POLICY, device.index, first)
            return bits(draw, session.committed) >> 61
        if kind == "oracle":
            run = 0
            while session.committed + run < session.length and session.accepts[session.committed + run]:
                run += 1
            return min(run, self.rule.caps[device.group])
        raise NotImplementedError(f"drafter {kind}")

    def run(self, session: Session, at: int, limit: int, on_path: bool) -> tuple[int, int, bool]:
        """Draft to the limit or the stop rule: tokens, the run that agrees, whether the last is a suspect."""
        drafted, accepted, suspect = 0, 0, False
        product = 1.0
        while drafted < limit and not suspect:
            on = on_path and accepted == drafted
            if self.on:
                score = (self.on if on else self.off)[session.offset + at + drafted]
                product *= score
                suspect = (product if self.cumulative else score) < self.threshold
            if on and session.accepts[at + drafted]:
                accepted += 1
            drafted += 1
        return drafted, accepted, suspect

    def draft(self, device: Device, session: Session, most: int) -> Round:
        """A round's draft, now."""
        limit = min(self.limit(device, session), most)
        if self.beliefs is not None:
            drafted, accepted = self.beliefs.draft(device, session, limit)
            return Round(self.sim.now_ns, drafted, drafted, accepted)
        drafted, accepted, suspect = self.run(session, session.committed, limit, True)
        k = drafted - 1 if suspect and self.rule.drop_suspect else drafted
        return Round(self.sim.now_ns, drafted, k, min(accepted, k))

    # --- what the server or the device decides by what it has seen

    def tell(self, members: list[Request]) -> int | None:
        """What the replies of a pass that starts say: the length of the next draft."""
        if self.rule.kind == "table":
            fitting = [length for largest, length in self.rule.table if len(members) <= largest]
            return fitting[0] if fitting else 0
        if self.rule.kind == "goodput":
            return self.best_length(len(members), sum(r.session.context for r in members))
        return None

    def best_length(self, members: int, context: int) -> int:
        """Most expected committed tokens per time, were these members to come again with k tokens each."""
        a = self.agreed / self.judged
        best, best_rate = 0, 0.0
        tokens, power = 0.0, 1.0
        for k in range(self.rule.caps[0] + 1):
            tokens += power
            power *= a
            new = members * (k + 1)
            time_ns = self.sim.server.estimate(new, (k + 1) * (new + context), context)
            rate = members * tokens / time_ns
            if rate > best_rate:
                best, best_rate = k, rate
        return best

    def judge(self, k: int, accepted: int) -> None:
        """The server has seen a draft of k: tokens after the first mismatch say nothing."""
        if k > 0:
            self.agreed = KEPT * self.agreed + accepted
            self.judged = KEPT * self.judged + min(accepted + 1, k)

    def pick_arm(self, device: Device) -> int:
        """The bandit's length: each once, shortest first, then the least index."""
        if not device.sums:
            device.sums = [[0.0, 0.0, 0.0] for _ in range(self.rule.caps[0])]
        for length, (_, _, rounds) in enumerate(device.sums, 1):
            if rounds == 0:
                return length
        t = sum(rounds for _, _, rounds in device.sums)
        mean_ns = sum(time_ns for time_ns, _, _ in device.sums) / t
        beta = self.rule.explore * mean_ns
        costs = [
            time_ns / tokens - beta * math.sqrt(rounds * math.log(t + 1)) / tokens
            for time_ns, tokens, rounds in device.sums
        ]
        return costs.index(min(costs)) + 1

    def learn(self, device: Device, session: Session, tokens: int, told: int | None) -> None:
        """A result reaches the device, with what the server tells it."""
        if told is not None:
            device.told = told
        if (
            self.rule.kind == "ucb"
            and tokens
            and session.committed > 0
            and len(session.delivered_at) > tokens
            and device.round.k == device.told
        ):
            sums = device.sums[device.told - 1]
            sums[0] += self.sim.now_ns - device.round.begun_ns
            sums[1] += tokens
            sums[2] += 1
