"""The Bayesian drafter's use of its filter.

The filter itself, a law of numbers like the stop scores, is the library's (wisp_gym/rules/bayes.py): what is
checked here is when it learns, what of, and when a draft ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reference.parts import Device, Session
from wisp_gym.pipeline.scores import stream_law
from wisp_gym.rules import bayes

if TYPE_CHECKING:
    from reference.drafting import Drafting


class Beliefs:
    """What every device believes of the position that comes next."""

    def __init__(self, drafting: Drafting) -> None:
        self.drafting = drafting
        self.law = stream_law(drafting.sim.world)
        self.by_device: dict[int, Any] = {}

    def learn(self, device: Device, session: Session) -> None:
        """What became of the last round: positions whose outcome is known, and one unseen after them."""
        verified, accepted = device.answer
        belief = self.by_device.setdefault(device.index, np.zeros(bayes.belief_length(self.law)))
        at = session.committed - accepted - 1
        if at == 0:
            bayes.begin_belief(belief, self.law)
        for position in range(at, at + accepted + 1):
            if position - at < verified:
                bayes.observe(
                    belief, self.law, self.seen(session, position, True), int(position - at < accepted)
                )
            bayes.move_on(belief, self.law)

    def seen(self, session: Session, position: int, on_path: bool) -> float:
        """The observed logit of a position."""
        scores = self.drafting.on if on_path else self.drafting.off
        return bayes.seen_logit(np.float32(scores[session.offset + position]), self.law)

    def draft(self, device: Device, session: Session, limit: int) -> tuple[int, int]:
        """Draft while the next token is accepted with the threshold's probability or more: tokens, their run.

        On the path or off it: both are weighed by how well they explain the signals.
        """
        self.learn(device, session)
        law, belief = self.law, self.by_device[device.index].copy()
        drafted, accepted, on = 0, 0, 1.0
        while drafted < limit and on * bayes.foresee(belief, law) >= self.drafting.threshold:
            position = session.committed + drafted
            on_path = accepted == drafted
            seen = self.seen(session, position, on_path)
            density, agrees = bayes.observe(belief, law, seen, 1)
            off = (1.0 - on) * bayes.normal_density(seen - law[bayes.OFF_MEAN], law[bayes.OFF_VAR])
            on *= density / (on * density + off) * agrees
            bayes.move_on(belief, law)
            accepted += int(on_path and session.accepts[position])
            drafted += 1
        return drafted, accepted
