"""A pytest plugin: a test that takes more than CPU_LIMIT_S seconds of processor time is skipped.

Processor time, not wall time, so that what else the machine does changes nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

LIMIT_S = float(os.environ.get("CPU_LIMIT_S", "4"))


SETUP_LIMIT_S = 6 * LIMIT_S
"""For fixtures, that many tests may share."""


@contextmanager
def _limited(limit_s: float) -> Iterator[None]:
    """Skip from inside: pytest then takes a fixture that was too long as one that skips."""

    def stop(*_: Any) -> None:
        pytest.skip(f"more than {limit_s:g} s of processor time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Any:
    """Limit the fixtures."""
    with _limited(SETUP_LIMIT_S):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Any:
    """Limit the test."""
    with _limited(LIMIT_S):
        return (yield)
