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
sled:ahead=on,timeout=1,size=8,limit=0.05
    with SLED's drafting ahead (on or off) and time-out (s or none), another size (or engine, the engine's
    limit) and another time limit (s) of its batches; any may be left out
sled:tuned, or size=tuned among other options
    with the batch size that is best at that load, chosen on training worlds
centralized, centralized:rtc, centralized:grow
    no drafting, no network inside the loop, continuous batching; `rtc` runs admitted sessions to completion
    instead of rotating, `grow` admits a session for the KV memory it has instead of what its output will need
fixed:K
    fixed:K + fcfs
random
    random + random
DRAFTER+SCHEDULER
    any pair, as in predictor+fcfs
action:R,B,L,S,C1,C2,C3,C4
    one action of EdgeCloud-v0 at every dispatch: requests, budget, rule, stop and the caps of the four
    classes, as in action:8,0,4,3,8,8,8,8
oracle, bayes
    ceilings: a drafter that knows which tokens will be accepted, and one that knows the law of the streams;
    drafter's setting and scheduler the best at that load, chosen on training worlds
oracle:best+SCHEDULER, bayes:best+SCHEDULER
    the same with one scheduler
tuned, hindsight
    bounds: the best constant action on training worlds, and on each of the very worlds compared
DIR
    a trained model: a folder with model.safetensors and model.json, or either file
FILE.zip, FILE.zip:control=draft,hold=0.5
    a model that stable-baselines3 saved, with the control and the hold_s it was trained with where they are
    not the environment's defaults; loading it runs code in it, so only with --trust

Drafters: none, fixed:K, confidence[:threshold], entropy[:nats], predictor[:recall][,drop], specdec++[:h],
table[:batch=K,...], goodput, ucb[:explore], random, oracle[:cap], bayes[:least], file.py:Class; fixed,
confidence, predictor and random take the switches ahead and timeout=SECONDS, as in fixed:5,ahead,timeout=1.
Schedulers: fcfs, edf, density, static[:size or engine], continuous[:rtc,grow],
slo-aware[:late=...,deadline=...,margin=...,expected=...], proportional-fair[:budget], random, file.py:Class.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast, get_args

from baselines import drafters, schedulers, settings, sled
from baselines.files import is_class_name, load_controller
from baselines.guard import GuardedDrafter, GuardedScheduler
from baselines.options import choices, parts
from wisp_gym.envs.action import Control
from wisp_gym.envs.constant import constant_policy, parse_action
from wisp_gym.envs.episode import LONGEST_HOLD_S
from wisp_gym.errors import InputError, unknown
from wisp_gym.evaluation.bounds import BOUNDS
from wisp_gym.pipeline import Drafter, DrafterRule, Policy, Scheduler, SchedulerRule

PLUS = "specdec++"
MODEL_FILES = ("model.safetensors", "model.json")
_FOREIGN = re.compile(r"(.+\.zip)(?::(.*))?", re.DOTALL)
FORMS = (
    "wisp:best",
    "sled:tuned",
    "oracle",
    "bayes",
    "tuned",
    "hindsight",
    "action:R,B,L,S,C1,C2,C3,C4",
    "fixed:K",
    "DRAFTER+SCHEDULER",
    "DIR of a trained model",
    "FILE.zip of stable-baselines3",
)


def candidates(name: str) -> tuple[str, ...]:
    """Return the names that a name stands for: the six readings for `wisp:best`, the batch sizes for
    `sled:tuned`, a ceiling's settings with every scheduler it may have, otherwise itself.

    :param name: of a policy
    """
    if sled.is_tuned(name):
        return sled.sizes(name)
    drafter, plus, scheduler = name.partition("+")
    if name in CEILINGS or (plus and drafter in (f"{ceiling}:best" for ceiling in CEILINGS)):
        form = CEILINGS[drafter.removesuffix(":best")]
        return tuple(
            f"{knob}+{rule}" for rule in ([scheduler] if plus else _ceiling_schedulers()) for knob in form
        )
    if name != "wisp:best":
        return (name,)
    return tuple(
        f"wisp:late={late},deadline={deadline}"
        for deadline in settings.DEADLINE_READINGS
        for late in settings.LATE_READINGS
    )


