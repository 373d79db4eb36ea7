"""Which devices are shown, and what they are called."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from wisp_gym.world import World
from wisp_gym.world.types import GROUPS


def choose_devices(world: World, count: int, seen: Collection[int] | None = None) -> list[int]:
    """Return the devices to show: as many of each SLO class as there are, the lowest indices, loosest class
    first.

    A closed loop keeps the same devices for ever. In an open loop each request is a device of its own: only
    those seen of late are chosen from.

    :param count: at most
    :param seen: devices with something to show; None all
    """
    arrays = world.arrays
    open_loop = len(arrays.devices) == 0 or int(arrays.devices["sessions"].max()) <= 1
    allowed = set(range(world.devices)) if seen is None or not open_loop else set(seen)
    queues = [
        [int(d) for d in np.flatnonzero(arrays.devices["group"] == g) if int(d) in allowed]
        for g in range(GROUPS)
    ]
    chosen: list[tuple[int, int]] = []
    depth = 0
    while len(chosen) < count and any(depth < len(queue) for queue in queues):
        chosen += [(g, queue[depth]) for g, queue in enumerate(queues) if depth < len(queue)]
        depth += 1
    return [device for _, device in sorted(chosen[:count])]


def device_label(world: World, device: int) -> str:
    """Return a device's name and the rate it is owed, as in "device 3, 8 tok/s"."""
    group = world.arrays.groups[world.arrays.devices[device]["group"]]
    return f"device {device}, {group['rate_tps']:g} tok/s"
