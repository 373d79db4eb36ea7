"""The pipeline: draft, uplink, queue, verify, downlink. It knows nothing of reinforcement learning."""

from wisp_gym.pipeline.policy import DrafterRule, Policy, SchedulerRule
from wisp_gym.pipeline.protocols import Commander, DispatchView, Drafter, RoundView, Scheduler, Stream, Wait
from wisp_gym.pipeline.simulation import Simulation

__all__ = [
    "Commander",
    "DispatchView",
    "Drafter",
    "DrafterRule",
    "Policy",
    "RoundView",
    "Scheduler",
    "SchedulerRule",
    "Simulation",
    "Stream",
    "Wait",
]
