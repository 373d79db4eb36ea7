"""EdgeCloud-v0's action: how the server serves now, and what the replies tell the devices to draft."""

from __future__ import annotations

import math
from typing import Any, Literal

import gymnasium
import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel
from wisp_gym.errors import InputError, shown
from wisp_gym.pipeline.advance import BY_RULE, BY_WAITING
from wisp_gym.pipeline.answers import as_array
from wisp_gym.pipeline.policy import WISP_CAP
from wisp_gym.pipeline.simulation import Simulation
from wisp_gym.pipeline.state import State
from wisp_gym.rules import control as rules
from wisp_gym.scenario import Scenario
from wisp_gym.world.types import GROUPS

IntArray = npt.NDArray[np.int64]

REQUESTS: tuple[int | None, ...] = (0, 1, 4, 8, 16, 24, 32, 48, None)
"""Most requests of the pass; 0 waits, None is the engine's limit, which bounds all."""

BUDGETS: tuple[int | None, ...] = (None, 96, 128, 192, 256, 512)
"""New tokens of the pass after its first member; None is the engine's limit."""

RULES = ("fcfs", "edf", "density", "urgent", "last")
"""Order and guard together; only the last two carry WISP's guard (its late=urgent and late=last readings)."""

RECALLS: tuple[float | None, ...] = (None, 0.95, 0.9, 0.8, 0.65, 0.5)
"""Stop level: recall on accepted tokens; None drafts to the cap, 0.8 is WISP's."""

CAPS = 9
"""Draft caps 0-8, one for each SLO class."""

NAMES = ("requests", "budget", "rule", "stop", "cap_1", "cap_2", "cap_3", "cap_4")
SIZES = (len(REQUESTS), len(BUDGETS), len(RULES), len(RECALLS), CAPS, CAPS, CAPS, CAPS)

WAIT_NS = 5_000_000
"""A scheduler that waits is asked again after 5 ms, or at the next arrival."""

MAX_WAIT_NS = 50_000_000
"""After 50 ms of waiting in a row, waiting reads as the smallest batch."""

_SCHEDULER = np.array([rules.FCFS, rules.EDF, rules.DENSITY, rules.SLO_AWARE, rules.SLO_AWARE])
_LATE = np.array([rules.LATE_LAST, rules.LATE_LAST, rules.LATE_LAST, rules.LATE_URGENT, rules.LATE_LAST])
_UNBOUNDED = 2**31
_REQUESTS = np.array([_UNBOUNDED if n is None else n for n in REQUESTS], np.int64)
_BUDGETS = np.array([_UNBOUNDED if n is None else n for n in BUDGETS], np.int64)

Control = Literal["joint", "draft", "batch"]
_KEPT: dict[str, slice] = {"joint": slice(0, 8), "draft": slice(3, 8), "batch": slice(0, 3)}


def action_space() -> gymnasium.spaces.MultiDiscrete:
    """Return the action space, the same for every scenario."""
    return gymnasium.spaces.MultiDiscrete(np.array(SIZES, np.int64))


def wisp_action(late: str = "last", cap: int = WISP_CAP) -> IntArray:
    """Return the constant action that is WISP: engine's limit, no budget, its guard, recall 0.8, one cap.

    :param late: "last" or "urgent", what happens to late requests
    :param cap: draft cap of all classes, 0-8
    :raises InputError: another reading or cap
    """
    if late not in RULES[3:]:
        raise InputError(f"late: {late!r}; allowed: urgent, last")
    if not 0 <= cap < CAPS:
        raise InputError(f"cap: {cap}; allowed: 0 to {CAPS - 1}")
    action = [REQUESTS.index(None), BUDGETS.index(None), RULES.index(late), RECALLS.index(0.8)]
    return np.array(action + [cap] * GROUPS, np.int64)


_WISP = wisp_action()


def check_action(action: Any) -> IntArray:
    """Return the action as integers.

    :raises InputError: a wrong shape, a number that is not whole, or one out of range
    """
    values = as_array(action, "action")
    if values.shape != (len(SIZES),) or values.dtype.kind not in "iuf":
        raise InputError(f"action: {shown(action)}; allowed: {len(SIZES)} integers ({', '.join(NAMES)})")
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all()):
        raise InputError(f"action: {shown(action)}; allowed: whole numbers")
    for name, value, size in zip(NAMES, values, SIZES, strict=True):
        if not 0 <= value < size:
            raise InputError(f"action {name}: {value}; allowed: 0 to {size - 1}")
    return values.astype(np.int64)


@kernel
def may_wait(clock: Any) -> bool:
    """Return whether waiting is still allowed: not after 50 ms of it in a row."""
    return not (clock["waits"] > 0 and clock["now_ns"] - clock["wait_since_ns"] >= MAX_WAIT_NS)


@kernel
def carry_out(state: State, server: Any, thresholds: Any, action: Any) -> tuple[int, bool]:
    """Write an action into the state; return the answer for `advance` and whether a wait was forced to serve.

    :param server: the world's SERVER record
    :param thresholds: stop threshold by stop level  # (6,)
    :param action: all eight components  # (8,)
    """
    clock, control = state.clock[0], state.control[0]
    limit = _REQUESTS[action[0]]
    forced = False
    if limit == 0:
        if may_wait(clock):
            clock["wake_ns"] = clock["now_ns"] + WAIT_NS
            return BY_WAITING, False
        limit, forced = 1, True
    control["max_requests"] = min(limit, server["max_batch"])
    control["token_budget"] = min(_BUDGETS[action[1]], server["max_new"])
    control["scheduler"], control["late"] = _SCHEDULER[action[2]], _LATE[action[2]]
    for g in range(GROUPS):
        state.caps[g] = action[4 + g]
        state.thresholds[g] = thresholds[action[3]]
    return BY_RULE, forced


@kernel
def keep_half(action: Any, kept: Any, taken: Any) -> None:
    """Write the action with the half that is not controlled replaced by WISP's.

    :param kept: 1 where the component is the agent's  # (8,)
    :param taken: filled  # (8,)
    """
    for i in range(len(_WISP)):
        taken[i] = action[i] if kept[i] == 1 else _WISP[i]


def kept_components(control: Control) -> npt.NDArray[np.int64]:
    """Return which components an agent decides.  # (8,) of 0 and 1

    :param control: the halves it has
    """
    kept = np.zeros(len(SIZES), np.int64)
    kept[_KEPT[control]] = 1
    return kept


def stop_thresholds(scenario: Scenario) -> npt.NDArray[np.float64]:
    """Return the stop threshold of every stop level under a scenario's predictor.  # (6,)"""
    predictor = scenario.profiles.predictor
    return np.array([-math.inf if r is None else predictor.threshold(r) for r in RECALLS])


class Command:
    """Carries actions out in one simulation.

    :param simulation: built with a commander
    :param control: which half the action decides; WISP (late requests last) keeps the other
    """

    def __init__(self, simulation: Simulation, control: Control = "joint") -> None:
        self.simulation, self.kept = simulation, kept_components(control)
        self.thresholds = stop_thresholds(simulation.world.scenario)

    def effective(self, action: IntArray) -> IntArray:
        """Return the action with the half that is not controlled replaced by WISP's."""
        return np.where(self.kept == 1, action, wisp_action())

    def apply(self, action: IntArray) -> bool:
        """Write an action into the simulation as the answer to its question; return whether a wait was
        forced to serve."""
        simulation = self.simulation
        server = simulation.world.arrays.server[0]
        simulation.answer, forced = carry_out(simulation.state, server, self.thresholds, action)
        return bool(forced)
