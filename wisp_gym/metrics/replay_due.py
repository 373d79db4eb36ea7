"""What has to happen in a replay, and when: answers reach devices, rounds and sessions begin. A log in which
one of these comes at another time, or has not come by the end, is not the log of a run."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel
from wisp_gym.pipeline.device import round_from_ns
from wisp_gym.pipeline.log import LOG_VERIFY
from wisp_gym.pipeline.state import DOWNLINK, IDLE, VERIFYING, State
from wisp_gym.rules.select import NEVER
from wisp_gym.world.types import WorldArrays

COMPLETE = -1
"""Of `missing`: nothing is."""


class Answers(NamedTuple):
    """Results on their way to devices. A link is first in, first out: each `verify` row has one `deliver`
    row."""

    first: npt.NDArray[np.int64]  # (devices + 1,) where a device's begin in the arrays below
    sent: npt.NDArray[np.int64]  # (devices,) how many have been sent to it
    came: npt.NDArray[np.int64]  # (devices,) and have come
    due_ns: npt.NDArray[np.int64]  # (verify rows,) when each arrives
    so_far: npt.NDArray[np.int64]  # (verify rows,) output tokens of the session there are then


def new_answers(rows: npt.NDArray[np.int64], devices: int) -> Answers:
    """Return room for the answers of a log, none sent yet.

    :param rows: of the log, every device in them within the world  # (rows, 8)
    :param devices: of the world
    """
    verified = rows[rows[:, 1] == LOG_VERIFY, 2]
    first = np.zeros(devices + 1, np.int64)
    np.cumsum(np.bincount(verified, minlength=devices), out=first[1:])
    due_ns, so_far = np.zeros((2, len(verified)), np.int64)
    return Answers(first, np.zeros(devices, np.int64), np.zeros(devices, np.int64), due_ns, so_far)


@kernel
def send_answer(answers: Answers, d: int, due_ns: int, so_far: int) -> None:
    """Note an answer to a device."""
    at = answers.first[d] + answers.sent[d]
    answers.due_ns[at], answers.so_far[at] = due_ns, so_far
    answers.sent[d] += 1


@kernel
def take_answer(answers: Answers, d: int, now_ns: int, so_far: int) -> bool:
    """Take the answer that reaches a device; return whether it is the one due now."""
    if answers.came[d] >= answers.sent[d]:
        return False
    at = answers.first[d] + answers.came[d]
    answers.came[d] += 1
    return bool(answers.due_ns[at] == now_ns and answers.so_far[at] == so_far)


@kernel
def session_due(world: WorldArrays, state: State, d: int) -> tuple[int, Any]:
    """Return a device's next session and when it starts: see pipeline/device.py, `next_session`. NEVER where
    there is none."""
    device, mine = world.devices[d], state.devices[d]
    first, row = device["first_session"], mine["session"]
    after = first if row < 0 else row + 1
    if after >= first + device["sessions"]:
        return after, NEVER
    if row < 0:
        return after, world.sessions[after]["start_ns"]
    session, outcome = world.sessions[row], state.outcomes[row]
    read_ns = outcome["start_ns"] + session["length"] * world.groups[device["group"]]["period_ns"]
    return after, max(outcome["last_ns"], read_ns) + session["think_ns"]


@kernel
def round_due_ns(world: WorldArrays, state: State, d: int) -> Any:
    """Return when a device that has all answers begins its next round: see pipeline/device.py, `deliver`."""
    mine = state.devices[d]
    ready_ns = max(mine["token_ns"], mine["prefilled_ns"])
    return max(ready_ns, round_from_ns(world, state, d, mine["delivered"]))


@kernel
def missing(world: WorldArrays, state: State, answers: Answers, horizon_ns: int) -> int:
    """Return the first device to which something was still to happen before the horizon, the number of
    devices where it is the server, COMPLETE where nothing was.

    :param state: of a replay at the horizon
    """
    clock = state.clock[0]
    for d in range(len(state.devices)):
        if is_awaited(world, state, answers, d, horizon_ns):
            return d
    idle = clock["busy"] == 0 and clock["waiting"] > 0
    if idle and (clock["ask"] == 1 or clock["wake_ns"] < horizon_ns):
        return len(state.devices)
    return COMPLETE


@kernel
def is_awaited(world: WorldArrays, state: State, answers: Answers, d: int, horizon_ns: int) -> bool:
    """Return whether a device has an answer, the end of a pass, a round or a session to come before the
    horizon."""
    mine, came = state.devices[d], answers.came[d]
    if came < answers.sent[d]:
        return bool(answers.due_ns[answers.first[d] + came] < horizon_ns)
    if mine["phase"] == VERIFYING:
        return bool(state.clock[0]["busy"] == 0)
    if mine["phase"] == IDLE:
        return bool(session_due(world, state, d)[1] < horizon_ns)
    in_round = mine["phase"] == DOWNLINK and state.control[0]["server_loop"] == 0
    return bool(in_round and round_due_ns(world, state, d) < horizon_ns)
