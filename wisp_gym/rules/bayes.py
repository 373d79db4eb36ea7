"""What a device that knows the law of the streams can know of the next agreement: a filter.

The law is that of wisp_gym/world/streams.py with the world's own parameters. Hidden are whether the text is
in an easy or a hard stretch, how old the stretch is, the session's mean, the stretch's level and the noise of
a position. The belief is a weight for every (kind of stretch, age), exact but for the fraction of a token
that a stretch inherits from the one before, and a normal law of the session's mean, kept apart from the
weights (an approximation); levels and noises are integrated out at every position anew (another: what one
position says of its stretch's level is not kept for the next). P(agree) of a normal logit is the logistic
function of mean / sqrt(1 + pi / 8 * variance).

It conditions on what the device has: the signals of the tokens it drafted on the path, what became of them,
and that the target filled the position after them unseen. While it drafts it cannot know whether it is still
on the path: pipeline/foresight.py weighs both by how well they explain the signals.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel

FloatArray = npt.NDArray[np.float64]

(EASY, HARD, EASY_SHARE, SESSION_VAR, LEVEL_VAR, SEEN_VAR) = range(6)
(OFFSET, SCALE, OFF_MEAN, OFF_VAR, EASY_AGES, HARD_AGES, HEADER) = range(6, 13)
"""Places in a law; its hazards follow, those of the easy ages first."""

_LEAST = 1e-6
"""No agreement is taken for surer than this, or a surprise would leave no weight anywhere."""

_CARRIES = 64
"""Fractions of a token over which a stretch's length is averaged."""


def stretch_hazards(mean: float, spread: float) -> FloatArray:
    """Return P(a stretch ends with its position n | it has reached it), n from 0; the last is 1.  # (ages,)

    :param mean: length, tokens; :param spread: half-width of its uniform law, as a share of it
    """
    low, high = mean * (1.0 - spread), mean * (1.0 + spread)
    ages = max(1, math.ceil(high))
    carries = (np.arange(_CARRIES) + 0.5) / _CARRIES
    at = np.arange(ages + 1)[:, np.newaxis] + carries
    lasts = np.clip((high - at) / max(high - low, 1e-9), 0.0, 1.0).mean(axis=1)
    lasts[0] = 1.0  # every stretch has a first position
    ends = np.ones(ages)
    known = lasts[:-1] > 0.0
    ends[known] = 1.0 - lasts[1:][known] / lasts[:-1][known]
    ends[-1] = 1.0
    return ends


def belief_law(params: FloatArray) -> FloatArray:
    """Return the law that the filter reads, from the generator's parameters.  # (HEADER + ages,)

    :param params: what `wisp_gym.world.streams.stream_params` made  # (14,)
    """
    easy, hard, session, block, fast, easy_tokens, hard_tokens, spread = params[:8]
    blur, offset, scale, noise, off_mean, off_sd = params[8:]
    hazards = stretch_hazards(easy_tokens, spread), stretch_hazards(hard_tokens, spread)
    noise_var = noise * noise / 12.0  # of the mean of four uniform errors, each of variance noise^2 / 3
    law = np.empty(HEADER)
    law[[EASY, HARD, OFFSET, SCALE]] = easy, hard, offset, scale
    law[EASY_SHARE] = easy_tokens / (easy_tokens + hard_tokens)
    law[[SESSION_VAR, LEVEL_VAR]] = session * session, block * block + fast * fast
    law[SEEN_VAR] = blur * blur + noise_var / (scale * scale)
    law[OFF_MEAN], law[OFF_VAR] = (
        (off_mean - offset) / scale,
        (off_sd * off_sd + noise_var) / (scale * scale),
    )
    law[[EASY_AGES, HARD_AGES]] = len(hazards[0]), len(hazards[1])
    return np.concatenate([law, *hazards])


def belief_length(law: FloatArray) -> int:
    """Return the numbers of a belief: a weight for every age, the session's mean and its variance."""
    return len(law) - HEADER + 2


@kernel
def begin_belief(belief: FloatArray, law: FloatArray) -> None:
    """Write what is believed before a session's first position: a new stretch, an average session."""
    for i in range(len(belief)):
        belief[i] = 0.0
    belief[0] = law[EASY_SHARE]
    belief[int(law[EASY_AGES])] = 1.0 - law[EASY_SHARE]
    belief[len(belief) - 1] = law[SESSION_VAR]


