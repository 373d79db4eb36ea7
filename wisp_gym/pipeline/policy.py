"""A policy: a drafter on the devices and a scheduler on the server, each a compiled rule's settings or a
Python object."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from wisp_gym.errors import InputError
from wisp_gym.pipeline.protocols import Commander, Drafter, Scheduler
from wisp_gym.rules.control import MAX_DRAFT
from wisp_gym.world.types import GROUPS

Score = Literal["confidence", "entropy", "stop"]
Late = Literal["literal", "urgent", "last"]
Deadline = Literal["round", "timeline"]
Expected = Literal["profile", "fleet", "session"]
SchedulerKind = Literal["fcfs", "edf", "density", "slo-aware", "static", "continuous", "random"]

WISP_CAP = 8
"""WISP's fixed maximum draft length; not published, 8 is common."""

WISP_MARGIN_S = 0.1
"""WISP's safety margin. Its size is not published. Dispatches come a pass apart, so a request left now is
looked at a pass
later and ends a pass after that: two passes of the A100 profile. Without a margin the rule acts too late
to help."""

WISP_RECALL = 0.8
"""Recall on accepted tokens at WISP's published operating point (0.801)."""


def _check_choice(name: str, value: str | None, allowed: tuple[str | None, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name}: {value!r}; allowed: {', '.join(str(choice) for choice in allowed)}")


@dataclass(frozen=True)
class DrafterRule:
    """Settings of a compiled drafter.

    :param kind: "constant", or "random" (a random cap of 0-7 each round)
    :param caps: most tokens to draft, by SLO class  # (4,)
    :param score: what the stop rule reads: confidence, entropy (negated), or WISP's stop score; None
    drafts to the cap
    :param threshold: the first token scoring below it ends the draft
    :param recall: instead of a threshold, the recall on accepted tokens of the profile's table (stop score
    only)
    :param drop_suspect: do not send the token that ended the draft
    :param server_loop: no drafting and no network between rounds (centralized serving)
    :raises InputError: a cap outside 0-32
    """

    kind: Literal["constant", "random"] = "constant"
    caps: tuple[int, int, int, int] = (0, 0, 0, 0)
    score: Score | None = None
    threshold: float = -math.inf
    recall: float | None = None
    drop_suspect: bool = False
    server_loop: bool = False

    def __post_init__(self) -> None:
        _check_choice("drafter", self.kind, ("constant", "random"))
        _check_choice("score", self.score, (None, *get_args(Score)))
        if len(self.caps) != GROUPS or not all(
            type(cap) is int and 0 <= cap <= MAX_DRAFT for cap in self.caps
        ):
            raise InputError(
                f"draft cap: {self.caps}; allowed: {GROUPS} integers of 0 to {MAX_DRAFT}, one per class"
            )
        if math.isnan(self.threshold):
            raise InputError("draft threshold: nan; allowed: a number")

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
    def predictor(cls, recall: float = WISP_RECALL, cap: int = WISP_CAP) -> DrafterRule:
        """Stop at the first token that WISP's score takes for a rejection, at a recall on accepted tokens."""
        return cls(caps=(cap, cap, cap, cap), score="stop", recall=recall)

    @classmethod
    def random(cls) -> DrafterRule:
        """Draft a random number of tokens, 0 to 7, each round."""
        return cls(kind="random")


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
    :param static_size: SLED: requests waited for; :param static_limit_s: SLED: longest wait for them, s
    :param padded: pad every draft of a pass to the longest (SLED); prompts are not padded
    :param run_to_completion: continuous: keep to the sessions admitted first
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
