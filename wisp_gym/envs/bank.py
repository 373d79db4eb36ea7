"""Many pipelines side by side: their arrays stacked, so that one kernel call can advance all of them.

A row is one pipeline. Rows hold worlds of different sizes, so each array has room for the largest, and `rows`
says how much of it is in use. What is the same in all worlds of a scenario is there once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel
from wisp_gym.pipeline.state import State
from wisp_gym.world.types import WorldArrays

ROW = np.dtype(
    [
        ("devices", "i8"),  # how much of the row's arrays is in use
        ("sessions", "i8"),
        ("positions", "i8"),
        ("events", "i8"),
        ("horizon_ns", "i8"),  # where the episode ends
        ("todo", "i8"),  # REST, ACT or GO_ON
        ("idle", "i8"),  # 1: no dispatch is left before the end; the step only passes the time
        ("forced", "i8"),  # 1: the wait of this step was read as serving
        ("before_ns", "i8"),  # when the step began
        ("demand_tps", "f8"),  # what the fleet's classes ask for
    ]
)

SETTINGS = np.dtype(
    [
        ("hold_ns", "i8"),  # an action answers every dispatch until this much time has passed
        ("tau_s", "f8"),  # time constant of the discount
        ("reward", "i8"),  # number of the compiled reward
    ]
)
"""What an environment's arguments say of a step."""

REST, ACT, RESUME = 0, 1, 2
"""What a row does in a kernel call: nothing, its action, or go on where room for events or log ran short."""

OUT = np.dtype(
    [
        ("reward", "f8"),  # 0 for a reward of the user's
        ("dt", "f8"),  # simulated time of the step, s
        ("discount", "f8"),  # exp(-dt / tau)
        ("cost", "f8"),  # share of devices behind
        ("forced", "i8"),
        ("over", "i8"),  # 1: the episode ended with this step
    ]
)
"""What one step of a row gives, beside observation and terms."""


class Bank(NamedTuple):
    """Rows of pipelines: of each world what differs, of each state all but the estimator."""

    rows: npt.NDArray[Any]  # (n,) ROW
    # world
    seed: npt.NDArray[np.uint64]  # (n, 1)
    world_devices: npt.NDArray[Any]  # (n, devices) DEVICE
    sessions: npt.NDArray[Any]  # (n, sessions) SESSION
    groups: npt.NDArray[Any]  # (n, 4) GROUP
    accepts: npt.NDArray[np.uint8]  # (n, positions)
    server: npt.NDArray[Any]  # (1,) SERVER and what follows: of the scenario
    pass_ns: npt.NDArray[np.float64]
    noise: npt.NDArray[np.float64]
    up_ns: npt.NDArray[np.int64]
    down_ns: npt.NDArray[np.int64]
    refresh: npt.NDArray[np.uint64]
    expected: npt.NDArray[np.float64]
    # state, see pipeline/state.py
    clock: npt.NDArray[Any]  # (n, 1)
    control: npt.NDArray[Any]  # (n, 1)
    caps: npt.NDArray[np.int64]  # (n, 4)
    thresholds: npt.NDArray[np.float64]  # (n, 4)
    devices: npt.NDArray[Any]  # (n, devices)
    outcomes: npt.NDArray[Any]  # (n, sessions)
    requests: npt.NDArray[Any]  # (n, devices)
    waiting: npt.NDArray[np.int64]  # (n, devices)
    ready: npt.NDArray[np.int64]  # (n, devices)
    holders: npt.NDArray[np.int64]  # (n, devices)
    events: npt.NDArray[np.int64]  # (n, events, 3)
    batch: npt.NDArray[np.int64]  # (n, max_batch)
    picks: npt.NDArray[np.int64]  # (n, devices + 1)
    pack: npt.NDArray[Any]  # (n, 1)
    heap: npt.NDArray[np.int64]  # (n, devices)
    phase: npt.NDArray[np.int64]  # (n, devices)
    rank: npt.NDArray[np.float64]  # (n, devices)
    estimator: npt.NDArray[np.float64]  # (4,) of the scenario
    reports: npt.NDArray[np.int64]  # (n, 4)
    seen: npt.NDArray[np.float64]  # (n, 2, 33)
    table: npt.NDArray[np.int64]  # (n, 0)
    bandit: npt.NDArray[np.float64]  # (n, 0, 1, 3)
    scores: npt.NDArray[np.float32]  # (n, positions)
    off_scores: npt.NDArray[np.float32]  # (n, positions)
    law: npt.NDArray[np.float64]  # (n, 0), no environment drafts by belief
    belief: npt.NDArray[np.float64]  # (n, 0, 1)
    counters: npt.NDArray[Any]  # (n, 4)
    totals: npt.NDArray[Any]  # (n, 1)
    tbt: npt.NDArray[np.int64]  # (n, 4, TBT_BINS)
    waits: npt.NDArray[np.int64]  # (n, 4, TBT_BINS)
    log: npt.NDArray[np.int64]  # (n, rows, 8)
    # what the environment remembers of a row
    memory: npt.NDArray[Any]  # (n, 1) MEMORY
    recent: npt.NDArray[Any]  # (n, 4) RECENT
    before: npt.NDArray[np.int64]  # (n, 4, 4) counts at the decision before
    taken: npt.NDArray[np.int64]  # (n, 8) the last action
    # workspace
    sums: npt.NDArray[np.float64]  # (4, SUMS)
    least: npt.NDArray[np.float64]  # (4,)


@kernel
def world_of(bank: Bank, i: int) -> WorldArrays:
    """Return row i's world, as views."""
    row = bank.rows[i]
    return WorldArrays(
        bank.seed[i],
        bank.world_devices[i, : row["devices"]],
        bank.sessions[i, : row["sessions"]],
        bank.groups[i],
        bank.server,
        bank.pass_ns,
        bank.noise,
        bank.up_ns,
        bank.down_ns,
        bank.refresh,
        bank.accepts[i, : row["positions"]],
        bank.expected,
    )


@kernel
def state_of(bank: Bank, i: int) -> State:
    """Return row i's state, as views."""
    row = bank.rows[i]
    devices, sessions, positions = row["devices"], row["sessions"], row["positions"]
    return State(
        bank.clock[i],
        bank.control[i],
        bank.caps[i],
        bank.thresholds[i],
        bank.devices[i, :devices],
        bank.outcomes[i, :sessions],
        bank.requests[i, :devices],
        bank.waiting[i, :devices],
        bank.ready[i, :devices],
        bank.holders[i, :devices],
        bank.events[i, : row["events"]],
        bank.batch[i],
        bank.picks[i, : devices + 1],
        bank.pack[i],
        bank.heap[i, :devices],
        bank.phase[i, :devices],
        bank.rank[i, :devices],
        bank.estimator,
        bank.reports[i],
        bank.seen[i],
        bank.table[i],
        bank.bandit[i],
        bank.scores[i, :positions],
        bank.off_scores[i, :positions],
        bank.law[i],
        bank.belief[i],
        bank.counters[i],
        bank.totals[i],
        bank.tbt[i],
        bank.waits[i],
        bank.log[i],
    )
