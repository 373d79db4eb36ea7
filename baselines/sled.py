"""SLED by name: fixed or confidence drafts on the devices, padded static batches on the server."""

from __future__ import annotations

from baselines import drafters, schedulers, settings
from baselines.options import seconds
from wisp_gym.errors import InputError, unknown
from wisp_gym.pipeline import DrafterRule, Policy
from wisp_gym.pipeline.policy import MOST_TIMEOUT_S

FORMS = ("fixed", "confidence")
OPTIONS = (
    "ahead=on",
    "ahead=off",
    "timeout=SECONDS",
    "timeout=none",
    "size=N",
    "size=engine",
    "limit=SECONDS",
)
TUNED = "size=tuned"

_MOST_LIMIT_S = 60.0


def policy(options: str) -> Policy:
    """Return SLED with what the options change of it.

    :param options: "", or as in "confidence,ahead=on,timeout=1,size=8"
    :raises InputError: an option that does not exist or is given twice, or a value that is not allowed
    """
    if is_tuned(f"sled:{options}"):
        names = ", ".join(sizes(f"sled:{options}"))
        raise InputError(f"policy 'sled:{options}' is chosen from {names}: evaluate.py does so")
    form, chosen = _read(options)
    size = schedulers.static_size("sled:size", chosen.get("size", str(settings.STATIC_SIZE)))
    limit_s = settings.STATIC_LIMIT_S
    if "limit" in chosen:
        limit_s = seconds("sled", "limit", chosen["limit"], _MOST_LIMIT_S)
    shown = [
        form,
        *(f"{key}={chosen[key]}" for key in ("ahead", "timeout", "size", "limit") if key in chosen),
    ]
    return Policy(f"sled:{','.join(shown)}", _drafter(form, chosen), schedulers.static_batch(size, limit_s))


def is_tuned(name: str) -> bool:
    """Say whether a name leaves SLED's batch size to be chosen on training worlds."""
    head, _, options = name.partition(":")
    return head == "sled" and (options == "tuned" or TUNED in options.split(","))


def sizes(name: str) -> tuple[str, ...]:
    """Return the names that `sled:tuned` stands for, one for each size.

    :param name: "sled:tuned", or with other options, as in "sled:ahead=on,size=tuned"
    """
    options = name.partition(":")[2]
    if options == "tuned":
        options = f"{FORMS[0]},{TUNED}"
    parts = options.split(",")
    at = parts.index(TUNED)
    return tuple(
        "sled:" + ",".join([*parts[:at], f"size={size}", *parts[at + 1 :]]) for size in settings.STATIC_SIZES
    )


def _read(options: str) -> tuple[str, dict[str, str]]:
    """Return the form, and the options by key."""
    parts = [part for part in options.split(",") if part]
    form = FORMS[0]
    if parts and "=" not in parts[0]:
        form = parts.pop(0)
        if form not in FORMS:
            raise unknown("form of sled", form, FORMS)
    chosen: dict[str, str] = {}
    for part in parts:
        key, _, value = part.partition("=")
        if key not in ("ahead", "timeout", "size", "limit") or not value:
            raise unknown("option of sled", part, OPTIONS)
        if key in chosen:
            raise InputError(f"sled:{options}: {key} is given twice")
        chosen[key] = value
    return form, chosen


def _drafter(form: str, chosen: dict[str, str]) -> DrafterRule:
    """Return SLED's drafter; drafting ahead brings the time-out with it, where nothing else is said."""
    rule = drafters.fixed(str(settings.FIXED_DRAFT)) if form == "fixed" else drafters.confidence("")
    ahead = chosen.get("ahead", "off")
    if ahead not in ("on", "off"):
        raise unknown("sled:ahead", ahead, ("on", "off"))
    switches = "ahead," if ahead == "on" else ""
    timeout = chosen.get("timeout", f"{settings.SLED_TIMEOUT_S:g}" if ahead == "on" else "none")
    if timeout != "none":
        seconds("sled", "timeout", timeout, MOST_TIMEOUT_S)
        switches += f"timeout={timeout}"
    return drafters.waiting("sled", rule, switches)