CEILINGS: Mapping[str, tuple[str, ...]] = {
    "oracle": tuple(f"oracle:{cap}" for cap in settings.ORACLE_CAPS),
    "bayes": tuple(f"bayes:{least:g}" for least in settings.BAYES_LEASTS),
}
"""Ceilings, with the drafters among which each is tuned."""


def _ceiling_schedulers() -> tuple[str, ...]:
    """Return the schedulers among which a ceiling takes the best: the plain orders and WISP's readings.

    Not the literal ones: a late device may starve under them for minutes, which few training worlds show.
    """
    readings = [name.removeprefix("wisp:") for name in candidates("wisp:best")]
    return ("fcfs", "edf", *(f"slo-aware:{reading}" for reading in readings if "late=literal" not in reading))


def drafter_names() -> tuple[str, ...]:
    """Return every drafter by name, those that need an option with the one of settings.GRID_OPTIONS."""
    return tuple(settings.GRID_OPTIONS.get(name, name) for name in drafters.BY_NAME)


def scheduler_names() -> tuple[str, ...]:
    """Return every scheduler by name."""
    return tuple(schedulers.BY_NAME)


def resolve(name: str) -> Policy:
    """Return the policy that a name means, a new one at every call.

    :param name: see this module
    :raises InputError: the name or one of its options does not exist, or a file of the user's cannot be used
    """
    return _resolve(name, trusted=False)


def resolve_trusted(name: str) -> Policy:
    """Return the policy that a name means, and let the code in a model of stable-baselines3 run.

    :param name: see this module
    :raises InputError: as `resolve`
    """
    return _resolve(name, trusted=True)


def is_foreign(name: str) -> bool:
    """Say whether a name is a model that stable-baselines3 saved, with its options or without.

    :param name: of a policy
    """
    return _FOREIGN.fullmatch(name) is not None and not Path(name).is_dir()


def _resolve(name: str, trusted: bool) -> Policy:
    """Return the policy that a name means."""
    if is_foreign(name):
        return _foreign(name, trusted)
    if _is_model(name):
        import agents  # reads the model; imported only when one is named

        return agents.load(name)
    if "+" in name.removeprefix(PLUS):
        drafter, scheduler = _halves(name)
        return Policy(name, _drafter(drafter), _scheduler(scheduler))
    if is_class_name(name):
        raise InputError(f"policy {name!r}: half a policy; pair it, as in predictor+{name} or {name}+fcfs")
    head, _, options = name.partition(":")
    if name in CEILINGS:
        raise InputError(
            f"policy {name!r} is chosen from {name}:...+SCHEDULER, many pairs: evaluate.py does so"
        )
    if name in BOUNDS:
        raise InputError(f"policy {name!r} is searched for in a scenario's worlds: evaluate.py does so")
    if head not in POLICIES:
        raise _unknown_policy(name, head, options)
    _check_colon("policy", name)
    return POLICIES[head](options)


def _unknown_policy(name: str, head: str, options: str) -> InputError:
    """Return the error for a name that is no policy; half of one is told what is missing."""
    if head in CEILINGS and options == "best":
        return InputError(f"unknown policy {name!r}: did you mean {head!r}, or {f'{name}+fcfs'!r}?")
    if head in drafters.BY_NAME:
        return InputError(f"unknown policy {name!r}: a drafter alone; did you mean {f'{name}+fcfs'!r}?")
    if head in schedulers.BY_NAME:
        return InputError(
            f"unknown policy {name!r}: a scheduler alone; did you mean {f'predictor+{name}'!r}?"
        )
    return unknown("policy", name, (*POLICIES, *FORMS))


