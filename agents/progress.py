"""What a person at the terminal sees of a training run, and how they stop it."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback


class StopOnInterrupt(BaseCallback):
    """Ends training before the next step when the user presses Ctrl-C: no update is left half done.

    A context manager: the signal is its own inside the block only. A second Ctrl-C raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pressed = False

    def __enter__(self) -> StopOnInterrupt:
        self._before = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _press(self, signum: int, frame: FrameType | None) -> None:
        self.pressed = True
        signal.signal(signum, signal.default_int_handler)

    def _on_step(self) -> bool:
        return not self.pressed


class TrainingProgress(BaseCallback):
    """A progress bar on standard error, where that is a terminal.

    :param timesteps: decisions until the end
    """

    def __init__(self, timesteps: int) -> None:
        super().__init__()
        console = Console(stderr=True)
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._bar.add_task("training", total=timesteps)

    def _on_training_start(self) -> None:
        self._bar.start()

    def _on_step(self) -> bool:
        self._bar.update(self._task, completed=self.num_timesteps)
        return True

    def close(self) -> None:
        """Take the bar away, whatever ended the training."""
        self._bar.stop()
