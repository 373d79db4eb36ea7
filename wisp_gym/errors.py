"""The one exception that means "the input is wrong", and the suggestion it carries."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Input that cannot be used. Its message is one line: the field, the value, what is allowed.

    The scripts print that line and exit with code 2; nothing has been written by then.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a phrase that lists the known names and, where one is close, suggests it.

    :param name: what was asked for
    :param known: the names that exist
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(names) if names else 'none'}"


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for a name that does not exist.

    :param kind: what it was to be, as in "scenario"
    :param name: what was asked for
    :param known: the names that exist
    """
    return InputError(f"unknown {kind} {name!r}: {nearest(name, known)}")
