"""One action of EdgeCloud-v0 at every dispatch, as a policy that runs wholly in the compiled kernel."""

from __future__ import annotations

from typing import Any

from wisp_gym.envs.action import (
    BUDGETS,
    NAMES,
    RECALLS,
    REQUESTS,
    RULES,
    SIZES,
    IntArray,
    check_action,
)
from wisp_gym.errors import InputError
from wisp_gym.pipeline.policy import DrafterRule, Late, Policy, SchedulerKind, SchedulerRule

PREFIX = "action:"

_KINDS: tuple[SchedulerKind, ...] = ("fcfs", "edf", "density", "slo-aware", "slo-aware")
_LATE: tuple[Late, ...] = ("last", "last", "last", "urgent", "last")


def constant_policy(action: Any) -> Policy:
    """Return the policy that gives this action at every dispatch.

    It writes the same event log as an agent that does so: a session's first pass carries its prompt and no
    draft, so whatever a device would start from, its first draft obeys the action already. WISP's reading of
    deadlines is the scenario's, as in the environment.

    :param action: eight integers, as `wisp_gym.envs.action` lists them  # (8,)
    :raises InputError: a wrong shape or number, or the action that waits, which never serves
    """
    values = check_action(action)
    limit, budget = REQUESTS[values[0]], BUDGETS[values[1]]
    if limit == 0:
        raise InputError(f"action requests: 0 waits for ever; allowed: 1 to {SIZES[0] - 1}")
    recall = RECALLS[values[3]]
    first, second, third, fourth = (int(cap) for cap in values[4:])
    drafter = DrafterRule(
        caps=(first, second, third, fourth), score=None if recall is None else "stop", recall=recall
    )
    scheduler = SchedulerRule(
        _KINDS[values[2]], max_requests=limit, token_budget=budget, late=_LATE[values[2]]
    )
    return Policy(action_name(values), drafter, scheduler)


def action_name(action: Any) -> str:
    """Return the name that --policy takes, as in "action:8,0,4,3,8,8,8,8".

    :param action: eight integers  # (8,)
    """
    return PREFIX + ",".join(str(int(value)) for value in action)


def parse_action(text: str) -> IntArray:
    """Return the action that eight integers with commas mean.

    :param text: as in "8,0,4,3,8,8,8,8"
    :raises InputError: anything else
    """
    words = [word.strip() for word in text.split(",")]
    if len(words) != len(SIZES) or not all(word.isascii() and word.isdigit() for word in words):
        raise InputError(
            f"{PREFIX}{text}: {len(SIZES)} whole numbers with commas are needed ({', '.join(NAMES)}), "
            f"as in {PREFIX}8,0,4,3,8,8,8,8"
        )
    return check_action([int(word[:9]) for word in words])


def describe(action: Any) -> str:
    """Return an action in words, as in "requests 16, budget none, rule last, stop 0.8, caps 5/5/6/8".

    :param action: eight integers  # (8,)
    """
    values = check_action(action)
    limit, budget, recall = REQUESTS[values[0]], BUDGETS[values[1]], RECALLS[values[3]]
    return (
        f"requests {'engine limit' if limit is None else limit}, "
        f"budget {'none' if budget is None else budget}, "
        f"rule {RULES[values[2]]}, stop {'off' if recall is None else format(recall, 'g')}, "
        f"caps {'/'.join(str(int(cap)) for cap in values[4:])}"
    )
