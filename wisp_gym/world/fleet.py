"""Who is in the fleet: each device's class, kind, network and speed, drawn among those that can hold their
class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import compiled
from wisp_gym.errors import InputError
from wisp_gym.profiles import DeviceProfile, NetworkProfile
from wisp_gym.scenario import Scenario
from wisp_gym.world.alone import (
    PROBE_ATTAINMENT,
    PROBE_K,
    PROBE_SEED,
    PROBE_SESSIONS,
    Link,
    attainment_alone,
)
from wisp_gym.world.network import link_tables
from wisp_gym.world.rng import CAUSE_FLEET, CAUSE_STREAM, key, uniform
from wisp_gym.world.sessions import session_lengths
from wisp_gym.world.streams import draw_stream

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ATTEMPTS = 1000
"""Draws of (kind, network, speed) for one device before the scenario is refused."""

BISECTIONS = 7
"""Halvings of the range of speeds: the slowest able speed is known to 1 %."""


@dataclass(frozen=True)
class Laws:
    """What a fleet is drawn from, as numbers.

    :param kinds: device profiles of the mix; :param networks: network profiles
    :param draft_s: seconds per drafted token at speed 1  # (kinds,)
    :param prefill_s: seconds per prompt token at speed 1  # (kinds,)
    :param lengths: laws of prompt, output, think  # (3, 4)
    :param stream: generator parameters of the token streams
    """

    kinds: tuple[DeviceProfile, ...]
    networks: tuple[NetworkProfile, ...]
    draft_s: FloatArray
    prefill_s: FloatArray
    lengths: FloatArray
    stream: FloatArray


@compiled
def assign_groups(shares: FloatArray, groups: IntArray) -> None:
    """Give each device in turn the class that is furthest behind its share, so that any first N devices
    hold the shares.

    :param shares: by class, summing to 1  # (classes,)
    :param groups: filled  # (devices,)
    """
    counts = np.zeros(len(shares), np.int64)
    for device in range(len(groups)):
        best = -1
        behind = 0.0
        for g in range(len(shares)):
            deficit = shares[g] * (device + 1) - counts[g]
            if shares[g] > 0.0 and (best < 0 or deficit > behind + 1e-9):
                best, behind = g, deficit
        groups[device] = best
        counts[best] += 1


@compiled
def pick(cumulative: FloatArray, u: float) -> int:
    """Return the first index whose cumulative share exceeds `u`."""
    for i in range(len(cumulative) - 1):
        if u < cumulative[i]:
            return i
    return len(cumulative) - 1


@compiled
def draw_devices(
    seed: np.uint64,
    devices: Any,
    kinds: FloatArray,
    networks: FloatArray,
    spread: FloatArray,
    slowest: FloatArray,
) -> int:
    """Draw kind, network and speed of every device until the three can hold its class.

    :param devices: DEVICE records with `group` set; `kind`, `network`, `speed` are filled
    :param kinds: cumulative shares of device kinds; :param networks: of networks
    :param spread: logarithm of the lowest and highest speed factor, by kind  # (kinds, 2)
    :param slowest: slowest speed factor that holds the class  # (kinds, networks, classes)
    :return: -1, or a device for which nothing that holds its class was drawn
    """
    for i in range(len(devices)):
        group = devices[i]["group"]
        devices[i]["speed"] = 0.0
        for attempt in range(ATTEMPTS):
            draw = key(seed, CAUSE_FLEET, i, attempt)
            kind = pick(kinds, uniform(draw, 0))
            network = pick(networks, uniform(draw, 1))
            low, high = spread[kind, 0], spread[kind, 1]
            speed = math.exp(low + (high - low) * uniform(draw, 2))
            if speed >= slowest[kind, network, group]:
                devices[i]["kind"] = kind
                devices[i]["network"] = network
                devices[i]["speed"] = speed
                break
        if devices[i]["speed"] == 0.0:
            return i
    return -1


@compiled
def draw_probe(
    laws: FloatArray,
    stream: FloatArray,
    prompts: IntArray,
    ends: IntArray,
    accepts: npt.NDArray[np.uint8],
) -> Any:
    """Draw the probe's sessions; with an empty `accepts` only lengths are taken. Return the token
    positions."""
    at: Any = 0
    for i in range(len(ends)):
        prompt, length = session_lengths(PROBE_SEED, 0, i, laws[0], laws[1])
        prompts[i] = prompt
        if len(accepts) > 0:
            draw = key(PROBE_SEED, CAUSE_STREAM, 0, i)
            signals = np.empty((4, length), np.float32)
            off_signals = np.empty((4, length), np.float32)
            draw_stream(draw, stream, accepts[at : at + length], signals, off_signals)
        at += length
        ends[i] = at
    return at


class Probe:
    """Answers, for one scenario, from which speed on a device kind holds a class over a network."""

    def __init__(self, laws: Laws, groups: Any, server: Any, pass_ns: FloatArray) -> None:
        self.laws, self.groups, self.server, self.pass_ns = laws, groups, server, pass_ns
        self.links = [Link(*link_tables(network)) for network in laws.networks]
        self.prompts = np.empty(PROBE_SESSIONS, np.int64)
        self.ends = np.empty(PROBE_SESSIONS, np.int64)
        total = draw_probe(laws.lengths, laws.stream, self.prompts, self.ends, np.empty(0, np.uint8))
        self.accepts = np.empty(total, np.uint8)
        draw_probe(laws.lengths, laws.stream, self.prompts, self.ends, self.accepts)

    def holds(self, kind: int, network: int, group: int, speed: float) -> bool:
        """Return whether a device of this kind and speed, alone, holds the class."""
        law = self.groups[group]
        attainment = attainment_alone(
            self.server[0],
            self.pass_ns,
            self.links[network],
            self.accepts,
            self.ends,
            self.prompts,
            round(1e9 * self.laws.draft_s[kind] / speed),
            round(1e9 * self.laws.prefill_s[kind] / speed),
            int(law["period_ns"]),
            int(law["allowance_ns"]),
            float(law["on_time_share"]),
            PROBE_K,
        )
        return bool(attainment >= PROBE_ATTAINMENT)

    def slowest(self, kind: int, network: int, group: int) -> float:
        """Return the slowest speed factor that holds the class; infinite where none in the kind's range
        does."""
        low, high = self.laws.kinds[kind].speed_spread
        if not self.holds(kind, network, group, high):
            return math.inf
        if self.holds(kind, network, group, low):
            return low
        for _ in range(BISECTIONS):
            middle = math.sqrt(low * high)
            low, high = (low, middle) if self.holds(kind, network, group, middle) else (middle, high)
        return high


def slowest_speeds(
    scenario: Scenario, laws: Laws, groups: Any, server: Any, pass_ns: FloatArray
) -> FloatArray:
    """Return the slowest speed factor that holds each class.  # (kinds, networks, classes)

    :raises InputError: a class that no device of the mix can hold
    """
    shares = scenario.classes.shares
    table = np.zeros((len(laws.kinds), len(laws.networks), len(shares)))
    if scenario.fleet.allow_infeasible:
        return table
    probe = Probe(laws, groups, server, pass_ns)
    for group, share in enumerate(shares):
        if share == 0:
            continue
        for kind in range(len(laws.kinds)):
            for network in range(len(laws.networks)):
                table[kind, network, group] = probe.slowest(kind, network, group)
        if np.isinf(table[:, :, group]).all():
            raise cannot_hold(scenario, group)
    return table


def cannot_hold(scenario: Scenario, group: int) -> InputError:
    """Return the error for a class that the fleet's mix cannot hold."""
    mix = ", ".join(f"{part.device} {part.share:g}" for part in scenario.fleet.mix)
    rate = scenario.classes.rates_tps[group]
    return InputError(
        f"fleet.mix: no device of ({mix}) can hold the class of {rate:g} tok/s alone on the server "
        "(fixed K = 5, 99 % attainment); use a faster device, drop the class (classes.shares) or set "
        "fleet.allow_infeasible=true"
    )
