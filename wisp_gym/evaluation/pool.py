"""Processes that stay for several batches of work; the results do not depend on how many there are."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

ALONE_S = 2.0
"""Work done here before others are started: about what a new process takes to start."""

AHEAD = 8
"""Items given out for every process: enough that none waits for a long one to be yielded first."""


class Pool:
    """A context manager that maps a function over items, in this process first and in several if it lasts.

    Where compiled code is to be cached, the first items run here and fill the cache once.

    :param jobs: processes at most
    :param alone_s: seconds of work done here before others are started
    """

    def __init__(self, jobs: int, alone_s: float = ALONE_S) -> None:
        self.jobs, self.alone_s = jobs, alone_s
        self.worked_s = 0.0
        self._executor: ProcessPoolExecutor | None = None
        self._others = set(multiprocessing.active_children())

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes; after an interrupt or a failure at once."""
        if self._executor is None:
            return
        # Nothing is cancelled: if its process then ends, the executor's thread prints a traceback of it.
        self._executor.shutdown(wait=error is None)
        if error is not None:
            for child in set(multiprocessing.active_children()) - self._others:
                child.terminate()

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield what a function makes of every item, in order.

        :param function: at the top of a module, or a `functools.partial` of such a one
        :param items: each can be pickled
        """
        done = 0
        while done < len(items) and (self.jobs < 2 or self.worked_s < self.alone_s):
            started = time.perf_counter()
            result = function(items[done])
            self.worked_s += time.perf_counter() - started
            done += 1
            yield result
        yield from self._spread(function, items[done:])

    def _spread(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield the results in order, from processes that always have a few items ahead of them."""
        waiting: deque[Future[Result]] = deque()
        for item in items:
            if len(waiting) >= AHEAD * self.jobs:
                yield waiting.popleft().result()
            waiting.append(self._processes().submit(function, item))
        while waiting:
            yield waiting.popleft().result()

    def _processes(self) -> ProcessPoolExecutor:
        """Return the processes, started at the first call."""
        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self.jobs, mp_context=context, initializer=start_worker)
        return self._executor


def start_worker() -> None:
    """Let a worker ignore an interrupt: the parent says what there is to say, and ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
