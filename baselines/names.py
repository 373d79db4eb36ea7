"""Names of policies, as --policy takes them.

wisp
    predictor + slo-aware, with the scenario's reading of deadlines
wisp:late=urgent,deadline=timeline
    with a reading of what the paper leaves open: late = literal, urgent or last, deadline = round or
    timeline, margin = seconds, expected = profile, fleet or session; any may be left out
wisp:best
    the best of the six readings at that load, chosen on training worlds
sled, sled:fixed, sled:confidence
    fixed drafts (plain `sled` too) or confidence drafts, verified in padded static batches
centralized, centralized:rtc
    no drafting, no network inside the loop, continuous batching; `rtc` runs admitted sessions to completion
    instead of rotating
fixed:K
    fixed:K + fcfs
random
    random + random
DRAFTER+SCHEDULER
    any pair, as in predictor+fcfs
action:R,B,L,S,C1,C2,C3,C4
    one action of EdgeCloud-v0 at every dispatch: requests, budget, rule, stop and the caps of the four
    classes, as in action:8,0,4,3,8,8,8,8
tuned, hindsight
    bounds: the best constant action on training worlds, and on each of the very worlds compared
DIR
    a trained model: a folder with model.safetensors and model.json, or either file

Drafters: none, fixed:K, confidence[:threshold], predictor[:recall], random, file.py:Class.
Schedulers: fcfs, edf, density, static[:size], continuous[:rtc], slo-aware[:late=...,deadline=...,margin=...,
expected=...], random, file.py:Class.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from baselines import drafters, schedulers, settings
from baselines.files import is_class_name, load_controller
from wisp_gym.envs.constant import constant_policy, parse_action
from wisp_gym.errors import InputError, unknown
from wisp_gym.evaluation.bounds import BOUNDS
from wisp_gym.pipeline import Drafter, DrafterRule, Policy, Scheduler, SchedulerRule

MODEL_FILES = ("model.safetensors", "model.json")
FORMS = (
    "wisp:best",
    "tuned",
    "hindsight",
    "action:R,B,L,S,C1,C2,C3,C4",
    "fixed:K",
    "DRAFTER+SCHEDULER",
    "DIR of a trained model",
)


def candidates(name: str) -> tuple[str, ...]:
    """Return the names that a name stands for: the six readings for `wisp:best`, otherwise itself.

    :param name: of a policy
    """
    if name != "wisp:best":
        return (name,)
    return tuple(
        f"wisp:late={late},deadline={deadline}"
        for deadline in settings.DEADLINE_READINGS
        for late in settings.LATE_READINGS
    )


def resolve(name: str) -> Policy:
    """Return the policy that a name means, a new one at every call.

    :param name: see this module
    :raises InputError: the name or one of its options does not exist, or a file of the user's cannot be used
    """
    if _is_model(name):
        import agents  # reads the model; imported only when one is named

        return agents.load(name)
    if "+" in name:
        drafter, _, scheduler = name.partition("+")
        return Policy(name, _drafter(drafter), _scheduler(scheduler))
    if is_class_name(name):
        raise InputError(f"policy {name!r}: half a policy; pair it, as in predictor+{name} or {name}+fcfs")
    head, _, options = name.partition(":")
    if name in BOUNDS:
        raise InputError(f"policy {name!r} is searched for in a scenario's worlds: evaluate.py does so")
    if head not in POLICIES:
        raise unknown("policy", name, (*POLICIES, *FORMS))
    return POLICIES[head](options)


def _is_model(name: str) -> bool:
    """Say whether a name is the path of a trained model: it looks like a path, or is there and holds one."""
    path = Path(name)
    try:
        if path.name in MODEL_FILES or any((path / file).exists() for file in MODEL_FILES):
            return True
    except (OSError, ValueError):  # too long for a path, or not one at all
        return False
    return os.sep in name and "+" not in name and not is_class_name(name)


def _drafter(name: str) -> DrafterRule | Drafter:
    """Return a drafter by name."""
    if is_class_name(name):
        return cast(Drafter, load_controller(name, ("score", "limit"), "drafter"))
    head, _, options = name.partition(":")
    if head not in drafters.BY_NAME:
        raise unknown("drafter", name, (*drafters.BY_NAME, "file.py:Class"))
    return drafters.BY_NAME[head](options)


def _scheduler(name: str) -> SchedulerRule | Scheduler:
    """Return a scheduler by name."""
    if is_class_name(name):
        return cast(Scheduler, load_controller(name, ("select",), "scheduler"))
    head, _, options = name.partition(":")
    if head not in schedulers.BY_NAME:
        raise unknown("scheduler", name, (*schedulers.BY_NAME, "file.py:Class"))
    return schedulers.BY_NAME[head](options)


def _wisp(options: str) -> Policy:
    """Return WISP: its stop predictor and its scheduler, in one reading."""
    if options == "best":
        raise InputError(
            f"policy 'wisp:best' is chosen from {', '.join(candidates('wisp:best'))}: evaluate.py does so"
        )
    rule = schedulers.slo_aware(options, "wisp")
    return Policy(f"wisp:{schedulers.spelt(rule)}", drafters.predictor(""), rule)


def _sled(options: str) -> Policy:
    """Return SLED: fixed or confidence drafts, verified in padded static batches."""
    drafts: Mapping[str, Callable[[], DrafterRule]] = {
        "fixed": lambda: drafters.fixed(str(settings.FIXED_DRAFT)),
        "confidence": lambda: drafters.confidence(""),
    }
    form = options or "fixed"
    if form not in drafts:
        raise unknown("form of sled", form, drafts)
    return Policy(f"sled:{form}", drafts[form](), schedulers.static(""))


def _centralized(options: str) -> Policy:
    """Return centralized serving: no drafting, and no network between a session's tokens."""
    if options not in ("", "rtc"):
        raise unknown("form of centralized", options, ("rtc",))
    name = f"centralized:{options}" if options else "centralized"
    return Policy(name, DrafterRule.none(server_loop=True), schedulers.continuous(options))


def _fixed(options: str) -> Policy:
    """Return fixed-length drafts, verified first come, first served."""
    return Policy(f"fixed:{options}", drafters.fixed(options), schedulers.fcfs(""))


def _action(options: str) -> Policy:
    """Return one action of EdgeCloud-v0 at every dispatch."""
    return constant_policy(parse_action(options))


def _random(options: str) -> Policy:
    """Return random drafts, verified in random order."""
    return Policy("random", drafters.random(options), schedulers.random(options))


POLICIES: Mapping[str, Callable[[str], Policy]] = {
    "wisp": _wisp,
    "sled": _sled,
    "centralized": _centralized,
    "fixed": _fixed,
    "action": _action,
    "random": _random,
}
