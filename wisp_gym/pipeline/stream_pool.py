"""The token streams of a streamed world: those of the sessions under way, and of the next to come.

A stream is a function of (seed, device, session), so it can be drawn whenever it is wanted. When a prompt
reaches the server and its session's stream is not there, the kernel stops; the pool then forgets the streams
of finished sessions, draws those that will be wanted soon, and lays all of them end to end. So many are drawn
that this happens rarely. What the pool holds depends on how many sessions are under way, not on how long the
world is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import compiled
from wisp_gym.errors import InputError
from wisp_gym.pipeline.state import QUEUED, State
from wisp_gym.world import World
from wisp_gym.world.session_streams import Scorer, draw_accepts, scored_streams
from wisp_gym.world.size import MAX_POSITIONS, POOL_POSITIONS

IntArray = npt.NDArray[np.int64]


class StreamPool:
    """Streams and stop scores of some of a world's sessions.

    :param world: a streamed one
    :param scorer: makes stop scores of signals; None where no drafter reads any
    :param wanted: False where nothing is ever drafted: no stream is drawn

    `sessions` are the world's, with the places that their streams have here; `accepts`, `scores`,
    `off_scores` are those streams.
    """

    def __init__(self, world: World, scorer: Scorer | None, wanted: bool) -> None:
        self.world, self.scorer = world, scorer
        self.sessions = world.arrays.sessions.copy()
        self.sessions["offset"] = -1 if wanted else 0
        self.accepts = np.empty(0, np.uint8)
        self.scores = self.off_scores = np.empty(0, np.float32)
        self.rows: IntArray = np.empty(0, np.int64)
        self.cursor: IntArray = world.arrays.devices["first_session"].copy()
        self.ends: IntArray = self.cursor + world.arrays.devices["sessions"]
        self.total: IntArray = np.cumsum(self.sessions["length"])
        self.drawn = 0  # open loop: rows below this have been drawn

    def refill(self, state: State) -> None:
        """Draw the streams that are wanted now and soon, forget those of finished sessions.

        :raises InputError: too many sessions are under way at once
        """
        kept = self.rows[state.outcomes["finished"][self.rows] == 0]
        fresh = self._next_open(state, kept) if self.world.scenario.open_loop else self._next_closed(state)
        self._check(kept, fresh)
        begins, lengths = self.sessions["offset"][kept], self.sessions["length"][kept]
        accepts, *scores = self._draw(fresh)
        self.accepts = joined(self.accepts, begins, lengths, accepts)
        if scores:
            self.scores = joined(self.scores, begins, lengths, scores[0])
            self.off_scores = joined(self.off_scores, begins, lengths, scores[1])
        self.sessions["offset"][self.rows] = -1
        self.rows = np.concatenate([kept, fresh])
        lengths = self.sessions["length"][self.rows]
        self.sessions["offset"][self.rows] = np.cumsum(lengths) - lengths

    def _draw(self, rows: IntArray) -> tuple[Any, ...]:
        if self.scorer is None:
            return (draw_accepts(self.world.arrays, self.world.stream, rows),)
        return scored_streams(self.world, rows, self.scorer)

    def _next_closed(self, state: State) -> IntArray:
        """Return the rows to draw: of each device the same number after the session that it is at."""
        each = sessions_ahead(int(self.total[-1]), len(self.sessions), len(self.cursor))
        at = np.maximum(state.devices["session"], self.world.arrays.devices["first_session"])
        ends = np.maximum(self.cursor, np.minimum(at + 1 + each, self.ends))
        rows = ranges(self.cursor, ends - self.cursor)
        self.cursor = ends
        return rows

    def _next_open(self, state: State, kept: IntArray) -> IntArray:
        """Return the rows to draw: those that arrive next, at least as far as one waits for its stream."""
        waiting = state.devices["session"][state.devices["phase"] == QUEUED]
        dry = waiting[self.sessions["offset"][waiting] < 0]
        held = int(self.sessions["length"][kept].sum())
        least = self.drawn if len(dry) == 0 else int(dry.max()) + 1
        before = int(self.total[self.drawn - 1]) if self.drawn > 0 else 0
        room = max(POOL_POSITIONS - held, POOL_POSITIONS // 4)
        end = max(least, int(np.searchsorted(self.total, before + room, side="right")))
        rows = np.arange(self.drawn, end)
        self.drawn = end
        return rows

    def _check(self, kept: IntArray, fresh: IntArray) -> None:
        positions = int(self.sessions["length"][kept].sum()) + int(self.sessions["length"][fresh].sum())
        if positions > MAX_POSITIONS:
            raise InputError(
                f"world: unfinished sessions of {positions} tokens together; allowed: {MAX_POSITIONS}: a "
                "load that the policy can serve, or a shorter horizon"
            )


def sessions_ahead(positions: int, sessions: int, devices: int) -> int:
    """Return how many sessions of each device, beside the one it is at, are drawn at a time (closed loop).

    One at least, unless so many positions are under way that a second session each would be too many.
    """
    under_way = devices * positions / sessions
    least = 1 if 4 * under_way <= MAX_POSITIONS else 0
    return max(least, int(POOL_POSITIONS / under_way))


@compiled
def gather(source: Any, begins: IntArray, lengths: IntArray, result: Any) -> None:
    """Lay pieces of an array end to end.

    :param begins: of each piece in `source`; :param lengths: of each
    :param result: filled from the front
    """
    at = 0
    for i in range(len(begins)):
        for j in range(lengths[i]):
            result[at + j] = source[begins[i] + j]
        at += lengths[i]


def joined(source: Any, begins: IntArray, lengths: IntArray, fresh: Any) -> Any:
    """Return pieces of an array end to end, and another array after them."""
    held = int(lengths.sum())
    result = np.empty(held + len(fresh), source.dtype)
    gather(source, begins, lengths, result)
    result[held:] = fresh
    return result


def ranges(begins: IntArray, lengths: IntArray) -> IntArray:
    """Return the whole numbers of several ranges, one after the other.

    :param begins: first of each; :param lengths: how many
    """
    before = np.cumsum(lengths) - lengths
    return np.repeat(begins - before, lengths) + np.arange(int(lengths.sum()))
