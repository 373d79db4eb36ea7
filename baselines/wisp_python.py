"""WISP as its paper describes it, in plain Python: what a controller of your own may look like.

The compiled rules of wisp_gym/rules do the same, much faster; a test holds the two to the same events.

    drafter = PythonWispDrafter(scenario.profiles.predictor, recall=0.8)
    policy = Policy("wisp in Python", drafter, PythonWispScheduler(late="last"))
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.settings import (
    ADAPTIVE_CAP,
    PREDICTOR_RECALL,
    SAFETY_MARGIN_S,
    WISP_EXPECTED,
    WISP_LATE,
    Deadline,
    Expected,
    Late,
)
from wisp_gym.pipeline import DispatchView, RoundView, SchedulerRule, Stream
from wisp_gym.profiles import Predictor
from wisp_gym.profiles.predictor import Network

Columns = list[NDArray[np.float32]]
"""Arrays over a stream's positions."""


class PythonWispDrafter:
    """Drafts until a token looks like one that the target will reject.

    :param predictor: the pair's stop predictor
    :param recall: share of the accepted tokens that its threshold lets pass
    :param cap: most tokens of a draft
    """

    def __init__(
        self, predictor: Predictor, recall: float = PREDICTOR_RECALL, cap: int = ADAPTIVE_CAP
    ) -> None:
        self.network, self.threshold, self.cap = predictor.network, predictor.threshold(recall), cap

    def score(self, stream: Stream) -> NDArray[np.float32]:
        """Return the stop score of each position.  # (length,)"""
        return stop_scores(self.network, stream.signals)

    def limit(self, view: RoundView) -> tuple[int, float]:
        """Return the most tokens to draft and the threshold, the same in every round."""
        return self.cap, self.threshold


def stop_scores(network: Network, signals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the predictor's logits: two hidden layers, each clipped below at zero.

    Sums go from the bias on, input by input, so that every bit is that of the compiled code.

    :param signals: columns confidence, entropy (nats), margin, spread (nats)  # (length, 4)
    """
    hidden = clipped_layer(network.first, network.first_bias, list(signals.T))
    hidden = clipped_layer(network.second, network.second_bias, hidden)
    return weighted_sum(network.last_bias[0], network.last, hidden)


def clipped_layer(weights: NDArray[np.float32], bias: NDArray[np.float32], inputs: Columns) -> Columns:
    """Return a layer's units, one array over the positions each."""
    units = (weighted_sum(b, row, inputs) for b, row in zip(bias, weights, strict=True))
    return [np.maximum(unit, np.float32(0.0)) for unit in units]


def weighted_sum(bias: np.float32, weights: NDArray[np.float32], inputs: Columns) -> NDArray[np.float32]:
    """Return bias + weights[0] * inputs[0] + weights[1] * inputs[1] + ..., added in that order."""
    total = np.full(len(inputs[0]), bias, np.float32)
    for weight, column in zip(weights, inputs, strict=True):
        total += weight * column
    return total


class Batch:
    """The pass being put together: sums over its members.

    :param view: what the server knows; its limits bound the pass
    """

    def __init__(self, view: DispatchView) -> None:
        self.view = view
        self.members: list[int] = []
        self.new = self.cached = self.pairs = self.reserve = 0
        self.earliest_deadline_ns = math.inf

    def fits(self, request: Any) -> bool:
        """Return whether engine and KV memory can take the request too."""
        return (
            len(self.members) < self.view.max_requests
            and self.new + request["take"] <= self.view.max_new
            and self.reserve + request["reserve"] <= self.view.kv_tokens
        )

    def end_ns(self, request: Any) -> float:
        """Return when the pass would end with the request in it, as the estimator has it."""
        take, cached = int(request["take"]), int(request["cached"])
        pairs = self.pairs + take * (take + cached)
        return self.view.now_ns + estimate_ns(self.view, self.new + take, pairs, self.cached + cached)

    def add(self, index: int, request: Any) -> None:
        """Take the request in."""
        take, cached = int(request["take"]), int(request["cached"])
        self.members.append(index)
        self.new += take
        self.cached += cached
        self.pairs += take * (take + cached)
        self.reserve += int(request["reserve"])


def estimate_ns(view: DispatchView, new: int, pairs: int, cached: int) -> float:
    """Return T_hat of a pass, ns: c0 + c1 * sum(new) + c2 * sum(new * (new + cached)) + c3 * sum(cached)."""
    c0, c1, c2, c3 = map(float, view.estimator)
    return c0 + c1 * new + c2 * pairs + c3 * cached


class PythonWispScheduler:
    """Takes urgent requests first, by deadline, then the others by value density, each behind a guard.

    :param late: what becomes of late requests, see wisp_gym/rules/wisp.py
    :param margin_s: taken off every latest start, s
    :param deadline: reading of the deadlines that its requests carry; None: the scenario's
    :param expected: where the E[accepted] that they carry comes from
    """

    def __init__(
        self,
        late: Late = WISP_LATE,
        margin_s: float = SAFETY_MARGIN_S,
        deadline: Deadline | None = None,
        expected: Expected = WISP_EXPECTED,
    ) -> None:
        self.late = late
        self.margin_ns = round(1e9 * margin_s)
        self.requests_as = SchedulerRule("slo-aware", deadline=deadline, expected=expected)

    def select(self, view: DispatchView) -> list[int]:
        """Return the next pass as indices into `view.requests`."""
        queue = view.requests
        alone_ns = [Batch(view).end_ns(request) - view.now_ns for request in queue]
        late = [view.now_ns + alone_ns[i] > queue[i]["deadline_ns"] for i in range(len(queue))]
        batch = Batch(view)
        for i in sorted(range(len(queue)), key=lambda i: self._rank(view, i, alone_ns[i], late[i])):
            if not batch.fits(queue[i]):
                continue
            bound = self.late == "literal" or not late[i]
            earliest = batch.earliest_deadline_ns
            if bound:
                earliest = min(earliest, float(queue[i]["deadline_ns"]))
            if batch.end_ns(queue[i]) <= earliest:
                batch.add(i, queue[i])
                batch.earliest_deadline_ns = earliest
        return batch.members or [_first_deadline(queue)]

    def _rank(self, view: DispatchView, i: int, alone_ns: float, late: bool) -> tuple[int, float, int]:
        """Return the sort key of a request: its phase, its place there, its device."""
        request = view.requests[i]
        deadline_ns, device = float(request["deadline_ns"]), int(request["device"])
        if late and self.late == "urgent":
            return 0, deadline_ns, device
        if late and self.late == "last":
            return 3, float(request["arrived_ns"]), device
        if deadline_ns - alone_ns - self.margin_ns <= view.now_ns:
            return 1, deadline_ns, device
        return 2, -float(request["expected"]) / alone_ns, device


def _first_deadline(queue: NDArray[Any]) -> int:
    """Return the index of the earliest deadline; it goes alone where nothing passes the guard."""
    return min(range(len(queue)), key=lambda i: (float(queue[i]["deadline_ns"]), int(queue[i]["device"])))
