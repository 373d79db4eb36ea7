"""TurboSpec's rule (first called SmartSpec, arXiv 2406.14066): the draft length of most goodput.

With a moving acceptance rate a of a drafted token, a request with k drafted tokens commits on average

    1 + a + a^2 + ... + a^k = (1 - a^(k + 1)) / (1 - a)

and the batch takes T_hat(batch, k), a linear estimate fitted to profiled batches. The rule takes the k, 0
allowed, that maximises the ratio. As in its authors' code, a is one number for all requests and so is k.

Here the server decides when a pass starts: the batch is that pass's members, each with k + 1 new tokens after
its present context, T_hat is WISP's estimator, and the pass's replies carry k to the devices. Drafting is not
in T_hat, unlike in a server that drafts itself: the devices draft beside each other and beside the server.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel
from wisp_gym.rules.estimate import estimate_ns

KEPT = 0.995
"""What the moving acceptance keeps of its past with every round: it looks back about 200 rounds. Assumed."""


@kernel
def best_length(
    acceptance: float,
    members: int,
    context: int,
    estimator: npt.NDArray[np.float64],
    longest: int,
) -> int:
    """Return the draft length with most expected committed tokens per second; the shorter one on a tie.

    :param acceptance: share of drafted tokens that agree, of those that the target judged
    :param members: requests of the batch; :param context: their contexts' sum, tokens
    :param estimator: c0..c3 of the verification time estimator, ns  # (4,)
    :param longest: longest draft considered
    """
    best, most = 0, 0.0
    committed, agreeing = 0.0, 1.0
    for k in range(longest + 1):
        committed += agreeing
        agreeing *= acceptance
        new = float(members * (k + 1))
        pairs = (k + 1) * (new + context)
        rate = members * committed / max(estimate_ns(estimator, new, pairs, float(context)), 1.0)
        if rate > most:
            best, most = k, rate
    return best
