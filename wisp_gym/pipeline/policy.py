"""A policy: a drafter on the devices and a scheduler on the server, each a compiled rule's settings or a
Python object."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from wisp_gym.errors import InputError
from wisp_gym.pipeline.protocols import Commander, Drafter, Scheduler
from wisp_gym.rules.control import MAX_DRAFT
from wisp_gym.rules.specdec import least_product
from wisp_gym.world.types import GROUPS

Score = Literal["confidence", "entropy", "stop", "agreement", "observed"]
DrafterKind = Literal["constant", "random", "table", "goodput", "ucb", "oracle", "bayes"]
Late = Literal["literal", "urgent", "last"]
Deadline = Literal["round", "timeline"]
Expected = Literal["profile", "fleet", "session"]
SchedulerKind = Literal[
    "fcfs", "edf", "density", "slo-aware", "static", "continuous", "proportional-fair", "random"
]

WISP_CAP = 8
"""WISP's fixed maximum draft length; not published, 8 is common."""

WISP_MARGIN_S = 0.3
"""WISP's safety margin. Its size is not published. Dispatches come a pass apart, so a request left now is
looked at a pass later and ends a pass after that: a margin below two passes (0.1 s on the A100 profile) acts
too late to help. Calibrated with the capacity table (docs/reproduction.md): six passes."""

FAIR_S = 10.0
"""Time constant of a device's smoothed goodput under proportional fairness. GoodSpeed smooths over its rounds
with a step size that it leaves open; 10 s are some 20 to 60 rounds of a device."""

WISP_RECALL = 0.8
"""Recall on accepted tokens at WISP's published operating point (0.801)."""

RETRIES = 3
"""How often a device asks again in a round when its time-out is on. SLED's number is not published."""

MOST_TIMEOUT_S = 3600.0
"""Longest time-out."""


