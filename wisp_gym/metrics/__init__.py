"""What came out: the metrics of design and docs/metrics.md, from a simulation's counters and sessions."""

from wisp_gym.metrics.measure import measure

__all__ = ["measure"]
