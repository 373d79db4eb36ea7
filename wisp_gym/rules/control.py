"""Which rules are in force, as numbers the compiled pipeline reads. One compilation serves every pair of
rules."""

from __future__ import annotations

import numpy as np

# Drafters
CONSTANT = 0  # caps and thresholds by class
COMMANDED = 1  # what the last reply carried
RANDOM_DRAFT = 2  # a random cap, no threshold
ASKED_DRAFTER = 3  # a Python drafter is asked at every round start
TABLE = 4  # by the size of the pass, carried by its replies
GOODPUT = 5  # what the server expects most of, carried by its replies
UCB = 6  # each device's own bandit
ORACLE_DRAFT = 8  # the run of agreements ahead
BAYES_DRAFT = 9  # by the filter of rules/bayes.py

# Schedulers
FCFS = 0
EDF = 1
DENSITY = 2
SLO_AWARE = 3  # WISP
STATIC = 4  # SLED
CONTINUOUS = 5  # centralized serving
RANDOM_ORDER = 6
PROPORTIONAL_FAIR = 7  # GoodSpeed

# WISP's readings of what to do with a late request
LATE_LITERAL = 0
LATE_URGENT = 1
LATE_LAST = 2

# Readings of a request's deadline
DEADLINE_ROUND = 0
DEADLINE_TIMELINE = 1

# Readings of how many tokens of a draft will be accepted
EXPECTED_PROFILE = 0
EXPECTED_FLEET = 1
EXPECTED_SESSION = 2

MAX_DRAFT = 32
"""Longest draft of any drafter."""

CONTROL = np.dtype(
    [
        ("drafter", "i8"),
        ("scheduler", "i8"),
        ("asked", "i8"),  # 1: every dispatch is left to Python (a scheduler, or an environment's agent)
        ("drop_suspect", "i8"),  # 1: the token the stop rule suspects is not sent
        ("checked", "i8"),  # 1: the stop rule is a network whose calls take the device's time
        ("cumulative", "i8"),  # 1: the threshold is on the product of the round's scores, not on each
        ("longest", "i8"),  # goodput: longest draft it considers
        ("explore", "f8"),  # ucb: weight of what is not known yet
        ("server_loop", "i8"),  # 1: no drafting and no network between rounds (centralized serving)
        ("ahead", "i8"),  # 1: devices go on drafting while they wait (SLED)
        ("timeout_ns", "i8"),  # how long they wait before they ask again, 0 for ever
        ("retries", "i8"),  # how often they ask again
        ("max_requests", "i8"),  # of a pass, at most the engine's limit
        ("token_budget", "i8"),  # new tokens of a pass, at most the engine's limit
        ("late", "i8"),  # WISP's reading
        ("deadline", "i8"),  # reading of the deadline
        ("expected", "i8"),  # reading of the expected accepted tokens
        ("margin_ns", "i8"),  # WISP's safety margin
        ("static_size", "i8"),  # SLED: requests waited for
        ("static_limit_ns", "i8"),  # SLED: longest wait for them
        ("padded", "i8"),  # 1: every draft of a pass is padded to the longest
        ("to_completion", "i8"),  # continuous: 1 runs admitted sessions to completion, 0 rotates
        ("whole_output", "i8"),  # continuous: 1 holds KV memory for the whole output from the admission on
        ("fair_ns", "i8"),  # time constant of a device's smoothed goodput
        ("policy_seed", "u8"),  # of a rule's own randomness
    ]
)

REQUEST = np.dtype(
    [
        ("device", "i8"),
        ("session", "i8"),  # row in the world's sessions
        ("group", "i8"),  # SLO class
        ("arrived_ns", "i8"),  # when it joined the queue
        ("round_ns", "i8"),  # when its round began (the session's start for a prompt)
        ("start_ns", "i8"),  # when its session began
        ("k", "i8"),  # drafted tokens to verify
        ("context", "i8"),  # prompt and committed tokens
        ("committed", "i8"),  # of them output
        ("cached", "i8"),  # tokens in the KV memory; 0 is a cold session
        ("new", "i8"),  # tokens to compute: context - cached + k
        ("take", "i8"),  # of them in the next pass (a long prompt goes in chunks)
        ("held", "i8"),  # KV tokens it holds now
        ("reserve", "i8"),  # KV tokens it holds while verified: context + k, or all it will ever need
        ("served_ns", "i8"),  # when its session was last in a pass, -1 never
        ("admitted_ns", "i8"),  # when its session last turned warm, -1 cold
        ("expected", "f8"),  # expected accepted tokens
        (
            "served_tps",
            "f8",
        ),  # smoothed goodput of its device at the last commit (rules/proportional_fair.py)
        ("rated_ns", "i8"),  # when that was
        ("deadline_ns", "f8"),  # latest end of its pass
        ("alone_ns", "f8"),  # estimated time of a pass of its own
    ]
)
"""A waiting request as a scheduler sees it."""
