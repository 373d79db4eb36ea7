"""How much a server can commit: the load that benchmarks measure theirs by."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from baselines import resolve
from wisp_gym import scenario
from wisp_gym.metrics import measure
from wisp_gym.pipeline import Simulation
from wisp_gym.scenario import Scenario
from wisp_gym.world import draw_world, world_seed

POLICY = "predictor+fcfs"
GROWTH = 1.25
FIRST = 20


def most_throughput_tps(spec: Scenario) -> float:
    """Return the most tokens per second that a server commits at any size of a closed loop, under WISP's
    drafter and first come, first served. Beyond that size sessions drive each other out of the KV memory.

    :param spec: its server, its mix of devices and classes, its lengths; arrivals and fleet size do not count
    """
    most_tps, devices = 0.0, FIRST
    while True:
        changes = ["workload.kind=closed", f"fleet.devices={devices}", "horizon_s=140", "warmup_s=60"]
        closed = dataclasses.replace(scenario.load(spec, changes), profiles=spec.profiles)
        sim = Simulation(draw_world(closed, world_seed("train", 0)), resolve(POLICY)).run()
        tps = measure(sim)["throughput_tps"]
        if tps < 1.02 * most_tps:
            return max(tps, most_tps)
        most_tps, devices = tps, math.ceil(GROWTH * devices)


def mean_rate_tps(spec: Scenario) -> float:
    """Return the mean over classes of the rate that a session asks for, tokens per second."""
    return float(np.dot(spec.classes.rates_tps, spec.classes.shares))
