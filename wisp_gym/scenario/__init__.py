"""Scenarios: which server, fleet, classes and workload are simulated, for how long."""

from wisp_gym.scenario.load import as_written, folder, from_fields, load, names
from wisp_gym.scenario.scenario import Scenario
from wisp_gym.scenario.schema import LogNormal
from wisp_gym.scenario.trace import Requests

__all__ = ["LogNormal", "Requests", "Scenario", "as_written", "folder", "from_fields", "load", "names"]
