"""What each whole number of a pipeline's state may be: the table by which a state from a file is checked.

A bound is a number or the name of one that goes with the world and the time (`limits` in consistency.py). The
compiled kernel checks no index, so a number beyond these can reach memory that is not the state's.
"""

from __future__ import annotations

from wisp_gym.rules.control import LATE_LAST, LATE_LITERAL, MAX_DRAFT, SLO_AWARE
from wisp_gym.rules.select import NEVER
from wisp_gym.world.types import GROUPS

FAR_NS = 2**60
"""Later than anything happens; sums of a few stay whole numbers of 64 bits."""

Range = tuple[int | str, int | str]
Fields = dict[str, Range]

COUNT: Range = (0, 2**60)
FLAG: Range = (0, 1)
DRAFT: Range = (0, MAX_DRAFT)
PAST: Range = (0, "now")
PAST_OR_NEVER: Range = (-1, "now")
START: Range = (0, "horizon")
TIME: Range = (0, FAR_NS)
TOKENS: Range = (0, "length")
KV: Range = (0, "kv_tokens")
DEVICE_INDEX: Range = (0, "last_device")
TIMER: Range = (0, int(NEVER))

DEVICE_RANGES: Fields = {
    "session": (-1, "last_session"),
    "phase": (0, 6),
    "committed": TOKENS,
    "delivered": TOKENS,
    "round_ns": START,
    "sent_ns": TIME,
    "queued_ns": PAST,
    "drafted": DRAFT,
    "k": DRAFT,
    "accepted": DRAFT,
    "cached": KV,
    "held": KV,
    "holder": DEVICE_INDEX,
    "served_ns": PAST_OR_NEVER,
    "admitted_ns": PAST_OR_NEVER,
    "prefilled_ns": TIME,
    "up_free_ns": TIME,
    "down_free_ns": TIME,
    "rated_ns": PAST,
    "token_ns": START,
    "stall_ns": TIME,
    "settle_from": (0, "sessions"),
    "due_ns": TIMER,
    "behind": FLAG,
    "cap": DRAFT,
    "last_k": DRAFT,
    "last_accepted": DRAFT,
    "round_no": COUNT,
    "asked": DRAFT,
    "ahead_from_ns": (-1, FAR_NS),
    "timer_ns": TIMER,
    "timer_set": FLAG,
    "retries": COUNT,
    "ahead": DRAFT,
    "ahead_ns": TIME,
    "ahead_sent": DRAFT,
    "taken": COUNT,
}

OUTCOME_RANGES: Fields = {
    "start_ns": (-1, "horizon"),
    "first_ns": PAST_OR_NEVER,
    "last_ns": PAST_OR_NEVER,
    "delivered": TOKENS,
    "settled": TOKENS,
    "on_time": TOKENS,
    "finished": FLAG,
}

REQUEST_RANGES: Fields = {
    "device": DEVICE_INDEX,
    "session": (0, "last_session"),
    "group": (0, GROUPS - 1),
    "arrived_ns": PAST,
    "round_ns": START,
    "start_ns": START,
    "k": DRAFT,
    "context": KV,
    "committed": TOKENS,
    "cached": KV,
    "new": (0, "context"),
    "take": (0, "max_new"),
    "held": KV,
    "reserve": KV,
    "served_ns": PAST_OR_NEVER,
    "admitted_ns": PAST_OR_NEVER,
    "rated_ns": PAST,
}

CLOCK_RANGES: Fields = {
    "now_ns": START,
    "busy": FLAG,
    "pass_start_ns": PAST,
    "pass_end_ns": TIME,
    "batch_no": COUNT,
    "batch_size": (0, "max_batch"),
    "wake_ns": ("now", int(NEVER)),
    "ask": FLAG,
    "waits": COUNT,
    "wait_since_ns": PAST,
    "waiting": (0, "devices"),
    "ready": (0, 0),  # at a decision all rounds of the instant have begun
    "dry": (0, 0),
    "events": (0, "events"),
    "kv_used": KV,
    "holding": (0, "devices"),
    "behind": (0, "devices"),
    "logged": (0, 0),
    "log_on": (0, 0),
}

CONTROL_RANGES: Fields = {
    "scheduler": (0, SLO_AWARE),
    "late": (LATE_LITERAL, LATE_LAST),
    "max_requests": (1, "max_batch"),
    "token_budget": (1, "max_new"),
}
"""What an action writes; all other fields are those of the scenario (`consistency.check_control`)."""

PACK_RANGES: Fields = {
    "members": (0, "max_batch"),
    "new": COUNT,
    "longest": DRAFT,
    "reserve": COUNT,
    "held": COUNT,
}

TOTAL_RANGES: Fields = {
    "passes": COUNT,
    "members": COUNT,
    "new_tokens": COUNT,
    "busy_ns": COUNT,
    "evictions": COUNT,
    "kv_since_ns": PAST,
}

RECORDS: dict[str, Fields] = {
    "devices": DEVICE_RANGES,
    "outcomes": OUTCOME_RANGES,
    "requests": REQUEST_RANGES,
    "clock": CLOCK_RANGES,
    "control": CONTROL_RANGES,
    "pack": PACK_RANGES,
    "totals": TOTAL_RANGES,
    "memory": {"seen_ns": PAST},
}
"""Fields of records, by array. A whole number of a record that is not listed is a COUNT."""

ARRAYS: Fields = {
    "caps": DRAFT,
    "waiting": DEVICE_INDEX,
    "ready": DEVICE_INDEX,
    "holders": DEVICE_INDEX,
    "batch": DEVICE_INDEX,
    "heap": DEVICE_INDEX,
    "phase": (0, 3),
    "picks": (-1, "picks"),
    "reports": PAST,
    "events": (0, int(NEVER)),
}
"""Arrays of whole numbers. One that is not listed holds COUNTs."""

NAN_ALLOWED = ("rank",)
"""Numbers that are written before they are read; in all others a NaN is no value."""
