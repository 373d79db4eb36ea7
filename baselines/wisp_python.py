"""WISP's scheduler in plain Python: an example of the Scheduler protocol, and a check on the compiled rule.

It makes the same choices as `wisp` (a test compares the event logs) at a hundredth of the speed or less:

    python evaluate.py --policy wisp predictor+baselines/wisp_python.py:WispScheduler --seeds 1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from baselines.settings import WISP_LATE, WISP_MARGIN_S, Late
from wisp_gym.pipeline import DispatchView

LATE_FIRST, URGENT, BY_DENSITY, LATE_LAST = range(4)


@dataclass(frozen=True)
class Batch:
    """A pass being put together.

    :param members: indices into the queue, in the order they joined
    :param new: tokens to compute
    :param pairs: sum of new * (new + cached) over the members
    :param cached: tokens in KV memory
    :param reserve: KV tokens held while the pass runs
    :param earliest_ns: first deadline that the guard protects
    """

    members: list[int] = field(default_factory=list)
    new: int = 0
    pairs: int = 0
    cached: int = 0
    reserve: int = 0
    earliest_ns: float = 1e300

    def with_request(self, index: int, request: Any, guarded: bool) -> Batch:
        """Return this batch with one more request.

        :param index: of the request in the queue
        :param request: its REQUEST record
        :param guarded: whether the guard protects its deadline
        """
        new, cached = int(request["take"]), int(request["cached"])
        deadline_ns = float(request["deadline_ns"])
        return replace(
            self,
            members=[*self.members, index],
            new=self.new + new,
            pairs=self.pairs + new * (new + cached),
            cached=self.cached + cached,
            reserve=self.reserve + int(request["reserve"]),
            earliest_ns=min(self.earliest_ns, deadline_ns) if guarded else self.earliest_ns,
        )


class WispScheduler:
    """Urgent requests by deadline, then the others by value density, while the guard holds.

    :param late: what becomes of requests that cannot make their deadline any more
    :param margin_s: how much before its latest start a request turns urgent
    """

    def __init__(self, late: Late = WISP_LATE, margin_s: float = WISP_MARGIN_S) -> None:
        self.late = late
        self.margin_ns = round(1e9 * margin_s)

    def select(self, view: DispatchView) -> Sequence[int]:
        """Return the members of the next pass; if nothing passes the guard, the earliest deadline alone."""
        order = sorted(range(len(view.requests)), key=lambda index: self.rank(view, view.requests[index]))
        batch = Batch()
        for index in order:
            if len(batch.members) == view.max_requests:
                break
            request = view.requests[index]
            grown = batch.with_request(index, request, self.is_guarded(view, request))
            if fits(view, grown) and self.passes_guard(view, batch, grown, request):
                batch = grown
        return batch.members or [min(order, key=lambda index: by_deadline(view.requests[index]))]

    def rank(self, view: DispatchView, request: Any) -> tuple[int, float, int]:
        """Return a request's place in the order: phase, then rank, then device."""
        device = int(request["device"])
        if self.late != "literal" and is_late(view, request):
            if self.late == "urgent":
                return LATE_FIRST, request["deadline_ns"], device
            return LATE_LAST, float(request["arrived_ns"]), device
        latest_start_ns = request["deadline_ns"] - request["alone_ns"] - self.margin_ns
        if latest_start_ns <= view.now_ns:
            return URGENT, request["deadline_ns"], device
        return BY_DENSITY, -request["expected"] / request["alone_ns"], device

    def is_guarded(self, view: DispatchView, request: Any) -> bool:
        """Return whether the guard protects a member's deadline: not where it is lost already."""
        return self.late == "literal" or not is_late(view, request)

    def passes_guard(self, view: DispatchView, batch: Batch, grown: Batch, request: Any) -> bool:
        """Return whether the pass still ends before every deadline that the guard protects."""
        if not batch.members:
            return self.late != "literal" or not is_late(view, request)
        return view.now_ns + estimate_ns(view, grown) <= grown.earliest_ns


def is_late(view: DispatchView, request: Any) -> bool:
    """Return whether even a pass of the request's own, begun now, would end after its deadline."""
    return bool(view.now_ns + request["alone_ns"] > request["deadline_ns"])


def by_deadline(request: Any) -> tuple[float, int]:
    """Return the sort key of the earliest deadline, then device."""
    return float(request["deadline_ns"]), int(request["device"])


def estimate_ns(view: DispatchView, batch: Batch) -> float:
    """Return the estimated time of a pass, ns."""
    base, per_new, per_pair, per_cached = view.estimator
    return float(base + per_new * batch.new + per_pair * batch.pairs + per_cached * batch.cached)


def fits(view: DispatchView, batch: Batch) -> bool:
    """Return whether the engine's new tokens and the KV memory take the batch."""
    return batch.new <= view.max_new and batch.reserve <= view.kv_tokens
