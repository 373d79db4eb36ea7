"""Can a device hold an SLO class with the server to itself? Decides which (device, class) pairs a fleet is
drawn from.

A pair counts as able when the device alone, round trips included, keeps the class under fixed K = 5 for 99
% of its session time. The slowest able speed of a device kind is found once per (device kind, network,
class) on a probe stream of its own, so it is a property of the scenario and not of the world's seed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import compiled
from wisp_gym.world.network import link_cell
from wisp_gym.world.server import attention_pairs, pass_time_ns

FloatArray = npt.NDArray[np.float64]

PROBE_SEED = np.uint64(0x50524F4245)
"""The probe's streams and links belong to no world."""

PROBE_K = 5
PROBE_ATTAINMENT = 0.99
PROBE_SESSIONS = 200


class Link(NamedTuple):
    """A network's delay tables, as in the world."""

    up_ns: npt.NDArray[np.int64]  # (4096,)
    down_ns: npt.NDArray[np.int64]  # (4096,)
    refresh: np.uint64


@compiled
def session_alone(
    server: Any,
    pass_ns: FloatArray,
    link: Link,
    device: int,
    accepts: npt.NDArray[np.uint8],
    prompt: int,
    draft_ns: int,
    prefill_ns: int,
    period_ns: int,
    allowance_ns: int,
    cap: int,
) -> tuple[int, int]:
    """Run one session, begun at time zero, of a device that has the server to itself, without noise: a
    round is the sum of its parts.

    :param link: its network; :param device: whose link draws it meets
    :param accepts: the session's stream  # (length,)
    :param cap: draft length of every round
    :return: duration from start to last delivery, ns; tokens delivered on time
    """
    length = len(accepts)
    now = link.up_ns[link_cell(PROBE_SEED, device, 0, link.refresh)]
    now += np.int64(pass_time_ns(server, pass_ns, prompt, 0, attention_pairs(prompt, 0), 1) + 0.5)
    now += link.down_ns[link_cell(PROBE_SEED, device, now, link.refresh)]
    on_time = 1 if now <= allowance_ns + period_ns else 0
    committed = 1
    while committed < length:
        now = max(now, prompt * prefill_ns)
        k = min(cap, length - committed - 1)
        a = 0
        while a < k and accepts[committed + a] == 1:
            a += 1
        now += k * draft_ns
        now += link.up_ns[link_cell(PROBE_SEED, device, now, link.refresh)]
        cached = prompt + committed - 1
        verify = pass_time_ns(server, pass_ns, 1 + k, cached, attention_pairs(1 + k, cached), 1)
        now += np.int64(verify + 0.5)
        now += link.down_ns[link_cell(PROBE_SEED, device, now, link.refresh)]
        for token in range(committed + 1, committed + a + 2):
            if now <= allowance_ns + token * period_ns:
                on_time += 1
        committed += a + 1
    return now, on_time


@compiled
def attainment_alone(
    server: Any,
    pass_ns: FloatArray,
    link: Link,
    accepts: npt.NDArray[np.uint8],
    ends: npt.NDArray[np.int64],
    prompts: npt.NDArray[np.int64],
    draft_ns: int,
    prefill_ns: int,
    period_ns: int,
    allowance_ns: int,
    on_time_share: float,
    cap: int,
) -> float:
    """Return the share of session time spent in on-time sessions by a device alone.

    :param accepts: probe streams end to end; :param ends: where each ends; :param prompts: tokens of each
    """
    good = 0.0
    total = 0.0
    begin = 0
    for i in range(len(ends)):
        stream = accepts[begin : ends[i]]
        begin = ends[i]
        time, on_time = session_alone(
            server, pass_ns, link, i, stream, prompts[i], draft_ns, prefill_ns, period_ns, allowance_ns, cap
        )
        total += time
        if on_time >= on_time_share * len(stream):
            good += time
    return good / total