def _check_choice(name: str, value: str | None, allowed: tuple[str | None, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name}: {value!r}; allowed: {', '.join(str(choice) for choice in allowed)}")


def _check_table(table: tuple[tuple[int, int], ...]) -> None:
    whole = all(type(number) is int for entry in table for number in entry)
    rising = all(a < b for a, b in pairwise([0, *(largest for largest, _ in table)]))
    if not (table and whole and rising and all(0 <= length <= MAX_DRAFT for _, length in table)):
        raise InputError(
            f"draft table: {table}; allowed: pairs (largest pass, rising from 1; 0 to {MAX_DRAFT} tokens)"
        )


@dataclass(frozen=True)
class DrafterRule:
    """Settings of a compiled drafter.

    :param kind: "constant", "random" (a random cap of 0-7 each round), "table" (vLLM), "goodput" (TurboSpec),
    "ucb" (UCB-SpecStop), "oracle" (the run of agreements ahead) or "bayes" (while the next token is accepted
    with probability `threshold` or more, by the filter of wisp_gym/rules/bayes.py), see wisp_gym/rules
    :param caps: most tokens to draft, by SLO class; of goodput and ucb the first is the longest considered
    # (4,)
    :param score: what the stop rule reads: confidence, entropy (negated), WISP's stop score, or agreement
    (the product of P(accept) over the draft, SpecDec++); None drafts to the cap; "observed", the logit behind
    the signals, is what "bayes" reads
    :param threshold: the first token scoring below it ends the draft
    :param recall: instead of a threshold, the recall on accepted tokens of the predictor's table (stop score
    only)
    :param drop_suspect: do not send the token that ended the draft
    :param server_loop: no drafting and no network between rounds (centralized serving)
    :param ahead: go on drafting while waiting for the answer (SLED, see pipeline/ahead.py)
    :param timeout_s: ask again after waiting for so long, s; None waits for ever
    :param retries: ask again at most so often in a round, then wait
    :param table: of "table": (largest pass, draft length), rising; larger passes draft nothing
    :param explore: of "ucb": weight of what is not known yet
    :raises InputError: a cap outside 0-32 (1-32 with ucb), a recall that is not between 0
    and 1, a table or weight that cannot be, a time-out that
    is not above 0, or drafting ahead together with `drop_suspect`, `server_loop` or a rule that needs the
    reply
    """

    kind: DrafterKind = "constant"
    caps: tuple[int, int, int, int] = (0, 0, 0, 0)
    score: Score | None = None
    threshold: float = -math.inf
    recall: float | None = None
    drop_suspect: bool = False
    server_loop: bool = False
    ahead: bool = False
    timeout_s: float | None = None
    retries: int = RETRIES
    table: tuple[tuple[int, int], ...] = ()
    explore: float = 0.0

    def __post_init__(self) -> None:
        _check_choice("drafter", self.kind, get_args(DrafterKind))
        _check_choice("score", self.score, (None, *get_args(Score)))
        if len(self.caps) != GROUPS or not all(
            type(cap) is int and 0 <= cap <= MAX_DRAFT for cap in self.caps
        ):
            raise InputError(
                f"draft cap: {self.caps}; allowed: {GROUPS} integers of 0 to {MAX_DRAFT}, one per class"
            )
        if math.isnan(self.threshold):
            raise InputError("draft threshold: nan; allowed: a number")
        if self.recall is not None and not 0 < self.recall < 1:
            raise InputError(f"draft recall: {self.recall}; allowed: between 0 and 1")
        if self.kind == "table":
            _check_table(self.table)
        if self.kind == "ucb" and self.caps[0] == 0:
            raise InputError(f"draft cap of ucb: 0; allowed: 1 to {MAX_DRAFT}")
        if not (math.isfinite(self.explore) and self.explore >= 0):
            raise InputError(f"explore: {self.explore}; allowed: a number, 0 or more")
        if self.kind == "bayes" and self.score != "observed":
            raise InputError(f"score: {self.score!r}; allowed with the drafter 'bayes': observed")
        self._check_waiting()

    def _check_waiting(self) -> None:
        if self.ahead and self.drop_suspect:
            raise InputError(
                "ahead: with drop_suspect; allowed: one of them, a dropped token leaves nothing ahead"
            )
        if self.ahead and (self.kind not in ("constant", "random") or self.score == "agreement"):
            rule = self.score or self.kind
            raise InputError(f"ahead: with {rule}; allowed: fixed, confidence, predictor, random")
        if self.server_loop and (self.ahead or self.timeout_s is not None):
            raise InputError("ahead, timeout_s: with server_loop; allowed: drafters on a device")
        if self.timeout_s is not None and not (0 < self.timeout_s <= MOST_TIMEOUT_S):
            raise InputError(
                f"timeout_s: {self.timeout_s}; allowed: above 0, at most {MOST_TIMEOUT_S:g} s, or None"
            )
        if not (type(self.retries) is int and self.retries >= 0):
            raise InputError(f"retries: {self.retries}; allowed: an integer of 0 or more")

    @classmethod
    def none(cls, server_loop: bool = False) -> DrafterRule:
        """Draft nothing; with `server_loop` the session stays on the server."""
        return cls(server_loop=server_loop)

    @classmethod
    def fixed(cls, k: int) -> DrafterRule:
        """Draft k tokens every round."""
        return cls(caps=(k, k, k, k))

    @classmethod
    def confidence(cls, threshold: float, cap: int = WISP_CAP) -> DrafterRule:
        """Stop at the first token whose top probability is below the threshold (SLED)."""
        return cls(caps=(cap, cap, cap, cap), score="confidence", threshold=threshold)

    @classmethod
    def predictor(
        cls, recall: float = WISP_RECALL, cap: int = WISP_CAP, drop_suspect: bool = False
    ) -> DrafterRule:
        """Stop at the first token that WISP's predictor takes for a rejection.

        :param recall: share of the accepted tokens that its threshold lets pass; :param cap: most tokens
        :param drop_suspect: do not send the token that ended the draft
        """
        return cls(caps=(cap, cap, cap, cap), score="stop", recall=recall, drop_suspect=drop_suspect)

    @classmethod
    def entropy(cls, nats: float, cap: int = WISP_CAP) -> DrafterRule:
        """Stop at the first token drawn at more entropy than `nats` (SVIP, AdaEDL)."""
        return cls(caps=(cap, cap, cap, cap), score="entropy", threshold=-nats)

    @classmethod
    def specdec(cls, h: float, cap: int = WISP_CAP) -> DrafterRule:
        """Stop when P(at least one token is rejected) exceeds h (SpecDec++)."""
        return cls(caps=(cap, cap, cap, cap), score="agreement", threshold=least_product(h))

    @classmethod
    def by_batch(cls, table: tuple[tuple[int, int], ...]) -> DrafterRule:
        """Draft by the size of the last pass: (largest pass, length), rising; nothing after larger ones
        (vLLM)."""
        return cls(kind="table", table=table)

    @classmethod
    def goodput(cls, longest: int = WISP_CAP) -> DrafterRule:
        """Draft what the server expects most committed tokens per second of, 0 to `longest` (TurboSpec)."""
        return cls(kind="goodput", caps=(longest, longest, longest, longest))

    @classmethod
    def ucb(cls, explore: float, longest: int = WISP_CAP) -> DrafterRule:
        """Let each device learn which length, 1 to `longest`, brings it tokens fastest (UCB-SpecStop)."""
        return cls(kind="ucb", caps=(longest, longest, longest, longest), explore=explore)

    @classmethod
    def random(cls) -> DrafterRule:
        """Draft a random number of tokens, 0 to 7, each round."""
        return cls(kind="random")

    @classmethod
    def oracle(cls, cap: int) -> DrafterRule:
        """Draft the run of agreements ahead, at most the cap: a ceiling, no controller."""
        return cls(kind="oracle", caps=(cap, cap, cap, cap))

    @classmethod
    def bayes(cls, least: float, cap: int = MAX_DRAFT) -> DrafterRule:
        """Draft while the next token is accepted with probability `least` or more: a ceiling too."""
        return cls(kind="bayes", caps=(cap, cap, cap, cap), score="observed", threshold=least)


@dataclass(frozen=True)
class SchedulerRule:
    """Settings of a compiled scheduler.

    :param kind: which rule
    :param max_requests: of a pass; None: the engine's limit, which bounds it anyway
    :param token_budget: new tokens of a pass after its first member; None: the engine's limit
    :param late: WISP's reading of late requests
    :param deadline: reading of the deadline; None: the scenario's
    :param margin_s: WISP's safety margin, s
    :param expected: where E[accepted] of a draft comes from (wisp_gym/rules/expected.py)
    :param static_size: SLED: requests waited for, at most the engine's limit; fewer go after the time limit
    :param static_limit_s: SLED: longest wait for them from the arrival of the first, s
    :param padded: pad every draft of a pass to the longest (SLED), the empty one of a prompt too; nothing is
    padded to a prompt's length
    :param run_to_completion: continuous: keep to the sessions admitted first
    :param whole_output: continuous: a session holds KV memory for its whole output from its admission on,
    so nobody admitted is ever evicted; False: it holds what it has, and the youngest is evicted when it runs
    short
    :param fair_s: proportional-fair: time constant of a device's smoothed goodput, s, more than 0
    """

    kind: SchedulerKind = "fcfs"
    max_requests: int | None = None
    token_budget: int | None = None
    late: Late = "last"
    deadline: Deadline | None = None
    margin_s: float = WISP_MARGIN_S
    expected: Expected = "fleet"
    static_size: int = 3
    static_limit_s: float = 0.05
    padded: bool = False
    run_to_completion: bool = False
    whole_output: bool = True
    fair_s: float = FAIR_S

    def __post_init__(self) -> None:
        _check_choice("scheduler", self.kind, get_args(SchedulerKind))
        _check_choice("late", self.late, get_args(Late))
        _check_choice("deadline", self.deadline, (None, *get_args(Deadline)))
        _check_choice("expected", self.expected, get_args(Expected))
        for name in ("max_requests", "token_budget", "static_size"):
            value = getattr(self, name)
            if value is not None and not (type(value) is int and value >= 1):
                raise InputError(f"{name}: {value}; allowed: an integer of 1 or more")
        for name in ("margin_s", "static_limit_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name}: {value}; allowed: seconds, 0 or more")
        if not (math.isfinite(self.fair_s) and self.fair_s >= 1e-3):
            raise InputError(f"fair_s: {self.fair_s}; allowed: seconds, 0.001 or more")


@dataclass(frozen=True)
class Policy:
    """A named pair of drafter and scheduler.

    :param name: what tables call it
    :param drafter: compiled rule or Python object; under a commander, where its draft caps and threshold
    start from
    :param scheduler: compiled rule or Python object; a commander decides both halves at every dispatch
    """

    name: str
    drafter: DrafterRule | Drafter
    scheduler: SchedulerRule | Scheduler | Commander
