"""How long sessions are and when they can begin: lengths, think times, first starts, one session after
another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import compiled
from wisp_gym.world.rng import CAUSE_LENGTH, CAUSE_START, CAUSE_THINK, key, normal, uniform
from wisp_gym.world.size import MAX_SESSIONS

if TYPE_CHECKING:
    from wisp_gym.scenario import LogNormal

FloatArray = npt.NDArray[np.float64]


def lognormal_parameters(law: LogNormal) -> FloatArray:
    """Return (log median, sigma, min, max) of a clipped log-normal law.  # (4,)"""
    median = math.log(law.median) if law.median > 0 else -math.inf
    return np.array([median, law.sigma, law.min, law.max], np.float64)


@compiled
def lognormal(law: FloatArray, z: float) -> float:
    """Return the value of a clipped log-normal law at the standard normal value `z`."""
    return min(max(math.exp(law[0] + law[1] * z), law[2]), law[3])


@compiled
def session_lengths(
    seed: np.uint64, device: int, index: int, prompt: FloatArray, output: FloatArray
) -> tuple[np.int64, np.int64]:
    """Return the prompt and output tokens of a device's session.

    :param prompt: law of prompt lengths  # (4,)
    :param output: law of output lengths  # (4,)
    """
    draw = key(seed, CAUSE_LENGTH, device, index)
    prompt_tokens = np.int64(math.floor(lognormal(prompt, normal(draw, 0)) + 0.5))
    output_tokens = np.int64(math.floor(lognormal(output, normal(draw, 1)) + 0.5))
    return max(np.int64(1), prompt_tokens), max(np.int64(1), output_tokens)


@compiled
def think_time_ns(seed: np.uint64, device: int, index: int, think: FloatArray) -> np.int64:
    """Return the pause after a device's session, ns.  `think` is the law in seconds  # (4,)"""
    draw = key(seed, CAUSE_THINK, device, index)
    return np.int64(math.floor(1e9 * lognormal(think, normal(draw, 0)) + 0.5))


@compiled
def plan_sessions(
    seed: np.uint64,
    devices: Any,
    groups: Any,
    laws: FloatArray,
    cycle_ns: npt.NDArray[np.int64],
    horizon_ns: int,
    sessions: Any,
) -> tuple[int, int]:
    """Lay out every session that could start before the horizon, were each one served at its reader's pace.

    No controller can start more: a device's next session begins at max(last delivery, start + length /
    rate) + think.

    :param laws: rows prompt, output, think  # (3, 4)
    :param cycle_ns: mean session cycle by class; first starts are spread over it  # (4,)
    :param sessions: SESSION records to fill; with length 0 only the counts are taken
    :return: sessions, token positions
    """
    count = 0
    positions: Any = 0
    for d in range(len(devices)):
        group = devices[d]["group"]
        u = uniform(key(seed, CAUSE_START, d, 0), 0)
        start: Any = np.int64(math.floor(u * cycle_ns[group]))
        devices[d]["first_session"] = count
        index = 0
        earliest: Any = start
        while earliest < horizon_ns:
            prompt, length = session_lengths(seed, d, index, laws[0], laws[1])
            think = think_time_ns(seed, d, index, laws[2])
            if len(sessions) > 0:
                sessions[count]["device"] = d
                sessions[count]["offset"] = positions
                sessions[count]["prompt"] = prompt
                sessions[count]["length"] = length
                sessions[count]["think_ns"] = think
                sessions[count]["start_ns"] = start if index == 0 else -1
            earliest += length * groups[group]["period_ns"] + think
            positions += length
            count += 1
            index += 1
            if count > MAX_SESSIONS:
                return count, positions
        devices[d]["sessions"] = index
    return count, positions
