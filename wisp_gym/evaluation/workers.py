"""Map a function over tasks, in this process or in several; the answers do not depend on which."""

from __future__ import annotations

import math
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, TypeVar

Answer = TypeVar("Answer")

WORKER_START_S = 2.0  # a new process imports everything and reads the compiled code from disk


def processes_that_pay(tasks: int, each_s: float, jobs: int, start_s: float) -> int:
    """Return how many processes to use: one where starting others costs more than it saves.

    :param tasks: still to be done
    :param each_s: time that one takes, s
    :param jobs: processes at most
    :param start_s: time that new processes take to start, s
    """
    processes = min(jobs, tasks)
    if processes < 2:
        return 1
    alone_s = tasks * each_s
    spread_s = start_s + math.ceil(tasks / processes) * each_s
    return processes if spread_s < alone_s else 1


@contextmanager
def worker_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Hold processes that import the library; an interrupt or a failure ends them.

    :param processes: how many
    """
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start_worker)
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise


def _start_worker() -> None:
    """Let an interrupt end a worker silently: the parent says what there is to say."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Workers:
    """Processes for a work that comes in several rounds, started once, and only where they pay.

    The first task of a round runs here as long as nothing has been started: that fills the cache of compiled
    code once, and tells how long a task takes. A context manager: leaving it ends the processes.

    :param jobs: processes at most
    """

    def __init__(self, jobs: int = 1) -> None:
        self.jobs = jobs
        self._pool: ProcessPoolExecutor | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def map(
        self, function: Callable[..., Answer], tasks: Sequence[tuple[Any, ...]], expected: int = 0
    ) -> Iterator[Answer]:
        """Yield the function's answer to every task, in order.

        :param function: at the top of a module, so that other processes can import it
        :param tasks: its arguments
        :param expected: tasks that will follow in later rounds, roughly
        """
        rest = list(tasks)
        if self._pool is None and rest:
            started = time.perf_counter()
            yield function(*rest.pop(0))
            each_s = time.perf_counter() - started
            processes = processes_that_pay(len(rest) + expected, each_s, self.jobs, WORKER_START_S)
            if processes > 1:
                self._pool = self._stack.enter_context(worker_pool(processes))
        if self._pool is None:
            yield from (function(*task) for task in rest)
        elif rest:
            yield from self._pool.map(function, *zip(*rest, strict=True))
