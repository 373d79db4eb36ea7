"""Link delay: a measured round trip per device and slot of 50 ms, with the measured correlation from slot
to slot.

A slot draws a new round trip with probability 1 - rho and otherwise keeps the slot before's. So the
distribution is the measured one exactly, the correlation at lag j is rho^j, and any slot can be read
without the ones before it: look back to the
last slot that drew. Both directions of a slot are shares of one round trip.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel
from wisp_gym.profiles import NetworkProfile
from wisp_gym.world.rng import CAUSE_NETWORK, bits, key
from wisp_gym.world.types import CELLS, SLOT_NS

LOOKBACK = 64
"""Every 64th slot draws anew, which bounds the look back (the correlation there is below 1e-9 for the
measured links)."""

_SHIFT = np.uint64(52)


@kernel
def link_cell(seed: np.uint64, device: int, time_ns: int, refresh: np.uint64) -> np.int64:
    """Return the quantile cell of a device's link at a time.

    :param seed: the world's seed
    :param time_ns: when the message is sent
    :param refresh: a slot draws anew when its bits are below this
    """
    link = key(seed, CAUSE_NETWORK, device, 0)
    slot = time_ns // SLOT_NS
    while slot % LOOKBACK != 0 and bits(link, 2 * slot) >= refresh:
        slot -= 1
    return np.int64(bits(link, 2 * slot + 1) >> _SHIFT)


def link_tables(profile: NetworkProfile) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], np.uint64]:
    """Return one-way delays up and down by quantile cell, ns, and the refresh threshold.  # (4096,),
    (4096,), ()"""
    middle = (np.arange(CELLS) + 0.5) / CELLS
    rtt_s = np.interp(middle, profile.probabilities, profile.rtt_s)
    rtt_ns = np.rint(rtt_s * 1e9).astype(np.int64)
    up_ns = np.rint(rtt_ns * profile.up_share).astype(np.int64)
    chance = 1.0 - profile.lag1
    return up_ns, rtt_ns - up_ns, np.uint64(min(int(chance * 2.0**64), 2**64 - 1))