def _check_colon(kind: str, name: str) -> None:
    """Refuse a name that ends with its colon."""
    if name.endswith(":"):
        raise InputError(f"{kind} {name!r}: nothing follows the colon; leave it out, or name an option")


def _halves(name: str) -> tuple[str, str]:
    """Return the drafter and the scheduler of DRAFTER+SCHEDULER; one drafter has a plus in its own name."""
    head = PLUS if name.startswith(PLUS) else ""
    drafter, _, scheduler = name.removeprefix(head).partition("+")
    return head + drafter, scheduler


def _is_model(name: str) -> bool:
    """Say whether a name is the path of a trained model: it looks like a path, or is there and holds one."""
    path = Path(name)
    try:
        if path.name in MODEL_FILES or any((path / file).exists() for file in MODEL_FILES):
            return True
    except (OSError, ValueError):  # too long for a path, or not one at all
        return False
    return os.sep in name and "+" not in name and not is_class_name(name)


def _foreign(name: str, trusted: bool) -> Policy:
    """Return a model that stable-baselines3 saved."""
    from agents import foreign  # imports torch only once the model is trusted

    path, options = cast("re.Match[str]", _FOREIGN.fullmatch(name)).groups()
    chosen = choices(
        Path(path).name, options or "", {"control": get_args(Control)}, {"hold": (0.0, LONGEST_HOLD_S)}
    )
    control = cast(Control, chosen.get("control", "joint"))
    return foreign.load(path, trusted, Path(name).name, control, float(chosen.get("hold", 0.0)))


def _drafter(name: str) -> DrafterRule | Drafter:
    """Return a drafter by name."""
    if is_class_name(name):
        return GuardedDrafter(load_controller(name, ("score", "limit"), "drafter"), name)
    head, _, options = name.partition(":")
    if head in CEILINGS and options == "best":
        raise InputError(f"drafter {name!r} is chosen from {', '.join(CEILINGS[head])}: evaluate.py does so")
    if head not in drafters.BY_NAME:
        raise unknown("drafter", name, (*drafters.BY_NAME, "file.py:Class"))
    _check_colon("drafter", name)
    return drafters.BY_NAME[head](options)


def _scheduler(name: str) -> SchedulerRule | Scheduler:
    """Return a scheduler by name."""
    if is_class_name(name):
        return GuardedScheduler(load_controller(name, ("select",), "scheduler"), name)
    head, _, options = name.partition(":")
    if head not in schedulers.BY_NAME:
        raise unknown("scheduler", name, (*schedulers.BY_NAME, "file.py:Class"))
    _check_colon("scheduler", name)
    return schedulers.BY_NAME[head](options)


def _wisp(options: str) -> Policy:
    """Return WISP: its stop predictor and its scheduler, in one reading."""
    if options == "best":
        raise InputError(
            f"policy 'wisp:best' is chosen from {', '.join(candidates('wisp:best'))}: evaluate.py does so"
        )
    words = parts("wisp", options)
    suspects = [word for word in words if word.partition("=")[0] == "suspect"]
    suspect = choices("wisp", ",".join(suspects), {"suspect": settings.SUSPECTS}).get("suspect")
    rule = schedulers.slo_aware(",".join(word for word in words if word not in suspects), "wisp")
    name = f"wisp:{schedulers.spelt(rule)}" + (f",suspect={suspect}" if suspect else "")
    return Policy(name, drafters.predictor("drop" if suspect == "drop" else ""), rule)


def _centralized(options: str) -> Policy:
    """Return centralized serving: no drafting, and no network between a session's tokens."""
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
    return Policy("random", drafters.random(""), schedulers.random(options))


POLICIES: Mapping[str, Callable[[str], Policy]] = {
    "wisp": _wisp,
    "sled": sled.policy,
    "centralized": _centralized,
    "fixed": _fixed,
    "action": _action,
    "random": _random,
}
