"""Several training runs at once, each in a process of its own, as they would be one by one."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from agents.files import held
from agents.progress import Interrupt
from agents.training import TrainingResult, TrainingRun, train
from wisp_gym.errors import InputError
from wisp_gym.signals import end_with_parent, start_deaf

LOOK_S = 0.2
"""How often the parent looks whether Ctrl-C was pressed."""

Outcome = TrainingResult | Exception | None
"""What came of a run: its result, or what went wrong; None where it was ended before it began."""


def train_several(
    runs: Sequence[TrainingRun],
    jobs: int,
    tell: Callable[[int], None] = lambda done: None,
    ended: Callable[[TrainingRun, Outcome], None] = lambda run, outcome: None,
    interrupt: Interrupt | None = None,
) -> list[Outcome]:
    """Train every run, and return what came of each, in order.

    Ctrl-C ends all of them where they can be taken up again; pressed twice, where they are.

    :param runs: in different folders
    :param jobs: processes at a time
    :param tell: takes the decisions made so far, over all runs
    :param ended: told of every run that has ended
    :param interrupt: notes Ctrl-C
    """
    outcomes: list[Outcome] = [None] * len(runs)
    done = [0] * len(runs)
    waiting = list(range(len(runs)))[::-1]
    with interrupt or Interrupt() as interrupt, _ended_with_this_block() as active:
        while active or (waiting and not interrupt.pressed):
            while waiting and len(active) < jobs and not interrupt.pressed:
                index = waiting.pop()
                active[index] = _start(runs[index])
            for pipe in wait([pipe for _, pipe in active.values()], timeout=LOOK_S):
                index = next(at for at, (_, other) in active.items() if other is pipe)
                message = _receive(pipe)
                if isinstance(message, int):
                    done[index] = message
                    tell(sum(done))
                    continue
                process, _ = active.pop(index)
                process.join()
                if message is None and process.exitcode not in (0, -signal.SIGTERM):
                    message = RuntimeError(f"its process failed (exit code {process.exitcode})")
                outcomes[index] = message
                ended(runs[index], message)
            if interrupt.pressed:
                _ask_to_stop(active)
    return outcomes


_Active = dict[int, tuple[SpawnProcess, Any]]


@contextmanager
def _ended_with_this_block() -> Iterator[_Active]:
    """Yield a table of processes; those still in it at the end are killed. Their checkpoints stay."""
    active: _Active = {}
    try:
        yield active
    finally:
        for process, _ in active.values():
            process.kill()
            process.join()


def _start(run: TrainingRun) -> tuple[SpawnProcess, Any]:
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(run, sending))
    start_deaf(process)
    sending.close()
    return process, receiving


def _ask_to_stop(active: _Active) -> None:
    """Send each process SIGTERM, once."""
    for process, pipe in active.values():
        if not getattr(pipe, "asked", False):
            process.terminate()
            pipe.asked = True


def _receive(pipe: Any) -> Any:
    """Return a child's message; None where it left without a word."""
    try:
        return pipe.recv()
    except EOFError:
        return None


def _work(run: TrainingRun, pipe: Connection[Any, Any]) -> None:
    """Train in a child process."""
    end_with_parent()
    try:
        with Interrupt((signal.SIGTERM,), patient=True) as interrupt, held(run.folder):
            pipe.send(train(run, pipe.send, interrupt))
    except (InputError, OSError) as error:
        pipe.send(error)
