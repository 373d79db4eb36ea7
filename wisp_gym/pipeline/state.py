"""The pipeline's state: one documented record type per entity, and the arrays the compiled kernel works
on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wisp_gym.rules.bayes import belief_length
from wisp_gym.rules.control import CONTROL, MAX_DRAFT, REQUEST
from wisp_gym.rules.expected import PRIOR_ROUNDS
from wisp_gym.rules.select import NEVER, PACK
from wisp_gym.world.types import GROUPS, WorldArrays

# Where a device's session stands
IDLE = 0  # no session, or the next has not started
UPLINK = 1  # drafting or sending: the request has not reached the server
QUEUED = 2  # waiting in the server's queue
VERIFYING = 3  # member of the running pass
DOWNLINK = 4  # the result is on its way
PREFILLING = 5  # the device is still prefilling its prompt
READING = 6  # the session leads its reader by as much as it may

DEVICE_STATE = np.dtype(
    [
        ("session", "i8"),  # row in the world's sessions, -1 none
        ("phase", "i8"),  # one of the above
        ("committed", "i8"),  # output tokens the target has committed
        ("delivered", "i8"),  # output tokens that have reached the device
        ("round_ns", "i8"),  # when the round began
        ("sent_ns", "i8"),  # when the request left the device
        ("queued_ns", "i8"),  # since when it waits in the queue
        ("drafted", "i8"),  # tokens drafted in this round
        ("k", "i8"),  # of them sent
        ("accepted", "i8"),  # of them the target will accept (known to nobody before the pass)
        ("cached", "i8"),  # tokens of the session in KV memory
        ("held", "i8"),  # KV tokens it holds, draft included
        ("holder", "i8"),  # its place in `holders` while it holds any
        ("served_ns", "i8"),  # when it was last in a pass, -1 never
        ("admitted_ns", "i8"),  # when it last turned warm, -1 cold
        ("prefilled_ns", "i8"),  # when the device has prefilled the prompt
        ("up_free_ns", "i8"),  # last arrival on the uplink (first in, first out)
        ("down_free_ns", "i8"),  # last arrival on the downlink
        ("served_tps", "f8"),  # smoothed committed tokens/s at the last commit (rules/proportional_fair.py)
        ("rated_ns", "i8"),  # when that was
        ("token_ns", "i8"),  # last delivery, or the session's start
        ("stall_ns", "i8"),  # longest time without a token inside a session
        ("settle_from", "i8"),  # first session with tokens that have not fallen due
        ("due_ns", "i8"),  # nothing of its sessions is to be settled up to this time
        ("behind", "i8"),  # 1 while too few tokens of its running session are on time
        ("cap", "i8"),  # draft cap of the next round, as the last reply carried it
        ("threshold", "f8"),  # stop threshold of the next round, likewise
        ("last_k", "i8"),  # the last verified round, as the device knows it: tokens sent
        ("last_accepted", "i8"),  # and accepted
        ("round_no", "i8"),  # rounds begun so far, each session's prompt being one
        ("asked", "i8"),  # tokens in the round's newest request; more than `k` after a time-out
        ("ahead_from_ns", "i8"),  # since when it drafts ahead of that request, -1 it does not
        ("timer_ns", "i8"),  # when it asks again, NEVER it does not
        ("timer_set", "i8"),  # 1 while its TIMEOUT is in the event heap
        ("retries", "i8"),  # how often it has asked again in this round
        ("ahead", "i8"),  # tokens of the next draft that it has already
        ("ahead_ns", "i8"),  # time it has spent on that draft
        ("ahead_sent", "i8"),  # of those tokens, sent once in a request that came too late
        ("taken", "i8"),  # tokens accepted in the session so far, as the server knows them
        ("foreseen", "f8"),  # of the same drafts, what the fleet's mean let expect
    ]
)

OUTCOME = np.dtype(
    [
        ("start_ns", "i8"),  # -1 not started
        ("first_ns", "i8"),  # first token delivered, -1 not yet
        ("last_ns", "i8"),  # last delivery so far, -1 none
        ("delivered", "i8"),  # tokens
        ("settled", "i8"),  # tokens whose due time has passed
        ("on_time", "i8"),  # of them delivered by then
        ("finished", "i8"),  # 1 when all tokens are delivered
    ]
)
"""What became of a session, in the order of the world's sessions."""

