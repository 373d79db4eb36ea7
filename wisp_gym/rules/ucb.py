"""UCB-SpecStop (arXiv 2606.20591, Algorithm 1): a bandit over draft lengths that learns the delay it meets.

The cost of a length k is the time of a round over the tokens it brings, as a ratio of sums, S_N(k) / S_A(k):
the mean of the ratios would be biased. In round t each length is tried once, shortest first, and then the one
of least

    S_N(k) / S_A(k) - beta * sqrt(T(k) * ln t) / S_A(k)

is drafted, T(k) being how often it was. Time is from a round's beginning to its result, so drafting, network,
queue and pass are all in it. beta is a time; here it is `explore` times the mean round time so far, so that
one setting serves slow and fast links.

Each device has a bandit of its own, kept from session to session: it learns from nothing but its own clock
and replies. That makes it slow: with 8 lengths it needs some hundred rounds. Rounds cut short by the end of
a session teach nothing. Nothing is drawn at random.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel

Sums = npt.NDArray[np.float64]

TIME, TOKENS, ROUNDS = range(3)
"""Columns of a bandit's sums, by length from 1: time, ns; delivered tokens; rounds."""


@kernel
def pick_arm(sums: Sums, explore: float) -> int:
    """Return the length to draft, from 1; the shorter one on a tie.

    :param sums: of one device  # (lengths, 3)
    :param explore: weight of what is not known yet
    """
    rounds, time_ns = 0.0, 0.0
    for arm in range(len(sums)):
        if sums[arm, ROUNDS] == 0.0:
            return arm + 1
        rounds += sums[arm, ROUNDS]
        time_ns += sums[arm, TIME]
    beta = explore * time_ns / rounds
    spread = math.log(rounds + 1.0)
    best, least = 0, math.inf
    for arm in range(len(sums)):
        bonus = beta * math.sqrt(sums[arm, ROUNDS] * spread)
        cost = (sums[arm, TIME] - bonus) / sums[arm, TOKENS]
        if cost < least:
            best, least = arm, cost
    return best + 1


@kernel
def learn_round(sums: Sums, length: int, time_ns: int, tokens: int) -> None:
    """Add a round that drafted `length` tokens to a device's sums.

    :param sums: of the device  # (lengths, 3)
    :param time_ns: from the round's beginning to its result; :param tokens: the result's
    """
    if length > 0:
        sums[length - 1, TIME] += time_ns
        sums[length - 1, TOKENS] += tokens
        sums[length - 1, ROUNDS] += 1.0
