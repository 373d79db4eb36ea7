"""Sessions of an arrival profile: a Poisson process whose rate changes over time, from the world's seed.

Arrival n happens when the expected number of arrivals reaches the sum of n exponential draws of mean one.
Each draw is a function of (seed, n) alone and the expectation of the profile alone: what arrives before a
time depends on no horizon.

Each arrival is a device of its own, and its class follows from its number: any run of arrivals holds the
classes' shares, as any first devices of a closed loop do. Drawing classes independently would add to the
spread between worlds and nothing else: the times at which a class arrives stay random, and unrelated to the
profile.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import compiled
from wisp_gym.errors import InputError
from wisp_gym.scenario.arrivals import Intensity, peak_sessions, profile_end_s, solve
from wisp_gym.world.rng import CAUSE_ARRIVAL, CAUSE_ENVIRONMENT, key, uniform
from wisp_gym.world.sessions import session_lengths

if TYPE_CHECKING:
    from wisp_gym.scenario import Scenario

FloatArray = npt.NDArray[np.float64]


@compiled
def unit_arrivals(seed: np.uint64, end: float, counts: FloatArray) -> int:
    """Fill sums of exponential draws of mean one that stay below `end`; return how many there are.

    :param counts: filled from the front  # (most,)
    :return: their number; above len(counts) where they did not fit
    """
    draw = key(seed, CAUSE_ARRIVAL, 0, 0)
    total = -math.log(uniform(draw, 0))
    n = 0
    while total < end:
        if n == len(counts):
            return n + 1
        counts[n] = total
        n += 1
        total -= math.log(uniform(draw, n))
    return n


@compiled
def first_lengths(
    seed: np.uint64, prompt: FloatArray, output: FloatArray, prompts: Any, outputs: Any
) -> None:
    """Fill the prompt and output tokens of each device's first session.

    :param prompt: law of prompt lengths  # (4,); :param output: of output lengths  # (4,)
    :param prompts: filled  # (devices,); :param outputs: filled  # (devices,)
    """
    for device in range(len(prompts)):
        prompts[device], outputs[device] = session_lengths(seed, device, 0, prompt, output)


class Arrivals:
    """The arrival process of a scenario with a profile, solved again when a longer world is asked for.

    :param scenario: with `workload.kind` "arrivals"
    """

    def __init__(self, scenario: Scenario) -> None:
        self.file = scenario.file
        self.intensity: Intensity = solve(
            self.file, max(profile_end_s(scenario.workload), scenario.horizon_s)
        )

    def draw_ns(self, seed: np.uint64, begin_s: float, horizon_ns: int) -> npt.NDArray[np.int64]:
        """Return when sessions start, ns since the world's start.  # (arrivals,)

        :param begin_s: where in the profile the world starts, empty
        :param horizon_ns: where the world ends
        :raises InputError: more arrivals than the fleet has devices
        """
        end_s = begin_s + 1e-9 * horizon_ns
        if end_s > self.intensity.end_s:
            self.intensity = solve(self.file, end_s)
        before = self.intensity.at(begin_s)
        most = self.file.fleet.devices
        counts = np.empty(most)
        n = unit_arrivals(seed, self.intensity.at(end_s) - before, counts)
        if n > most:
            raise InputError(
                f"fleet.devices = {most}: each arrival has its own device and more than that arrive, must be "
                "larger, or the world shorter"
            )
        start_s = self.intensity.when(before + counts[:n]) - begin_s
        start_ns = np.maximum(np.rint(1e9 * start_s), 0.0).astype(np.int64)
        return start_ns[start_ns < horizon_ns]

    def peak_devices(self) -> npt.NDArray[np.int64]:
        """Return the nominal sessions of each class at the profile's peak, rounded up.  # (classes,)"""
        shares = np.array(self.file.classes.shares)
        return np.ceil(peak_sessions(self.file.workload) * shares).astype(np.int64)


def episode_begin_s(scenario: Scenario, split: str, seed: int, length_s: float) -> float:
    """Return where in the profile an episode's world starts, s.

    Training worlds start at a seeded place, so that short episodes meet every part of the profile and
    parallel environments are not all at the same one; validation and test worlds are the profile from 0.

    :param split: of the world; :param seed: the world's seed
    :param length_s: of the world, warm-up included, s
    """
    if scenario.workload.kind != "arrivals" or split != "train":
        return 0.0
    room_s = max(0.0, profile_end_s(scenario.workload) - length_s)
    return room_s * uniform(np.uint64(key(np.uint64(seed), CAUSE_ENVIRONMENT, 0, 0)), 1)