COUNTER = np.dtype(
    [
        ("drafted", "i8"),  # tokens
        ("sent", "i8"),
        ("dropped", "i8"),  # suspects not sent
        ("discarded", "i8"),  # drafted ahead and thrown away, never sent
        ("superseded", "i8"),  # sent in requests that another request of the same round made void
        ("resent", "i8"),  # of those sent, the ones that had been sent before
        ("verified", "i8"),
        ("accepted", "i8"),
        ("rejected", "i8"),
        ("rounds", "i8"),  # verified rounds, prompts included
        ("requests", "i8"),  # members of passes, chunks of prompts included
        ("cold", "i8"),  # of them with nothing cached
        ("committed", "i8"),  # tokens
        ("forecast_on_time", "i8"),  # of them expected, at the commit, to be on time
        ("delivered", "i8"),  # tokens
        ("delivered_on_time", "i8"),  # tokens delivered not after their due time
        ("due", "i8"),  # tokens of started sessions that fell due
        ("due_on_time", "i8"),  # of them delivered by then
        ("finished", "i8"),  # sessions
        ("finished_on_time", "i8"),  # of them with enough tokens on time
        ("last_on_time", "i8"),  # of them whose last token was on time
        ("draft_ns", "i8"),  # device time spent drafting, stop checks included
        ("waste_ns", "i8"),  # of it on tokens after the first rejected, dropped, superseded or discarded
        ("prefill_ns", "i8"),  # device time spent on prompts
        ("network_ns", "i8"),  # on links, both ways
        ("queue_ns", "i8"),  # in the server's queue
        ("verify_ns", "i8"),  # in passes
        ("vi_raw_ns", "f8"),  # T(batch) - T({i})
        ("vi_mix_ns", "f8"),  # T(batch) - T(as many copies of i), noise-free, not below 0
        ("vi_queue_ns", "f8"),  # waited behind a running pass's mix excess
        ("energy_j", "f8"),  # of drafting and prefilling
        ("bytes", "i8"),  # on links, both ways
    ]
)
"""Sums over devices of one SLO class since time zero."""

TOTAL = np.dtype(
    [
        ("passes", "i8"),
        ("members", "i8"),
        ("new_tokens", "i8"),
        ("busy_ns", "i8"),  # time in passes, counted at their start
        ("evictions", "i8"),
        ("kv_ns", "f8"),  # KV tokens held, integrated over time
        ("kv_since_ns", "i8"),  # up to when
    ]
)
"""Sums over the server since time zero."""

CLOCK = np.dtype(
    [
        ("now_ns", "i8"),
        ("busy", "i8"),  # 1 while a pass runs
        ("pass_start_ns", "i8"),
        ("pass_end_ns", "i8"),
        ("pass_excess_ns", "f8"),  # how much its heaviest member delays its lightest
        ("batch_no", "i8"),  # passes begun
        ("batch_size", "i8"),  # members of the running pass
        ("wake_ns", "i8"),  # when a waiting scheduler is asked again
        ("ask", "i8"),  # 1 when the scheduler is to be asked at this instant
        ("waits", "i8"),  # times it chose to wait since the last pass
        ("wait_since_ns", "i8"),  # when it first did
        ("waiting", "i8"),  # requests in the queue
        ("ready", "i8"),  # devices about to begin a round at this instant
        ("dry", "i8"),  # 1 when a session is under way whose token stream is not there (stream_pool.py)
        ("events", "i8"),  # entries of the event heap
        ("kv_used", "i8"),  # tokens
        ("holding", "i8"),  # devices that hold KV memory
        ("behind", "i8"),  # devices whose running session is behind
        ("logged", "i8"),  # rows of the event log
        ("log_on", "i8"),
        ("agreed", "f8"),  # goodput: drafted tokens that agreed, of late
        ("judged", "f8"),  # and those of which it is known whether they did
    ]
)

TBT_BINS = 20_000
BIN_NS = 1_000_000
"""Time between tokens and queue wait are counted in bins of 1 ms, the last one open."""

LOG_COLUMNS = 8
"""time_ns, kind, device, session, and four numbers that the kind explains (pipeline/log.py)."""


