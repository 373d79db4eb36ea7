"""WISP's SLO-aware verification scheduling: who is urgent, who is late, and the guard on the batch.

A request's latest start is deadline - T_hat({i}) - margin; past it the request is urgent. It is late when
even a pass of its own would end after the deadline. Urgent requests go by deadline, the others by value
density; a candidate joins only while the batch's estimated end passes no member's deadline. What happens to
late ones is not published: three readings.

    literal   as written: a late request fails the guard; if nothing passes, the earliest deadline goes alone
    urgent    late ones first, by deadline; the guard looks at members that are not late
    last      late ones after all others, oldest first; same guard
"""

from __future__ import annotations

from typing import Any

from wisp_gym._jit import kernel
from wisp_gym.rules.control import LATE_LITERAL, LATE_URGENT
from wisp_gym.rules.density import density


@kernel
def is_late(request: Any, now_ns: int) -> bool:
    """Return whether a pass of the request's own, begun now, would end after its deadline."""
    return now_ns + request["alone_ns"] > request["deadline_ns"]


@kernel
def is_urgent(request: Any, now_ns: int, margin_ns: int) -> bool:
    """Return whether the request's latest start is not after now."""
    return request["deadline_ns"] - request["alone_ns"] - margin_ns <= now_ns


@kernel
def wisp_key(request: Any, now_ns: int, margin_ns: int, late: int) -> tuple[int, float]:
    """Rank a request by phase and, inside it, by deadline, density or age.

    :param late: the reading, one of the LATE_ constants
    """
    if late != LATE_LITERAL and is_late(request, now_ns):
        if late == LATE_URGENT:
            return 0, request["deadline_ns"]
        return 3, float(request["arrived_ns"])
    if is_urgent(request, now_ns, margin_ns):
        return 1, request["deadline_ns"]
    return 2, -density(request)


@kernel
def bounds_guard(request: Any, now_ns: int, late: int) -> bool:
    """Return whether the guard looks at this member's deadline."""
    return late == LATE_LITERAL or not is_late(request, now_ns)
