"""The server's time for one pass: measured costs, no noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel
from wisp_gym.profiles import ServerProfile
from wisp_gym.world.types import SERVER

FloatArray = npt.NDArray[np.float64]


@kernel
def pass_time_ns(
    server: Any, pass_ns: FloatArray, new: int, cached: int, pairs: float, requests: int
) -> float:
    """Return the noise-free time of a pass, ns: g(new) + a0 + c * cached + e * requests + host + prefill
    attention.

    :param server: a SERVER record
    :param pass_ns: g by total new tokens
    :param new: new tokens in the pass; beyond the table the last value grows in proportion
    :param cached: cached tokens attended to
    :param pairs: sum over members of new * (cached + new / 2)
    :param requests: members
    """
    last = len(pass_ns) - 1
    linear = pass_ns[new] if new <= last else pass_ns[last] * (new / last)
    return (
        linear
        + server["base_ns"]
        + server["cached_ns"] * cached
        + server["request_ns"] * requests
        + server["pair_ns"] * pairs
    )


@kernel
def attention_pairs(new: int, cached: int) -> float:
    """Return how many (new, attended) token pairs a member brings: each new token sees the cache and half
    of the new ones."""
    return new * (cached + 0.5 * new)


def server_record(
    profile: ServerProfile, max_batch: int, max_new: int, kv_tokens: int, block: int
) -> npt.NDArray[Any]:
    """Return the SERVER record of a profile under a scenario's limits.  # (1,)"""
    record = np.zeros(1, SERVER)
    record["max_batch"], record["max_new"] = max_batch, max_new
    record["kv_tokens"], record["block"] = kv_tokens, block
    record["base_ns"] = 1e9 * (profile.pass_base_s + profile.host_base_s)
    record["cached_ns"] = 1e9 * profile.cached_token_s
    record["request_ns"] = 1e9 * (profile.request_s + profile.host_request_s)
    record["pair_ns"] = 1e9 * profile.attention_pair_s
    return record


def pass_curve_ns(profile: ServerProfile, max_new: int) -> FloatArray:
    """Return g(S) in ns for S = 0..max_new, linear between the profile's nodes.  # (max_new + 1,)"""
    tokens, seconds = profile.pass_curve()
    curve = np.interp(np.arange(max_new + 1), tokens, np.asarray(seconds) * 1e9)
    last = int(tokens[-1])
    if max_new > last:
        curve[last:] = seconds[-1] * 1e9 * np.arange(last, max_new + 1) / last
    return curve
