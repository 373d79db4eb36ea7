"""What may follow the colon of a name, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wisp_gym.errors import InputError, unknown
from wisp_gym.rules.control import MAX_DRAFT


def no_options(name: str, text: str) -> None:
    """Refuse options after a name that takes none."""
    if text:
        raise InputError(f"{name}:{text}: {name} takes no options")


def parts(name: str, text: str) -> list[str]:
    """Return what stands between the commas.

    :param name: what it belongs to, for the message
    :param text: as typed, "" for nothing
    :raises InputError: nothing stands between two commas, or an option is given twice
    """
    found = text.split(",") if text else []
    keys = [part.partition("=")[0] for part in found]
    if "" in found:
        raise InputError(f"{name}:{text}: an option is empty; leave its comma out")
    twice = [key for at, key in enumerate(keys) if key in keys[:at]]
    if twice:
        raise InputError(f"{name}:{text}: {twice[0]} is given twice")
    return found


def spelt(name: str, text: str) -> str:
    """Return an option as it is typed: "fixed:3", or "sled:size=3" where the name has a key already."""
    return f"{name}{'=' if ':' in name else ':'}{text}"


def whole(name: str, text: str, least: int, most: int) -> int:
    """Return a whole number.

    :param name: what it belongs to, for the message
    :param text: as typed
    :param least: smallest allowed; :param most: largest allowed
    """
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else least - 1
    if not least <= value <= most:
        raise InputError(
            f"{spelt(name, text)}: {text[:40]!r} must be a whole number from {least} to {most}, "
            f"as in {spelt(name, str(least + 1))}"
        )
    return value


def number(name: str, text: str, least: float, most: float) -> float:
    """Return a finite number.

    :param name: what it belongs to, for the message
    :param text: as typed
    :param least: smallest allowed; :param most: largest allowed
    """
    try:
        value = float(text)
    except ValueError:
        value = least - 1.0
    if not least <= value <= most:
        raise InputError(f"{spelt(name, text)}: {text!r} must be a number from {least:g} to {most:g}")
    return value


def seconds(name: str, key: str, text: str, most: float) -> float:
    """Return a time above 0, s.

    :param name: what the option belongs to, for the message; :param key: the option
    :param text: as typed; :param most: largest allowed
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= most:
        raise InputError(f"{name}:{key}={text}: {text!r} must be seconds, above 0 and at most {most:g}")
    return value


def ranges(name: str, text: str) -> tuple[tuple[int, int], ...]:
    """Return "64=3,128=1" as ((64, 3), (128, 1)).

    :param name: what it belongs to, for the message
    :param text: as typed: largest batch = draft length, batches rising
    """
    form = rf"{name}:{text}: needed are largest batch=draft length, batches rising, lengths 0 to {MAX_DRAFT}"
    result: list[tuple[int, int]] = []
    for part in text.split(","):
        words = part.split("=")
        if len(words) != 2 or not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
            raise InputError(f"{form}, as in {name}:64=3,128=1")
        largest, length = map(int, words)
        if largest <= (result[-1][0] if result else 0) or length > MAX_DRAFT:
            raise InputError(f"{form}, as in {name}:64=3,128=1")
        result.append((largest, length))
    return tuple(result)


def choices(
    name: str,
    text: str,
    allowed: Mapping[str, Sequence[str]],
    numbers: Mapping[str, tuple[float, float]] | None = None,
) -> dict[str, str]:
    """Return "key=value,key=value" as a mapping.

    :param name: what it belongs to, for the message
    :param text: as typed; empty for none
    :param allowed: the keys, and the values of each
    :param numbers: keys whose values are numbers, and the least and the greatest of each
    """
    bounds = numbers or {}
    chosen: dict[str, str] = {}
    for part in parts(name, text):
        key, _, value = part.partition("=")
        if key not in allowed and key not in bounds:
            known = [f"{k}={v}" for k, values in allowed.items() for v in values]
            raise unknown(f"option of {name}", part, [*known, *(f"{k}=NUMBER" for k in bounds)])
        if key in bounds:
            number(f"{name}:{key}", value, *bounds[key])
        elif value not in allowed[key]:
            raise unknown(f"{name}:{key}", value, allowed[key])
        chosen[key] = value
    return chosen