@kernel
def seen_logit(score: float, law: FloatArray) -> float:
    """Return the observed logit as the agreement logit plus noise."""
    return (float(score) - law[OFFSET]) / law[SCALE]


@kernel
def normal_density(distance: float, variance: float) -> float:
    """Return a normal density but for its constant."""
    return math.exp(-0.5 * distance * distance / variance) / math.sqrt(variance)


@kernel
def chance(mean: float, variance: float) -> float:
    """Return P(agree) where the logit is normal."""
    odds = mean / math.sqrt(1.0 + 0.39269908169872414 * variance)
    return min(max(1.0 / (1.0 + math.exp(-odds)), _LEAST), 1.0 - _LEAST)


@kernel
def easy_weight(belief: FloatArray, law: FloatArray) -> float:
    """Return P(the position lies in an easy stretch)."""
    total = 0.0
    for age in range(int(law[EASY_AGES])):
        total += belief[age]
    return total


@kernel
def foresee(belief: FloatArray, law: FloatArray) -> float:
    """Return P(agree) at the next position before its signals are seen."""
    session, variance = belief[len(belief) - 2], belief[len(belief) - 1] + law[LEVEL_VAR]
    easy = easy_weight(belief, law)
    return easy * chance(law[EASY] + session, variance) + (1.0 - easy) * chance(law[HARD] + session, variance)


@kernel
def observe(belief: FloatArray, law: FloatArray, seen: float, agreed: int) -> tuple[float, float]:
    """Take a position's signals in, and whether it agreed.

    :param seen: from `seen_logit`; :param agreed: 1 or 0
    :return: density of the signals; P(agree) once they were seen
    """
    last = len(belief) - 1
    ages, first_hard = last - 1, int(law[EASY_AGES])
    session, unsure = belief[last - 1], belief[last]
    hidden = unsure + law[LEVEL_VAR]
    total, gain = hidden + law[SEEN_VAR], hidden / (hidden + law[SEEN_VAR])
    left = hidden * (1.0 - gain)
    from_easy, from_hard = seen - law[EASY] - session, seen - law[HARD] - session
    easy = easy_weight(belief, law)
    easy_density = normal_density(from_easy, total)
    hard_density = normal_density(from_hard, total)
    easy_agrees = chance(law[EASY] + session + gain * from_easy, left)
    hard_agrees = chance(law[HARD] + session + gain * from_hard, left)
    density = easy * easy_density + (1.0 - easy) * hard_density
    agrees = (easy * easy_density * easy_agrees + (1.0 - easy) * hard_density * hard_agrees) / density
    outcome = agrees if agreed == 1 else 1.0 - agrees
    in_easy = easy_density * (easy_agrees if agreed == 1 else 1.0 - easy_agrees) / (density * outcome)
    in_hard = hard_density * (hard_agrees if agreed == 1 else 1.0 - hard_agrees) / (density * outcome)
    for age in range(ages):
        belief[age] *= in_easy if age < first_hard else in_hard
    _learn_session(belief, law, seen, easy * in_easy)
    return density, agrees


@kernel
def _learn_session(belief: FloatArray, law: FloatArray, seen: float, easy: float) -> None:
    """Move the session's mean towards what was seen. Positions of a stretch share its level, so
    they count for less."""
    last = len(belief) - 1
    between = law[EASY] - law[HARD]
    shared = (1.0 - law[EASY_SHARE]) * law[HARD_AGES] + law[EASY_SHARE] * law[EASY_AGES]
    spread = 0.5 * shared * law[LEVEL_VAR] + law[SEEN_VAR] + easy * (1.0 - easy) * between * between
    gain = belief[last] / (belief[last] + spread)
    belief[last - 1] += gain * (seen - easy * law[EASY] - (1.0 - easy) * law[HARD] - belief[last - 1])
    belief[last] *= 1.0 - gain


@kernel
def move_on(belief: FloatArray, law: FloatArray) -> None:
    """Go on to the next position: every stretch grows older by one, or ends and the other kind begins."""
    ages, first_hard = len(belief) - 2, int(law[EASY_AGES])
    to_hard = to_easy = 0.0
    for age in range(ages - 1, -1, -1):
        ends = law[HEADER + age]
        if age >= first_hard:
            to_easy += belief[age] * ends
        else:
            to_hard += belief[age] * ends
        if age + 1 < ages and age + 1 != first_hard:
            belief[age + 1] = belief[age] * (1.0 - ends)
    belief[0] = to_easy
    belief[first_hard] = to_hard
