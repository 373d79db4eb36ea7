"""The books of a run: a world, the state whose counters were kept up in it, and the window that counts."""

from __future__ import annotations

from typing import Any

from wisp_gym.pipeline.accounting import settle_all
from wisp_gym.pipeline.state import State
from wisp_gym.world import World


class Books:
    """What metrics are read from. A `Simulation` keeps them as it runs; a `Replay` keeps them again from an
    event log.

    :param world: shared, never changed
    :param state: at time zero
    """

    def __init__(self, world: World, state: State) -> None:
        self.world = world
        self.state: State = state
        self.snapshot: dict[str, Any] | None = None

    @property
    def now_ns(self) -> int:
        """Simulated time, ns."""
        return int(self.state.clock[0]["now_ns"])

    def settle(self) -> None:
        """Settle every token due before now, so that the counters `due` and `due_on_time` are exact."""
        world, state = self.world.arrays, self.state
        settle_all(
            state.clock[0],
            world.devices,
            state.devices,
            world.sessions,
            state.outcomes,
            world.groups,
            state.counters,
            self.now_ns,
        )

    def mark_window(self) -> None:
        """Begin the window in which metrics count: remember what was counted before it."""
        self.settle()
        state = self.state
        self.snapshot = {
            "start_ns": self.now_ns,
            "counters": state.counters.copy(),
            "totals": state.totals.copy(),
            "tbt": state.tbt.copy(),
            "waits": state.waits.copy(),
            "kv_used": int(state.clock[0]["kv_used"]),
            "busy_left_ns": self.busy_left_ns(),
        }
        state.devices["stall_ns"] = 0

    def busy_left_ns(self) -> int:
        """Return how much of the running pass lies after now, ns."""
        clock = self.state.clock[0]
        return max(0, int(clock["pass_end_ns"]) - self.now_ns) if clock["busy"] else 0
