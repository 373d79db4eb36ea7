"""The event log: what happened, when, to whom. Two runs are the same when their logs are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel

if TYPE_CHECKING:
    import pandas as pd

LOG_START = 0  # a session is laid out: its start ns, prompt tokens, output tokens
LOG_DRAFT = (
    1  # a round begins to draft: drafted, sent, 1 where a network checked each token, ns spent on it ahead
)
LOG_MEMBER = 2  # a request joins a pass: batch number, drafted tokens, new tokens, cached tokens
LOG_PASS = 3  # a pass begins: batch number, members, end ns; device and session -1
LOG_VERIFY = 4  # a request's pass ends: batch number, accepted, committed so far
LOG_DELIVER = 5  # tokens reach a device: how many, delivered so far
LOG_EVICT = 6  # a session loses its KV memory: tokens held
LOG_WAIT = 7  # the scheduler waits: until ns; device and session -1
LOG_AHEAD = 8  # drafting ahead ends: since ns, whole tokens not sent yet, tokens kept or -1, ns spent
LOG_RETRY = 9  # a device asks again: tokens, of them new, since when ns it drafted these
LOG_SUPERSEDE = (
    10  # a request is void: tokens, 1 a longer one took its place or 0 it came too late (session -1)
)

KINDS = (
    "start",
    "draft",
    "member",
    "pass",
    "verify",
    "deliver",
    "evict",
    "wait",
    "ahead",
    "retry",
    "supersede",
)


@kernel
def write_log(
    log: npt.NDArray[np.int64],
    clock: Any,
    kind: int,
    device: int,
    session: int,
    a: int,
    b: int,
    c: int,
    d: int,
) -> None:
    """Write one row, when the log is on.  Columns: time_ns, kind, device, session, a, b, c, d  # (rows, 8)"""
    if clock["log_on"] == 0:
        return
    row = clock["logged"]
    log[row, 0] = clock["now_ns"]
    log[row, 1] = kind
    log[row, 2] = device
    log[row, 3] = session
    log[row, 4] = a
    log[row, 5] = b
    log[row, 6] = c
    log[row, 7] = d
    clock["logged"] = row + 1


def recent_rows(rows: npt.NDArray[np.int64], since_ns: int) -> npt.NDArray[np.int64]:
    """Return the rows from a time on, and of the older ones what tells how things stood then: the last of
    each kind of every device that is not through with its last session, and the passes they name.

    :param rows: of the log, in order  # (rows, 8)
    """
    first = int(np.searchsorted(rows[:, 0], since_ns))
    older = rows[:first]
    newest_first = (older[:, 2] * len(KINDS) + older[:, 1])[::-1]
    kept = np.zeros(first, np.bool_)
    kept[first - 1 - np.unique(newest_first, return_index=True)[1]] = True
    kept &= ~np.isin(older[:, 2], _finished(older[kept]))
    named = older[kept & (older[:, 1] == LOG_MEMBER), 4]
    kept |= (older[:, 1] == LOG_PASS) & np.isin(older[:, 4], named)
    return np.concatenate([older[kept], rows[first:]])


def _finished(last: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the devices whose newest session is delivered to the end.

    :param last: the last row of each kind of every device  # (rows, 8)
    """
    starts, deliveries = last[last[:, 1] == LOG_START], last[last[:, 1] == LOG_DELIVER]
    starts = starts[np.argsort(starts[:, 3])]
    at = np.searchsorted(starts[:, 3], deliveries[:, 3])
    known = at < len(starts)
    deliveries, at = deliveries[known], at[known]
    done = (starts[at, 3] == deliveries[:, 3]) & (deliveries[:, 5] >= starts[at, 6])
    return deliveries[done, 2]


def log_frame(rows: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Return log rows as a table with the kinds by name."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=["time_ns", "kind", "device", "session", "a", "b", "c", "d"])
    frame["kind"] = [KINDS[kind] for kind in frame["kind"]]
    return frame
