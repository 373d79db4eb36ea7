"""SpecDec++ (arXiv 2405.19715): stop when a rejection has become likely somewhere in the draft.

A draft ends when P(at least one token is rejected) = 1 - prod P(accept token i) exceeds h; the token that
tips it is sent. Its authors train a head on the draft model's hidden states for P(accept); here P(accept) is
the logistic of the logit behind the four signals, which is what such a head would come to: a little more than
WISP's predictor, which has to learn it. The authors draft at least two tokens; here one may do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel


def agreement_probability(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return P(the target agrees with a drafted token that follows only accepted ones).  # (positions,)

    :param logits: of it, over a stream: the logit behind the four signals, which is what a head trained on
        accepted prefixes, as SpecDec++'s is, would come to  # (positions,)
    """
    return (1.0 / (1.0 + np.exp(-logits.astype(np.float64)))).astype(np.float32)


def least_product(h: float) -> float:
    """Return the product of the P(accept) below which P(at least one rejection) exceeds `h`."""
    return 1.0 - h


@kernel
def all_agree(so_far: Any, probability: Any) -> Any:
    """Return P(no token is rejected) with one token more.

    :param so_far: of the tokens before; :param probability: P(accept) of this one
    """
    return so_far * probability
