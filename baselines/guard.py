"""A controller of the user's own between its file and the pipeline: what it raises becomes one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from baselines.files import failed
from wisp_gym.errors import InputError, shown
from wisp_gym.pipeline import DispatchView, RoundView, SchedulerRule, Stream, Wait


class GuardedScheduler:
    """A scheduler of the user's own.

    :param controller: the user's object
    :param called: "path/to/file.py:Class", for messages
    :raises InputError: its `requests_as` is no `SchedulerRule`
    """

    def __init__(self, controller: Any, called: str) -> None:
        self.controller, self.called = controller, called
        described = getattr(controller, "requests_as", None)
        if described is not None:
            if not isinstance(described, SchedulerRule):
                raise InputError(f"{called}: requests_as: {shown(described)}; allowed: a SchedulerRule")
            self.requests_as = described

    def select(self, view: DispatchView) -> Sequence[int] | Wait:
        """Return the controller's answer.

        :raises InputError: it fails
        """
        try:
            answer: Sequence[int] | Wait = self.controller.select(view)
        except (Exception, SystemExit) as error:
            raise failed(self.called, "select()", error) from error
        return answer


class GuardedDrafter:
    """A drafter of the user's own; parameters as `GuardedScheduler`."""

    def __init__(self, controller: Any, called: str) -> None:
        self.controller, self.called = controller, called

    def score(self, stream: Stream) -> npt.NDArray[np.float32]:
        """Return the controller's answer.

        :raises InputError: it fails
        """
        try:
            answer: npt.NDArray[np.float32] = self.controller.score(stream)
        except (Exception, SystemExit) as error:
            raise failed(self.called, "score()", error) from error
        return answer

    def limit(self, view: RoundView) -> tuple[int, float]:
        """Return the controller's answer.

        :raises InputError: it fails
        """
        try:
            answer: tuple[int, float] = self.controller.limit(view)
        except (Exception, SystemExit) as error:
            raise failed(self.called, "limit()", error) from error
        return answer
