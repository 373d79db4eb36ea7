"""Processes that stay for several batches of work; the results do not depend on how many there are.

No threads and no queues between them: each process has a pipe of its own and at most one item, so one that is
killed leaves nothing half-way, and an interrupt ends all of them without a word.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from functools import partial
from multiprocessing import connection
from types import TracebackType
from typing import Any, TypeVar

from wisp_gym.signals import end_with_parent, start_deaf

Item = TypeVar("Item")
Result = TypeVar("Result")

ALONE_S = 2.0
"""Work done here before others are started: about what a new process takes to start."""

AHEAD = 8
"""Items given out for every process: enough that none waits for a long one to be yielded first."""

_LAST_WORDS_S = 0.1


class Pool:
    """A context manager that maps a function over items, in this process first and in several if it lasts.

    Where compiled code is to be cached, the first items run here and fill the cache once.

    :param jobs: processes at most
    :param alone_s: seconds of work done here before others are started
    """

    def __init__(self, jobs: int, alone_s: float = ALONE_S) -> None:
        self.jobs, self.alone_s = jobs, alone_s
        self.worked_s = 0.0
        self._workers: list[_Worker] = []
        self._batches = 0
        self._done: dict[int, dict[int, tuple[bool, Any]]] = {}

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes; after an interrupt or a failure at once."""
        while self._workers:
            self._workers.pop().end(at_once=kind is not None)

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield what a function makes of every item, in order.

        :param function: at the top of a module, or a `functools.partial` of such a one
        :param items: each can be pickled
        :raises BrokenExecutor: a process was killed
        """
        done = 0
        while done < len(items) and (self.jobs < 2 or self.worked_s < self.alone_s):
            started = time.perf_counter()
            result = function(items[done])
            self.worked_s += time.perf_counter() - started
            done += 1
            yield result
        yield from self._spread(function, items[done:])

    def starmap(self, function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]]) -> Iterator[Result]:
        """Yield what a function makes of every tuple of arguments, in order; see `map`."""
        return self.map(partial(_apply, function), tasks)

    def _spread(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield the results in order, from processes that always have a few items ahead of them."""
        self._batches += 1
        batch, given, results = self._batches, 0, self._done.setdefault(self._batches, {})
        try:
            for index in range(len(items)):
                while index not in results:
                    while given < min(len(items), index + AHEAD * self.jobs):
                        worker = self._idle()
                        if worker is None:
                            break
                        worker.give(batch, given, function, items[given])
                        given += 1
                    self._receive()
                good, result = results.pop(index)
                if not good:
                    raise result
                yield result
        finally:
            del self._done[batch]

    def _idle(self) -> _Worker | None:
        """Return a process without work, started if there may be another; None where all are at work."""
        for worker in self._workers:
            if not worker.busy:
                return worker
        if len(self._workers) < self.jobs:
            self._workers.append(_Worker())
            return self._workers[-1]
        return None

    def _receive(self) -> None:
        """Wait for results and keep them; those of a batch that nobody waits for any more are dropped."""
        busy = {worker.pipe: worker for worker in self._workers if worker.busy}
        for pipe in connection.wait(list(busy)):
            batch, index, *result = busy[pipe].take()  # type: ignore[index]
            if batch in self._done:
                self._done[batch][index] = (result[0], result[1])


class _Worker:
    """A process and this end of the pipe to it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other,), daemon=True)
        start_deaf(self.process)
        other.close()
        self.busy = False

    def give(self, batch: int, index: int, function: Callable[[Any], Any], item: Any) -> None:
        """Send an item; the process is waiting for one."""
        try:
            self.pipe.send((batch, index, function, item))
        except ConnectionError:
            raise self._killed() from None
        self.busy = True

    def take(self) -> tuple[int, int, bool, Any]:
        """Return batch and index of the item, whether it went well, and the result or what was raised."""
        try:
            result: tuple[int, int, bool, Any] = self.pipe.recv()
        except (EOFError, ConnectionError):
            raise self._killed() from None
        self.busy = False
        return result

    def end(self, at_once: bool) -> None:
        """End the process: when it has done its work, or at once."""
        self.pipe.close()
        if at_once:
            self.process.kill()
        self.process.join()

    def _killed(self) -> BrokenExecutor:
        """Return the error for a process that has ended by itself."""
        self.process.join()
        time.sleep(_LAST_WORDS_S)  # the signal that ended it may be on its way to this process too
        return BrokenExecutor(f"a process was ended from outside (exit code {self.process.exitcode})")


def _apply(function: Callable[..., Result], arguments: tuple[Any, ...]) -> Result:
    """Call a function with a tuple of arguments."""
    return function(*arguments)


def _work(pipe: connection.Connection[Any, Any]) -> None:
    """Do what comes through the pipe until its other end is closed."""
    end_with_parent()
    while True:
        try:
            batch, index, function, item = pipe.recv()
        except EOFError:
            return
        try:
            result = (True, function(item))
        except Exception as error:
            error.add_note(f"in a process of its own:\n{traceback.format_exc()}")
            result = (False, error)
        _send(pipe, batch, index, *result)


def _send(pipe: connection.Connection[Any, Any], batch: int, index: int, good: bool, result: Any) -> None:
    """Send a result, or why it cannot be sent."""
    try:
        pipe.send((batch, index, good, result))
    except ConnectionError:  # the parent has gone
        return
    except Exception as error:
        pipe.send((batch, index, False, RuntimeError(f"{type(result).__name__} cannot be sent: {error}")))
