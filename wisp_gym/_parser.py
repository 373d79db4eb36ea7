"""A command line whose errors are one line, and which loses none of the values that it is given."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from wisp_gym.errors import InputError, one_line

INPUT_ERROR = 2


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line, like every other input error.

    It refuses what argparse would pass over: a list that is given twice, of which only the last would count,
    and words that are not text.
    """

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with code 2."""
        self.exit(INPUT_ERROR, f"error: {one_line(message)} (--help lists the options)\n")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Check the words, then parse them."""
        words = sys.argv[1:] if args is None else list(args)
        for word in words:
            if not _is_text(word):
                self.error(f"argument {word!r}: must be UTF-8 text")
        self._check_once(words)
        return super().parse_known_args(words, namespace)

    def _check_once(self, words: Sequence[str]) -> None:
        """Refuse a list of values that is given twice; of a single value the last counts."""
        given = [word.partition("=")[0] for word in words if word.startswith("--")]
        for action in self._actions:
            name = "/".join(action.option_strings)
            if action.nargs == "+" and sum(given.count(option) for option in action.option_strings) > 1:
                self.error(f"argument {name}: given twice; its values follow one another")


def _is_text(word: str) -> bool:
    """Say whether a word can be written as UTF-8."""
    try:
        return "\0" not in word and bool(word.encode() or True)
    except UnicodeEncodeError:
        return False


def path_argument(text: str) -> Path:
    """Return a path; an empty one, as from a variable that is not set, would mean the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} must be a path, '.' for the current folder")
    return Path(text)


def whole(least: int) -> Callable[[str], int]:
    """Return a converter for argparse that takes whole numbers from `least` to 2^32 - 1."""

    def convert(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else -1
        if not least <= value < 2**32:
            raise argparse.ArgumentTypeError(
                f"{text[:40]!r} must be a whole number from {least} to {2**32 - 1}"
            )
        return value

    return convert


def complain(error: InputError, debug: bool = False) -> None:
    """Print an input error as one line on standard error.

    :param error: what is wrong
    :param debug: print its traceback, and that of what caused it, before
    """
    with suppress(OSError):  # nobody may be there to read it
        if debug:
            traceback.print_exception(error)
        if sys.stderr is not None:
            print(f"error: {error}", file=sys.stderr)
