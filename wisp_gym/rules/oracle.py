"""The clairvoyant drafter: knows where the first rejection falls. A ceiling, not a controller.

It drafts exactly the run of agreements that lies ahead, up to a cap: nothing it drafts is rejected, and a
longer draft would only add what is. The cap bounds how long a device drafts before it delivers anything.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel


@kernel
def agreeing_run(accepts: npt.NDArray[np.uint8], at: int, most: int) -> int:
    """Return how many positions from `at` on agree, `most` at most.

    :param accepts: agreement by position; `at + most` lies inside  # (positions,)
    """
    run = 0
    while run < most and accepts[at + run] == 1:
        run += 1
    return run
