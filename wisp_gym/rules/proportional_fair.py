"""Proportional fairness: serve first whom the next tokens would help most, in proportion to what it has had.

GoodSpeed (arXiv 2512.09963) splits the verifier's budget so as to maximise the sum over devices of the log of
their goodput, by gradient scheduling (Stolyar, Operations Research 53(1), 2005): every pass takes what adds
most to sum_i dU/dX_i * (committed tokens of i), with X_i the device's smoothed goodput and U = log, so
dU/dX_i = 1 / X_i. Here the draft of a waiting request is already there, so it is taken whole or left:

    priority = (E[accepted] + 1) / (X + 1 / tau)

highest first, within the pass's requests and its budget of new tokens. X is the device's committed tokens/s
as the server has seen them, over all its sessions, pauses included: n tokens committed dt after the last give
X <- (X + n / tau) / (1 + dt / tau), and X / (1 + dt / tau) meanwhile. That is the exponential average's
implicit step: no transcendental function, and tokens that come evenly leave X at their rate. One token per
time constant is the prior, so that a device that has had nothing is first, but not infinitely so.
"""

from __future__ import annotations

from typing import Any

from wisp_gym._jit import kernel


@kernel
def smoothed_tps(before_tps: float, tokens: int, elapsed_ns: int, tau_ns: int) -> float:
    """Return a device's smoothed goodput after `tokens` committed `elapsed_ns` after the last, tokens/s.

    :param before_tps: at the last commit; :param tau_ns: time constant
    """
    return (before_tps + 1e9 * tokens / tau_ns) / (1.0 + elapsed_ns / tau_ns)


@kernel
def fair_key(request: Any, now_ns: int, tau_ns: int) -> tuple[int, float]:
    """Rank a request by expected committed tokens over its device's smoothed goodput, highest first."""
    had_tps = smoothed_tps(request["served_tps"], 0, now_ns - request["rated_ns"], tau_ns)
    return 0, -(request["expected"] + 1.0) / (had_tps + 1e9 / tau_ns)
