"""WISP's verification time estimator: four terms, linear.

T = c0 + c1 * sum(new) + c2 * sum(new * (new + cached)) + c3 * sum(cached). The scheduler plans with it; the
pipeline runs on the profile's measured curve, which has steps that a linear form cannot follow.
wisp_gym/estimation fits it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel

FloatArray = npt.NDArray[np.float64]


@kernel
def estimate_ns(coefficients: FloatArray, new: float, pairs: float, cached: float) -> float:
    """Return the estimated time of a pass, ns.

    :param coefficients: c0..c3, ns
    :param new: sum of new tokens; :param pairs: sum of new * (new + cached); :param cached: sum of cached
    tokens
    """
    return coefficients[0] + coefficients[1] * new + coefficients[2] * pairs + coefficients[3] * cached
