"""An agent's actions carried out in the reference: each dispatch takes the next one of those given.

What the choices of an action stand for is read from the tables of wisp_gym/envs/action.py.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from reference.drafting import Drafting
from reference.parts import Device, Request, Round, Session
from reference.server import Server
from wisp_gym.envs.action import BUDGETS, RECALLS, REQUESTS, RULES
from wisp_gym.pipeline.log import LOG_WAIT
from wisp_gym.pipeline.policy import SchedulerRule

if TYPE_CHECKING:
    from reference.simulator import Simulator

WAIT_NS, LONGEST_WAIT_NS = 5_000_000, 50_000_000

Order = tuple[tuple[int, ...], float]
"""Draft caps by class and the stop threshold."""


class AgentDrafting(Drafting):
    """Devices draft as the last reply says; until one does, as the policy's drafter."""

    def __init__(self, sim: Simulator) -> None:
        super().__init__(sim)
        self.first: Order = (self.rule.caps, self.threshold)
        self.order = self.first
        self.orders: dict[int, Order] = {}

    def draft(self, device: Device, session: Session, most: int) -> Round:
        caps, self.threshold = self.orders.get(device.index, self.first)
        self.checked = self.threshold > -math.inf
        device.told = caps[device.group]
        return super().draft(device, session, most)

    def limit(self, device: Device, session: Session) -> int:
        return device.told

    def tell(self, members: list[Request]) -> Any:
        return self.order

    def learn(self, device: Device, session: Session, tokens: int, told: Any) -> None:
        self.orders[device.index] = told


class AgentServer(Server):
    """The server, which asks for an action instead of a rule's decision."""

    def __init__(self, sim: Simulator, actions: Iterable[Any]) -> None:
        super().__init__(sim)
        self.actions = iter(actions)
        self.waits_since_ns = -1

    def decide(self) -> None:
        if not self.asked or self.members or not self.queue:
            self.asked = False
            return
        now, (requests, budget, rule, stop, *caps) = self.sim.now_ns, (int(x) for x in next(self.actions))
        most = REQUESTS[requests]
        if most == 0 and (self.waits_since_ns < 0 or now - self.waits_since_ns < LONGEST_WAIT_NS):
            if self.waits_since_ns < 0:
                self.waits_since_ns = now
            self.asked, self.wake_ns = False, now + WAIT_NS
            self.sim.write(LOG_WAIT, -1, -1, self.wake_ns)
            return
        self.waits_since_ns = -1
        ordering, wisp = self.ordering, RULES[rule] in ("urgent", "last")
        kind: Any = "slo-aware" if wisp else RULES[rule]
        late: Any = RULES[rule] if wisp else "last"
        ordering.rule = dataclasses.replace(SchedulerRule(), kind=kind, late=late)
        limit = self.max_batch if most is None else max(1, most)
        ordering.most = min(limit, self.max_batch)
        ordering.budget = min(BUDGETS[budget] or self.max_new, self.max_new)
        recall = RECALLS[stop]
        predictor = self.sim.world.scenario.profiles.predictor
        threshold = -math.inf if recall is None else float(predictor.threshold(recall))
        self.sim.drafting.order = tuple(caps), threshold
        super().decide()
