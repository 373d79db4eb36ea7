"""Entropy stops: a draft ends at the first token of which the draft model was too uncertain.

SVIP (arXiv 2411.18462) stops when sqrt(c * H) exceeds a threshold, H the entropy in nats of the distribution
the token was drawn from; its authors' code has c = 0.15 and the threshold 0.3, checks after the token has
been added, and so sends it. AdaEDL (arXiv 2410.18351) stops when a lower bound of the acceptance,
1 - sqrt(gamma * H), falls below a level, with gamma = 0.2. Both are one threshold on H: the compiled rule
reads -H as a stop score, and ends the draft where it is below -threshold.
"""

from __future__ import annotations

SVIP_SCALE = 0.15
"""c of SVIP, 1/nats: github.com/Geralt-Targaryen/SVIP, vanilla-sd/eval_specbench.py."""

SVIP_THRESHOLD = 0.3
"""Its default threshold, there."""

ADAEDL_GAMMA = 0.2
"""gamma of AdaEDL, 1/nats."""


def svip_nats(threshold: float = SVIP_THRESHOLD, scale: float = SVIP_SCALE) -> float:
    """Return the entropy above which SVIP stops, nats.

    :param threshold: on sqrt(scale * H); :param scale: 1/nats
    """
    return threshold**2 / scale


def adaedl_nats(level: float, gamma: float = ADAEDL_GAMMA) -> float:
    """Return the entropy above which AdaEDL stops, nats.

    :param level: of the bound 1 - sqrt(gamma * H), at most 1; :param gamma: 1/nats
    """
    return (1.0 - level) ** 2 / gamma