class State(NamedTuple):
    """Everything that changes while the pipeline runs."""

    clock: npt.NDArray[Any]  # (1,) CLOCK
    control: npt.NDArray[Any]  # (1,) CONTROL
    caps: npt.NDArray[np.int64]  # (4,) draft caps by class, of the drafter or of the command in force
    thresholds: npt.NDArray[np.float64]  # (4,) stop thresholds likewise
    devices: npt.NDArray[Any]  # (devices,) DEVICE_STATE
    outcomes: npt.NDArray[Any]  # (sessions,) OUTCOME
    requests: npt.NDArray[Any]  # (devices,) REQUEST, valid while queued
    waiting: npt.NDArray[np.int64]  # (devices,) devices in the queue
    ready: npt.NDArray[np.int64]  # (devices,) devices about to begin a round
    holders: npt.NDArray[np.int64]  # (devices,) devices that hold KV memory, in no order
    events: npt.NDArray[np.int64]  # (capacity, 3) heap of time, key, tokens
    batch: npt.NDArray[np.int64]  # (max_batch,) members of the running pass
    picks: npt.NDArray[np.int64]  # (devices,) a Python scheduler's choice; picks[0] of a drafter's: cap
    pack: npt.NDArray[Any]  # (1,) PACK
    heap: npt.NDArray[np.int64]  # (devices,) workspace of the order
    phase: npt.NDArray[np.int64]  # (devices,) likewise
    rank: npt.NDArray[np.float64]  # (devices,) likewise
    estimator: npt.NDArray[np.float64]  # (4,) WISP's verification time estimator
    reports: npt.NDArray[np.int64]  # (4,) when a request of the class last arrived, 0 never
    seen: npt.NDArray[np.float64]  # (2, 33) by draft length: accepted tokens, rounds
    table: npt.NDArray[np.int64]  # (max_batch + 1,) draft length by size of the pass; (0,) where unused
    bandit: npt.NDArray[np.float64]  # (devices, arms, 3) sums of ucb (rules/ucb.py); (0, 1, 3) where unused
    scores: npt.NDArray[np.float32]  # (positions,) stop scores on the true prefix
    off_scores: npt.NDArray[np.float32]  # (positions,) and off it
    law: npt.NDArray[np.float64]  # (n,) of the streams, for the Bayesian drafter (rules/bayes.py); else empty
    belief: npt.NDArray[np.float64]  # (devices + 1, m) its beliefs, and room for one more; else none
    counters: npt.NDArray[Any]  # (4,) COUNTER
    totals: npt.NDArray[Any]  # (1,) TOTAL
    tbt: npt.NDArray[np.int64]  # (4, TBT_BINS) tokens by time between tokens
    waits: npt.NDArray[np.int64]  # (4, TBT_BINS) requests by queue wait
    log: npt.NDArray[np.int64]  # (rows, 8) event log


def new_state(
    world: WorldArrays,
    estimator: npt.NDArray[np.float64],
    scores: npt.NDArray[np.float32],
    off_scores: npt.NDArray[np.float32],
    log: bool,
    law: npt.NDArray[np.float64] | None = None,
) -> State:
    """Return the state at time zero, no event laid out yet.

    :param estimator: coefficients of WISP's estimator, ns  # (4,)
    :param scores: stop scores on the true prefix; empty when no threshold is used
    :param off_scores: and off it
    :param log: whether events are written down
    :param law: of the streams, for the Bayesian drafter; None for all others
    """
    devices, sessions = len(world.devices), len(world.sessions)
    beliefs = (0, 1) if law is None else (devices + 1, belief_length(law))
    state = State(
        clock=np.zeros(1, CLOCK),
        control=np.zeros(1, CONTROL),
        caps=np.zeros(GROUPS, np.int64),
        thresholds=np.full(GROUPS, -np.inf),
        devices=np.zeros(devices, DEVICE_STATE),
        outcomes=np.zeros(sessions, OUTCOME),
        requests=np.zeros(devices, REQUEST),
        waiting=np.zeros(devices, np.int64),
        ready=np.zeros(devices, np.int64),
        holders=np.zeros(devices, np.int64),
        events=np.zeros((2 * devices + 64, 3), np.int64),
        batch=np.zeros(int(world.server[0]["max_batch"]), np.int64),
        picks=np.zeros(devices + 1, np.int64),
        pack=np.zeros(1, PACK),
        heap=np.zeros(devices, np.int64),
        phase=np.zeros(devices, np.int64),
        rank=np.zeros(devices, np.float64),
        estimator=estimator,
        reports=np.zeros(GROUPS, np.int64),
        seen=np.zeros((2, MAX_DRAFT + 1)),
        table=np.zeros(0, np.int64),
        bandit=np.zeros((0, 1, 3)),
        scores=scores,
        off_scores=off_scores,
        law=np.empty(0) if law is None else law,
        belief=np.zeros(beliefs),
        counters=np.zeros(GROUPS, COUNTER),
        totals=np.zeros(1, TOTAL),
        tbt=np.zeros((GROUPS, TBT_BINS), np.int64),
        waits=np.zeros((GROUPS, TBT_BINS), np.int64),
        log=np.zeros((4096 + 16 * devices if log else 0, LOG_COLUMNS), np.int64),
    )
    state.clock["log_on"] = int(log)
    state.clock["wake_ns"] = NEVER
    state.devices["session"] = -1
    state.devices["served_ns"] = state.devices["admitted_ns"] = -1
    state.devices["threshold"] = -np.inf
    state.devices["ahead_from_ns"] = -1
    state.devices["timer_ns"] = NEVER
    state.devices["settle_from"] = world.devices["first_session"]
    for field in ("start_ns", "first_ns", "last_ns"):
        state.outcomes[field] = -1
    state.seen[0] = PRIOR_ROUNDS * world.expected
    state.seen[1] = PRIOR_ROUNDS
    state.clock["agreed"] = PRIOR_ROUNDS * world.expected[1]
    state.clock["judged"] = PRIOR_ROUNDS
    return state
