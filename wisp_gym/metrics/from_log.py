"""Metrics from an event log: what `measure` says of the run, without running it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym.errors import InputError
from wisp_gym.metrics.measure import measure
from wisp_gym.metrics.replay import replay
from wisp_gym.metrics.replay_due import COMPLETE, missing, new_answers
from wisp_gym.pipeline.books import Books
from wisp_gym.pipeline.log import (
    KINDS,
    LOG_AHEAD,
    LOG_DELIVER,
    LOG_DRAFT,
    LOG_PASS,
    LOG_RETRY,
    LOG_START,
    LOG_SUPERSEDE,
    LOG_VERIFY,
    LOG_WAIT,
)
from wisp_gym.pipeline.simulation import Simulation
from wisp_gym.pipeline.state import LOG_COLUMNS, new_state
from wisp_gym.scenario import Scenario
from wisp_gym.world import World

Rows = npt.NDArray[np.int64]

LONGEST_NS = 2**60
"""Times and durations of a log are below this, so that no sum of two overflows."""

_EMPTY = np.empty(0, np.float32)


@dataclass(frozen=True)
class Serving:
    """What of a policy its log does not tell and metrics rest on.

    :param server_loop: sessions stay on the server between rounds (centralized serving)
    :param whole_output: KV memory is held for a session's whole output from its admission on
    :param padded: every draft of a pass costs as much as its longest (static batches)
    """

    server_loop: bool = False
    whole_output: bool = False
    padded: bool = False


def serving(simulation: Simulation) -> Serving:
    """Return what goes with a simulation's log."""
    control = simulation.state.control[0]
    return Serving(*(bool(control[field.name]) for field in dataclasses.fields(Serving)))


def judged_by(world: World, scenario: Scenario) -> World:
    """Return a world whose tokens are judged by another scenario's allowance, share and warm-up.

    Only what judges is changed: fleet, sessions, streams and delays stay those that were drawn.

    :param world: of the run
    :param scenario: with the SLO to judge by
    """
    groups = world.arrays.groups.copy()
    groups["allowance_ns"] = round(1e9 * scenario.classes.allowance_s)
    groups["on_time_share"] = scenario.classes.on_time_share
    warmup_ns = round(1e9 * scenario.warmup())
    return dataclasses.replace(world, arrays=world.arrays._replace(groups=groups), warmup_ns=warmup_ns)


def from_log(world: World, rows: Rows, serving: Serving) -> dict[str, float]:
    """Return the metrics of a run over its window, from its event log: those of `measure`, to the last bit.

    :param world: of the run, drawn again from its seed
    :param rows: the whole log.  Columns: time_ns, kind, device, session, a, b, c, d  # (rows, 8)
    :param serving: of the policy
    :raises InputError: the rows are not the log of a run in this world
    """
    return measure(Replay(world, rows, serving).run())


class Replay(Books):
    """Keeps a run's books from its event log, up to the horizon. Parameters and errors as for `from_log`."""

    def __init__(self, world: World, rows: Rows, serving: Serving) -> None:
        check_rows(world, rows)
        super().__init__(world, new_state(world.arrays, np.zeros(4), _EMPTY, _EMPTY, log=False))
        for name, value in dataclasses.asdict(serving).items():
            self.state.control[name] = value
        self._rows, self._next = with_newcomers(rows), 0
        self._answers = new_answers(self._rows, world.devices)

    def run(self) -> Replay:
        """Go to the horizon and return this object, the window marked."""
        self._until(self.world.warmup_ns)
        self.mark_window()
        self._until(self.world.horizon_ns)
        self._check_end()
        self.settle()
        return self

    def _until(self, time_ns: int) -> None:
        """Book all rows before a time."""
        arrays, state, answers = self.world.arrays, self.state, self._answers
        self._next = int(replay(arrays, state, answers, self._rows, self._next, time_ns))
        if self._next < 0:
            row = -1 - self._next
            kind = KINDS[self._rows[row, 1]]
            raise InputError(f"event log: row {row} ({kind}) cannot follow the rows before it in this world")

    def _check_end(self) -> None:
        """Refuse a log that stops before the run does: something was still to happen."""
        d = int(missing(self.world.arrays, self.state, self._answers, self.world.horizon_ns))
        if d != COMPLETE:
            whom = f"device {d}" if d < self.world.devices else "the queue"
            raise InputError(
                f"event log: ends after {len(self._rows)} rows, but something was still to come for {whom} "
                f"in the {self.world.horizon_ns * 1e-9:g} s of the run; allowed: the whole log"
            )


