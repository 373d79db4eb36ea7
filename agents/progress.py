"""What a person at the terminal sees of a training run, and how they stop it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback

from wisp_gym.signals import SIGNALS, end, is_repeat, obey


class Interrupt:
    """Notes that the user pressed Ctrl-C, so that training can end where it can be taken up again.

    A context manager: the signals are its own inside the block only. A second one raises `Ended`, a third
    ends the process at once; the same signal within a second of the one before is no further one.

    :param signals: that count as Ctrl-C; a scheduler of jobs sends SIGTERM before it ends one
    :param patient: whether a second one is to change nothing, as in a process whose parent decides
    """

    def __init__(self, signals: Sequence[signal.Signals] = SIGNALS, patient: bool = False) -> None:
        self.pressed = False
        self.number = int(signal.SIGINT)
        """Which signal it was."""
        self._signals, self._patient = signals, patient

    def __enter__(self) -> Interrupt:
        self._before = {number: signal.signal(number, self._press) for number in self._signals}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _press(self, signum: int, frame: FrameType | None) -> None:
        if self.pressed and is_repeat(signum):
            return
        if self.pressed and not self._patient:
            end(signum)
        self.pressed, self.number = True, signum
        obey(signum)
        if not self._patient:
            # Not print: the signal may have come in the midst of one.
            os.write(2, b"stopping at the end of this update; once more ends it at once\n")


class Report(BaseCallback):
    """Tells how far training is, at every rollout's end.

    :param tell: takes the decisions made so far
    """

    def __init__(self, tell: Callable[[int], None]) -> None:
        super().__init__()
        self._tell = tell

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self._tell(self.num_timesteps)


@contextmanager
def training_bar(timesteps: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error, where that is a terminal; yield what moves it.

    :param timesteps: decisions until the end
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("training", total=timesteps)
        yield lambda done: bar.update(task, completed=done)
