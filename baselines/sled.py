"""SLED by name: fixed or confidence drafts on the devices, padded static batches on the server."""

from __future__ import annotations

from baselines import drafters, schedulers, settings
from baselines.options import parts, seconds
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
    words = options.split(",")
    at = words.index(TUNED)
    return tuple(
        "sled:" + ",".join([*words[:at], f"size={size}", *words[at + 1 :]]) for size in settings.STATIC_SIZES
    )


def _read(options: str) -> tuple[str, dict[str, str]]:
    """Return the form, and the options by key."""
    listed = parts("sled", options)
    form = FORMS[0]
    if listed and "=" not in listed[0]:
        form = listed.pop(0)
        if form == "tuned":
            raise InputError(
                f"sled:{options}: tuned stands alone; with other options write {TUNED}, "
                f"as in sled:ahead=on,{TUNED}"
            )
        if form not in FORMS:
            raise unknown("form of sled", form, FORMS)
    chosen: dict[str, str] = {}
    for part in listed:
        key, _, value = part.partition("=")
        if key not in ("ahead", "timeout", "size", "limit") or not value:
            raise unknown("option of sled", part, OPTIONS)
        chosen[key] = value
    return form, chosen


def _drafter(form: str, chosen: dict[str, str]) -> DrafterRule:
    """Return SLED's drafter; drafting ahead brings the time-out with it, where nothing else is said."""
    rule = drafters.fixed(str(settings.FIXED_DRAFT)) if form == "fixed" else drafters.confidence("")
    ahead = chosen.get("ahead", "off")
    if ahead not in ("on", "off"):
        raise unknown("sled:ahead", ahead, ("on", "off"))
    switches = ["ahead"] if ahead == "on" else []
    timeout = chosen.get("timeout", f"{settings.SLED_TIMEOUT_S:g}" if ahead == "on" else "none")
    if timeout != "none":
        seconds("sled", "timeout", timeout, MOST_TIMEOUT_S)
        switches.append(f"timeout={timeout}")
    return drafters.waiting("sled", rule, ",".join(switches))
