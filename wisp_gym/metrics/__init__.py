"""What came out: the metrics of design and docs/metrics.md, from a simulation's counters and sessions, or
from its event log."""

from wisp_gym.metrics.from_log import Serving, from_log, judged_by, serving
from wisp_gym.metrics.measure import measure

__all__ = ["Serving", "from_log", "judged_by", "measure", "serving"]
