"""The one exception that means "the input is wrong", and the suggestion it carries."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

LONGEST = 800
"""Characters of an error's line; a longer one loses its middle."""


class InputError(ValueError):
    """Input that cannot be used. Its message is one line: the field, the value, what is allowed.

    The scripts print that line and exit with code 2; nothing has been written by then.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(message: object) -> str:
    """Return a message as one line that any terminal can show.

    Blanks and line ends become one blank, what does not print (escapes, half characters, marks of direction)
    is spelt out, and a line beyond LONGEST loses its middle.
    """
    line = " ".join(str(message).split())
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


MOST_SHOWN = 200
"""Characters of a value in a message."""


def shown(value: object) -> str:
    """Return a value as a message shows it; objects of a user's own may refuse to be shown."""
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


LONGEST_LIST = 160
"""Characters of a list of names in a message."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a phrase that lists the known names and, where one is close, suggests it.

    Where the names are too many for a line, those nearest to `name` are listed.

    :param name: what was asked for
    :param known: the names that exist
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {_listed(name, names)}"


def _listed(name: str, names: list[str]) -> str:
    """Return all the names, or as many of the nearest as a line holds and how many there are beside them."""
    if len(", ".join(names)) <= LONGEST_LIST:
        return ", ".join(names) or "none"
    ranked = sorted(names, key=lambda other: -difflib.SequenceMatcher(None, name, other).ratio())
    shown = 1
    while len(", ".join(ranked[: shown + 1])) <= LONGEST_LIST:
        shown += 1
    return f"{', '.join(sorted(ranked[:shown]))} and {len(names) - shown} more"


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for a name that does not exist.

    :param kind: what it was to be, as in "scenario"
    :param name: what was asked for
    :param known: the names that exist
    """
    return InputError(f"unknown {kind} {name!r}: {nearest(name, known)}")


_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def told(error: OSError) -> str:
    """Return what the machine refused, for a line that a person reads: what, which file, what to do.

    :param error: of a file that could not be read or written
    """
    reason = error.strerror or str(error) or type(error).__name__
    line = f"{reason[:1].lower()}{reason[1:]}" + ("" if error.filename is None else f": {error.filename}")
    return " ".join(f"{line}; free some".split()) if error.errno in _NO_SPACE else " ".join(line.split())
