"""Every number that a policy's name leaves open, with where it comes from.

WISP is arXiv 2601.11652, SLED arXiv 2506.09397. "Assumed" marks what neither states.
"""

from __future__ import annotations

from typing import Literal

from wisp_gym.pipeline.policy import WISP_CAP, WISP_MARGIN_S, WISP_RECALL

Late = Literal["literal", "urgent", "last"]
Deadline = Literal["round", "timeline"]
Expected = Literal["profile", "fleet", "session"]

LATE_READINGS: tuple[Late, ...] = ("literal", "urgent", "last")
"""What WISP does with a request that is late already; the paper does not say.

literal: as written, it fails its own guard and goes only when nothing else can; urgent: late ones first, by
deadline, and the guard looks at members that are not late; last: after all others, oldest first, same guard.
"""

DEADLINE_READINGS: tuple[Deadline, ...] = ("round", "timeline")
"""round: the round's beginning + E[committed] / rate, as in WISP; timeline: the session's start + allowance +
(delivered + E[committed]) / rate. Both less the way back.
"""

WISP_LATE: Late = "last"
"""The reading that a plain `wisp` means. WISP's deadline reading is the scenario's."""

EXPECTED_READINGS: tuple[Expected, ...] = ("profile", "fleet", "session")
"""Where E[accepted] of a draft comes from; the paper does not say. profile: the acceptance profile's
mean; fleet:
the running mean over all sessions; session: the fleet's, scaled by how the session's own drafts fared.
"""

WISP_EXPECTED: Expected = "fleet"
"""What a server can know without telling sessions apart. Assumed."""

LARGEST_MARGIN_S = 60.0
"""Largest safety margin that a name may ask for."""

RECALLS = (0.95, 0.9, 0.8, 0.65, 0.5)
"""Operating points for which the acceptance profiles hold a threshold."""

ADAPTIVE_CAP = WISP_CAP
"""Longest draft of a drafter that decides token by token. Assumed: the paper does not name its maximum; 8 is
common."""

SAFETY_MARGIN_S = WISP_MARGIN_S
"""WISP's safety margin, s. Not published; two passes of the A100 profile, see wisp_gym/pipeline/policy.py."""

PREDICTOR_RECALL = WISP_RECALL
"""WISP's stop predictor keeps 0.801 of the tokens that the target accepts."""

FIXED_DRAFT = 5
"""Draft length of SLED in WISP's evaluation. The same group's default in ConfigSpec (arXiv 2604.09722)."""

CONFIDENCE_THRESHOLD = 0.5
"""SLED's drafter stops at a token whose top probability is below this. Assumed."""

STATIC_SIZE = 3
"""Requests that SLED's server waits for. Not published. WISP's evaluation has SLED commit 162-168 tok/s;
with 2.9 tokens a
round (ConfigSpec, K = 5) and 47-52 ms a pass of few drafts (the A100 profile) that is 2.7 to 3.0 requests
a pass.
"""

STATIC_LIMIT_S = 0.05
"""Longest wait for them. Assumed: about one pass of a 32B model on an A100."""
