"""Worlds changed after they were drawn: passes slower, or all in step, so that much happens at once."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisp_gym.world import World
from wisp_gym.world.types import NO_LEAD_NS, WorldArrays

MS = 1_000_000


@dataclasses.dataclass(frozen=True)
class Remade:
    """What is changed in a drawn world; changed worlds nest as the drawn ones do.

    :param slow: passes take so many times as long
    :param step_ms: every duration is rounded to a multiple of it, and no pass has noise; 0 leaves them
    :param link_steps: of these steps a link takes so many at least; with 0 it may take no time
    """

    slow: float = 1.0
    step_ms: int = 0
    link_steps: int = 0

    def world(self, world: World) -> World:
        """Return the world, changed."""
        if self == AS_DRAWN:
            return world
        arrays, server = world.arrays, world.arrays.server.copy()
        for name in ("base_ns", "cached_ns", "request_ns", "pair_ns"):
            server[name] *= self.slow
        arrays = arrays._replace(server=server, pass_ns=arrays.pass_ns * self.slow)
        changed = _with_arrays(world, arrays)
        return self._in_step(changed) if self.step_ms else changed

    def _steps(self, times_ns: NDArray[Any], least: int = 0) -> NDArray[Any]:
        """Times as the nearest multiples of the step, and at least so many of them."""
        step_ns = self.step_ms * MS
        steps: NDArray[Any] = np.maximum(np.rint(times_ns / step_ns), least)
        return (steps * step_ns).astype(times_ns.dtype)

    def _in_step(self, world: World) -> World:
        arrays = world.arrays
        devices, sessions, groups = arrays.devices.copy(), arrays.sessions.copy(), arrays.groups.copy()
        server = arrays.server.copy()
        up_ns, down_ns = (self._steps(table, self.link_steps) for table in (arrays.up_ns, arrays.down_ns))
        devices["draft_ns"] = self._steps(devices["draft_ns"], 1)
        for name in ("check_ns", "prefill_ns"):
            devices[name] = self._steps(devices[name])
        devices["back_ns"] = np.median(down_ns, axis=1).astype(np.int64)[devices["network"]]
        step_ns = self.step_ms * MS
        sessions["start_ns"] = np.where(  # down, so that none comes to lie behind the horizon
            sessions["start_ns"] < 0, sessions["start_ns"], sessions["start_ns"] // step_ns * step_ns
        )
        sessions["think_ns"] = self._steps(sessions["think_ns"])
        groups["period_ns"] = self._steps(groups["period_ns"], 1)
        groups["allowance_ns"] = self._steps(groups["allowance_ns"])
        led = groups["lead_ns"] < NO_LEAD_NS
        groups["lead_ns"][led] = self._steps(groups["lead_ns"][led])
        pass_ns = self._steps(arrays.pass_ns + float(server["base_ns"][0]), 1)
        for name in ("base_ns", "cached_ns", "request_ns", "pair_ns"):
            server[name] = 0.0
        changed = arrays._replace(
            devices=devices,
            sessions=sessions,
            groups=groups,
            server=server,
            pass_ns=pass_ns,
            noise=np.ones_like(arrays.noise),
            up_ns=up_ns,
            down_ns=down_ns,
        )
        return _with_arrays(world, changed)


def _with_arrays(world: World, arrays: WorldArrays) -> World:
    """The world with other arrays; its signals, the same as before, are still drawn when first read."""
    names = ("scenario", "seed", "horizon_ns", "warmup_ns", "refused", "stream")
    return World(arrays=arrays, **{name: getattr(world, name) for name in names})


AS_DRAWN = Remade()
