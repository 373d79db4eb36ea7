"""Every number that a policy's name leaves open, with where it comes from.

WISP is arXiv 2601.11652, SLED arXiv 2506.09397. "Assumed" marks what neither states.
"""

from __future__ import annotations

from typing import Literal

from wisp_gym.pipeline.policy import WISP_CAP, WISP_MARGIN_S, WISP_RECALL
from wisp_gym.rules.entropy import svip_nats

Late = Literal["literal", "urgent", "last"]
Deadline = Literal["round", "timeline"]
Expected = Literal["profile", "fleet", "session"]

LATE_READINGS: tuple[Late, ...] = ("last", "urgent", "literal")
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

SUSPECTS = ("send", "drop")
"""What becomes of the token that ends a draft. The paper does not say; sending it comes nearer to the gains
it reports."""

LOWEST_RECALL, HIGHEST_RECALL = 0.01, 0.99
"""Ends of the predictors' tables of thresholds."""

EXPECTED_READINGS: tuple[Expected, ...] = ("profile", "fleet", "session")
"""Where E[accepted] of a draft comes from; the paper does not say. profile: the acceptance profile's
mean; fleet:
the running mean over all sessions; session: the fleet's, scaled by how the session's own drafts fared.
"""

WISP_EXPECTED: Expected = "fleet"
"""What a server can know without telling sessions apart. Assumed."""

LARGEST_MARGIN_S = 60.0
"""Largest safety margin that a name may ask for."""


ADAPTIVE_CAP = WISP_CAP
"""Longest draft of a drafter that decides token by token. Assumed: the paper does not name its maximum; 8 is
common."""

SAFETY_MARGIN_S = WISP_MARGIN_S
"""WISP's safety margin, s. Not published; calibrated, see wisp_gym/pipeline/policy.py."""

PREDICTOR_RECALL = WISP_RECALL
"""WISP's stop predictor keeps 0.801 of the tokens that the target accepts."""

ENTROPY_NATS = svip_nats()
"""Entropy at which a draft stops: SVIP's code stops where sqrt(0.15 H) > 0.3, which is 0.6 nats."""

REJECTION_LIMIT = 0.7
"""h of SpecDec++: that of its authors' sample, github.com/Kaffaljidhmah2/SpecDec_pp, specdec_pp/sample.py."""

DRAFT_TABLE = ((64, 3), (128, 1))
"""vLLM's dynamic speculation leaves its table to the operator. This one is an example of its issue 48627:
passes of 1 to 64 requests draft 3, of 65 to 128 draft 1, larger ones nothing."""

EXPLORE = 0.2
"""How much UCB-SpecStop explores, as a share of the mean round time. Its code takes 1 ms however long
that is. Assumed: of 0.01 to 1, this had most goodput at 150 and 200 devices of the paper's scenario."""

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

STATIC_SIZES = ("1", "2", "3", "4", "6", "8", "12", "16", "engine")
"""Sizes among which `sled:tuned` chooses."""

SLED_TIMEOUT_S = 1.0
"""How long SLED's device waits before it asks again. Not published; the same group assumes 0.5 s for a whole
verification round trip (ConfigSpec), so an answer after twice that is late."""

ORACLE_CAPS = (16, 8, 32)
"""Caps among which `oracle` is tuned, the first of equals winning. A long run of agreements
wastes nothing, but none of it is delivered before all of it is drafted."""

ORACLE_CAP = 16
"""Cap of a plain `oracle` in a pair."""

BAYES_LEASTS = (0.2, 0.1, 0.3, 0.05, 0.4, 0.6, 0.8)
"""Least probabilities that the next token is accepted, among which `bayes` is tuned, the first of
equals winning."""

BAYES_LEAST = 0.2
"""That of a plain `bayes` in a pair: the best of these in `paper-qwen3-32b-a100` at 220 devices and in
`quickstart`."""

GRID_OPTIONS = {"fixed": f"fixed:{FIXED_DRAFT}"}
"""Names that mean nothing without an option, as the grid of all pairs runs them."""
