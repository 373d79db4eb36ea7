"""A ceiling that another row passes is none: the notes that say so."""

from __future__ import annotations

import math
import re

from wisp_gym.evaluation.compare import Comparison
from wisp_gym.evaluation.statistics import paired_difference

CEILING = re.compile(r"oracle(:|\+|$)")
"""Names of rows whose drafter knows which tokens will be accepted."""

LEAST_SHARE = 1e-4
"""A difference smaller than this share of the goodput is not told: where all that is due is delivered, rows
differ by single tokens."""


def is_ceiling(policy: str) -> bool:
    """Say whether a row is an oracle's."""
    return CEILING.match(policy) is not None


def ceiling_notes(comparison: Comparison) -> list[str]:
    """Return a line for every row that is above an oracle's, and what an oracle is where there is one.

    :param comparison: what was run
    """
    oracles = [policy for policy in comparison.policies if is_ceiling(policy)]
    notes = [f"{', '.join(oracles)}: knows which tokens will be accepted: a ceiling, no controller"]
    notes += [
        note
        for oracle in oracles
        for policy in comparison.policies
        if not is_ceiling(policy) and (note := _passed(comparison, oracle, policy))
    ]
    return notes if oracles else []


def _passed(comparison: Comparison, oracle: str, policy: str) -> str:
    """Return a line where a row is above an oracle's, or nothing."""
    ceiling = comparison.metric(oracle, "goodput_tps")
    above = paired_difference(comparison.metric(policy, "goodput_tps"), ceiling)
    if not above.value > LEAST_SHARE * sum(ceiling) / len(ceiling):
        return ""
    span = "" if math.isnan(above.half_width) else f" [{above.low:.1f}, {above.high:.1f}]"
    return f"FLAG: {policy} is {above.value:.1f} tok/s{span} above {oracle}, which is no ceiling here"
