"""SLED's static batch: wait for a number of requests, or a time limit, then serve first come, first
served."""

from __future__ import annotations

from wisp_gym._jit import kernel


@kernel
def static_wake_ns(waiting: int, oldest_ns: int, now_ns: int, size: int, limit_ns: int) -> int:
    """Return when to ask again, or -1 to dispatch now.

    :param waiting: requests in the queue; :param oldest_ns: when the first of them joined it
    :param size: requests waited for; :param limit_ns: longest wait
    """
    if waiting >= size or now_ns >= oldest_ns + limit_ns:
        return -1
    return oldest_ns + limit_ns
