"""How many tokens a round drafts, under every drafter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reference.parts import Device, Round, Session

from wisp_gym.pipeline.scores import compiled_scores

if TYPE_CHECKING:
    from reference.simulator import Simulator


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
        self.on: list[float] = []
        self.off: list[float] = []
        if self.rule.score is not None:
            on, off = compiled_scores(sim.world, self.rule.score)
            self.on, self.off = on.tolist(), off.tolist()

    def limit(self, device: Device, session: Session) -> int:
        """Most tokens of the next draft."""
        kind = self.rule.kind
        if kind == "constant":
            return self.rule.caps[device.group]
        if kind == "oracle":
            run = 0
            while session.committed + run < session.length and session.accepts[session.committed + run]:
                run += 1
            return min(run, self.rule.caps[device.group])
        raise NotImplementedError(kind)

    def draft(self, device: Device, session: Session, most: int) -> Round:
        """Draft until the limit or the stop rule."""
        limit = min(self.limit(device, session), most)
        at, drafted, accepted, suspect = session.committed, 0, 0, False
        product = 1.0
        while drafted < limit and not suspect:
            position = at + drafted
            if self.on:
                scores = self.on if accepted == drafted else self.off
                score = scores[session.offset + position]
                product *= score
                suspect = (product if self.cumulative else score) < self.threshold
            if accepted == drafted and session.accepts[position]:
                accepted += 1
            drafted += 1
        k = drafted - 1 if suspect and self.rule.drop_suspect else drafted
        return Round(self.sim.now_ns, drafted, k, min(accepted, k))

    def learn(self, device: Device, session: Session, tokens: int, message: Any) -> None:
        """A result reaches the device, with what the server tells it."""