def with_newcomers(rows: Rows) -> Rows:
    """Return the rows with, in each `supersede` row, the tokens of the request that came.

    A device's repeated requests arrive in the order in which it sent them, each at one `supersede` row; the
    request that came is the one of its `retry` row.

    :raises InputError: more requests came than were sent
    """
    came = np.flatnonzero(rows[:, 1] == LOG_SUPERSEDE)
    if len(came) == 0:
        return np.ascontiguousarray(rows, np.int64)
    sent = np.flatnonzero(rows[:, 1] == LOG_RETRY)
    places = _places(rows[sent, 2], len(rows))
    order = np.argsort(places)
    wanted = _places(rows[came, 2], len(rows))
    at = np.searchsorted(places[order], wanted)
    if len(sent) == 0 or at.max() >= len(sent) or (places[order][at] != wanted).any():
        raise InputError("event log: a repeated request comes that no device has sent")
    result = np.array(rows, np.int64)
    result[came, 7] = rows[sent[order][at], 4]
    return result


def _places(devices: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """Return device * most + how many of the entries before are of the same device."""
    order = np.argsort(devices, kind="stable")
    ordered = devices[order]
    since = np.searchsorted(ordered, ordered)
    count = np.empty(len(devices), np.int64)
    count[order] = np.arange(len(devices)) - since
    return devices * most + count


def check_rows(world: World, rows: Any) -> None:
    """Check that every index in a log lies in a world and every number in its range.

    :raises InputError: one does not, or the rows are no log at all
    """
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != LOG_COLUMNS:
        raise InputError(f"event log: allowed: an array of {LOG_COLUMNS} columns, a row an event")
    if rows.dtype.kind != "i":
        raise InputError(f"event log: {rows.dtype}; allowed: whole numbers")
    time_ns, kind, device, session = rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3]
    known = (kind >= 0) & (kind < len(KINDS))
    _all(known, "kind", kind, f"0 to {len(KINDS) - 1}")
    _all((time_ns >= 0) & (time_ns < world.horizon_ns), "time_ns", time_ns, f"0 to {world.horizon_ns} (ns)")
    of_server = (kind == LOG_PASS) | (kind == LOG_WAIT)
    _all((device >= -of_server.astype(int)) & (device < world.devices), "device", device, "a device's number")
    sessions = world.arrays.sessions
    none = of_server | (kind == LOG_SUPERSEDE)
    _all((session >= -none.astype(int)) & (session < len(sessions)), "session", session, "a session's number")
    theirs = (session < 0) | (len(sessions) == 0)
    theirs |= sessions["device"][np.maximum(session, 0)] == device if len(sessions) else True
    _all(theirs, "session", session, "one of the row's device")
    for column, name in enumerate("abcd", 4):
        value = rows[:, column]
        _all((value >= -1) & (value < LONGEST_NS), name, value, f"-1 to {LONGEST_NS}")
    signed = np.isin(kind, (LOG_START, LOG_DRAFT, LOG_VERIFY, LOG_DELIVER, LOG_RETRY, LOG_AHEAD))
    tokens = rows[:, 5]
    _all(~signed | (tokens >= 0), "b", tokens, "0 or more")


def _all(right: npt.NDArray[np.bool_], name: str, values: npt.NDArray[np.int64], allowed: str) -> None:
    """Refuse the first row whose value is not right."""
    wrong = np.flatnonzero(~right)
    if len(wrong):
        raise InputError(f"event log: row {wrong[0]}: {name} = {values[wrong[0]]}; allowed: {allowed}")
