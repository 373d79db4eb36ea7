"""Ctrl-C and SIGTERM on the command line: the first ends the work in good order, a further one at once.

One signal may come twice: `timeout` sends it to the process and then to the group that the process is in. So
the same signal again within REPEAT_S of the first is the first one; nobody presses Ctrl-C again that soon and
means it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What a person at the terminal sends, and what a scheduler of jobs sends before it ends one."""

REPEAT_S = 1.0
"""The same signal again within this time is the same request."""

_first: tuple[int, float] | None = None
"""The signal that was obeyed last, and when it came (monotonic clock, s)."""


class Ended(KeyboardInterrupt):
    """A signal asked for the end.

    :param number: the signal's
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def exit_code(error: KeyboardInterrupt) -> int:
    """Return 128 + the signal's number, as a shell says it: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + getattr(error, "number", signal.SIGINT)


@contextmanager
def endings() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Ended` in this block; any further one ends the process at once.

    Outside the main thread, where Python takes no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, end) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def obey(number: int) -> None:
    """Note that a signal is obeyed: the same one right after it is no further one.

    :param number: the signal's
    """
    global _first
    _first = (number, time.monotonic())


def is_repeat(number: int) -> bool:
    """Return whether a signal is the one obeyed last, delivered once more.

    :param number: the signal's
    """
    return _first is not None and _first[0] == number and time.monotonic() - _first[1] < REPEAT_S


def end(number: int, frame: FrameType | None = None) -> None:
    """Raise `Ended`; from now on a further signal ends the process at once.

    :param number: the signal's
    :param frame: where it came; unused
    """
    for other in SIGNALS:
        signal.signal(other, end_at_once)
    obey(number)
    raise Ended(number)


def leave() -> None:
    """Let a signal end the process without a word from here on, where only tidying is left."""
    for number in SIGNALS:
        signal.signal(number, end_at_once)


@contextmanager
def importing() -> Iterator[None]:
    """Let a signal end the process at once, with a line, in this block, which imports and writes nothing.

    Raised in the midst of an import an exception may turn into another, or be swallowed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _end_importing) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _end_importing(number: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted: nothing has been written\n")
    os._exit(128 + number)


def end_at_once(number: int, frame: FrameType | None = None) -> None:
    """End the process and the processes that it started, without tidying up; a repeat changes nothing.

    :param number: the signal's
    :param frame: where it came; unused
    """
    if is_repeat(number):
        return
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(128 + number)


def start_deaf(process: BaseProcess) -> None:
    """Start a process to which Ctrl-C is nothing: its parent answers for it.

    The terminal sends Ctrl-C to all, also to a process that is still importing. The signal is blocked while
    the process is started, which it inherits; here it waits until that is done.

    :param process: by the method "spawn"
    """
    resource_tracker.ensure_running()  # it would unblock the signal when it is started with the process
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """Let this process end when the one that started it has gone, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_for, args=(parent.sentinel,), daemon=True).start()


def _wait_for(sentinel: int) -> None:
    """Wait until a process has ended, then end this one."""
    connection.wait([sentinel])
    os._exit(1)
