"""How many tokens of a draft the server expects to be accepted, E[accepted] in WISP's deadlines and
densities.

Three readings, as the paper does not say where the expectation comes from:

    profile   the acceptance profile's mean for a draft of this length
    fleet     that mean and what the server has seen of drafts of this length, of all sessions
    session   the fleet's, times how the session's own drafts fared against it

The seen is weighed against the prior as if that were 20 rounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel
from wisp_gym.rules.control import EXPECTED_FLEET, EXPECTED_PROFILE

FloatArray = npt.NDArray[np.float64]

PRIOR_ROUNDS = 20.0
"""Rounds that the profile's expectation weighs against what was seen of the fleet, and the fleet's against
what was seen of a session."""


@kernel
def fleet_accepted(seen: FloatArray, k: int) -> float:
    """Return the mean accepted tokens of a draft of k over the fleet, the profile's being its prior.

    :param seen: by draft length: accepted tokens, rounds  # (2, 33)
    """
    return seen[0, k] / seen[1, k]


@kernel
def expected_accepted(profile: FloatArray, seen: FloatArray, device: Any, k: int, reading: int) -> float:
    """Return the expected accepted tokens of a draft of k.

    :param profile: expected accepted tokens by draft length  # (33,)
    :param seen: by draft length: accepted tokens, rounds  # (2, 33)
    :param device: a DEVICE_STATE record, for what the session has accepted and was expected to
    :param reading: one of the EXPECTED_ constants
    """
    if reading == EXPECTED_PROFILE or k == 0:
        return profile[k]
    mean = fleet_accepted(seen, k)
    if reading == EXPECTED_FLEET:
        return mean
    prior = PRIOR_ROUNDS * mean
    return min(float(k), mean * (prior + device["taken"]) / (prior + device["foreseen"]))
