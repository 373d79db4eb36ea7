"""A pytest plugin: a test that takes more than CPU_LIMIT_S seconds of processor time is stopped and fails.

Processor time, not wall time, so that what else the machine does changes nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

LIMIT_S = float(os.environ.get("CPU_LIMIT_S", "20"))


class TooLong(BaseException):
    """A test's time is over. No Exception: nothing that catches those may go on."""


@contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TooLong(f"more than {LIMIT_S:g} s of processor time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Any:
    """Limit the fixtures."""
    with _limited():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Any:
    """Limit the test."""
    with _limited():
        return (yield)
