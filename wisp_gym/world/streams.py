"""Token streams: where the draft model agrees with the target, and what its distribution looks like.

A generator with few parameters, fitted to published figures by `benchmarks/calibrate_streams.py`. All laws
are in logits. A session alternates between easy stretches, which the draft mostly foresees, and hard ones. At
position p, on the true prefix,

    agreement logit   z = (easy_logit or hard_logit) + session_sd * s + block_sd * b + fast_sd * f
    agreement         accepts[p] = 1 with probability logistic(z)
    observed logit    x = signal_offset + signal_scale * (z + blur_sd * e)

with s normal per session, b normal per stretch, f and e normal per position. A stretch lasts easy_tokens or
hard_tokens on average, uniform within a share block_spread of it. Off the path, x is normal with off_mean and
off_sd, whatever the agreement is.

The four signals are monotone transforms of x, each with its own uniform noise of half-width signal_noise:

    confidence  1 / (1 + exp(-x))                             probability of the likeliest token
    entropy     2.287 * exp(-x / 1.61), at most ln(151,936)   nats
    margin      1 / (1 + 2 exp(-x))                           probability, likeliest less second
    spread      (y + sqrt(y^2 + 4)) / 2 with y = x + 4        nats, how far the likeliest logit stands out

The entropy's constants are those that fit acceptance by entropy in logs of another pair (Llama-3.2-1B for
3B), p = 1 / (1 + (H / 3.30 bits)^1.61), so an x with P(agree | x) = logistic(x), which the fit sees to, keeps
that law. The other transforms are chosen for range and order: margin <= confidence, as signal_noise < 0.34.

Every number is a function of (key, position), so a longer stream begins with the shorter one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from wisp_gym._jit import compiled
from wisp_gym.errors import InputError, nearest
from wisp_gym.world.rng import Unsigned, bits, normal, uniform

PARAMETERS = (
    "easy_logit",  # logit of agreement in easy and in hard stretches, mean over sessions and stretches
    "hard_logit",
    "session_sd",  # standard deviations, logits
    "block_sd",
    "fast_sd",
    "easy_tokens",  # mean length of a stretch, tokens, at least 1
    "hard_tokens",
    "block_spread",  # half-width of a stretch's length, as a share of its mean
    "blur_sd",  # what the device cannot see, logits
    "signal_offset",  # logits
    "signal_scale",
    "signal_noise",  # half-width, logits
    "off_mean",  # observed logit off the path
    "off_sd",
)
"""The generator's parameters, in the order of the array that `draw_stream` reads."""

SIGNALS = ("confidence", "entropy", "margin", "spread")
"""Rows of a signal array."""

CONFIDENCE, ENTROPY, MARGIN, SPREAD = range(4)

(_EASY, _HARD, _SESSION, _BLOCK, _FAST, _EASY_TOKENS, _HARD_TOKENS, _SPREAD) = range(8)
(_BLUR, _OFFSET, _SCALE, _NOISE, _OFF_MEAN, _OFF_SD) = range(8, 14)

# Numbers of a key: two for the session, then LANES for each position.
_NUMBER_SESSION, _NUMBER_FIRST, _FIRST_LANE, _LANES = 0, 1, 2, 8
_LANE_ACCEPT, _LANE_FAST, _LANE_BLUR, _LANE_SIGNALS = range(4)
_LANE_OFF, _LANE_OFF_SIGNALS, _LANE_LENGTH, _LANE_BLOCK = range(4, 8)

ENTROPY_AT_EVEN_ODDS = 3.30 * math.log(2.0)
"""Entropy, nats, at which agreement is an even bet: 3.30 bits."""
ENTROPY_POWER = 1.61
MAX_ENTROPY = math.log(151936.0)
"""Nats; uniform over the vocabulary of Qwen3."""
SPREAD_SHIFT = 4.0
X_LOW, X_HIGH = -12.0, 16.0
"""The observed logit is kept inside these, so that no transform overflows."""

_FIELD = np.uint64(0xFFFF)
_FIELD_BITS = np.uint64(16)
_FIELD_TO_UNIT = 2.0**-16


_RANGES = {
    "easy_tokens": (1.0, 1e6),
    "hard_tokens": (1.0, 1e6),
    "block_spread": (0.0, 1.0),
    "signal_scale": (1e-6, 50.0),
    "signal_noise": (0.0, 0.34),
}
"""Allowed values, where they are not 0 to 20 (the _sd) or -50 to 50; no exponential overflows inside them."""


def stream_params(generator: Mapping[str, float]) -> NDArray[np.float64]:
    """Return the generator's parameters as the array that `draw_stream` reads.  # (len(PARAMETERS),)

    :param generator: a value for each name in PARAMETERS
    :raises InputError: where a name is missing or unknown, or a value is not usable
    """
    for name in generator:
        if name not in PARAMETERS:
            raise InputError(f"generator.{name}: unknown parameter; {nearest(name, PARAMETERS)}")
    for name in PARAMETERS:
        if name not in generator:
            raise InputError(f"generator.{name}: missing; needed: {', '.join(PARAMETERS)}")
        _check(name, float(generator[name]))
    return np.array([float(generator[name]) for name in PARAMETERS], dtype=np.float64)


def _check(name: str, value: float) -> None:
    low, high = _RANGES.get(name, (0.0, 20.0) if name.endswith("_sd") else (-50.0, 50.0))
    if not low <= value <= high:  # not-a-number fails too
        raise InputError(f"generator.{name} = {value:g}: must lie in [{low:g}, {high:g}]")


def shifted(params: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    """Return the parameters of a text that is easier to draft by `shift` logits at every position.  # (14,)

    The signals see it, as they see everything in the logit of agreement; the law off the path stays.
    """
    result = params.copy()
    result[[_EASY, _HARD]] += shift
    return result


@compiled
def draw_stream(
    key: Unsigned,
    params: NDArray[np.float64],
    accepts: NDArray[np.uint8],
    signals: NDArray[np.float32],
    off_signals: NDArray[np.float32],
) -> None:
    """Fill one session's stream; the length is that of `accepts`. The law is in the module's docstring.

    With signal arrays of length 0 only the agreements are drawn, in a third of the time.

    :param key: the session's key, `rng.key(seed, CAUSE_STREAM, device, session)`
    :param params: what `stream_params` made  # (14,)
    :param accepts: filled with 1 where draft and target agree, else 0  # (length,)
    :param signals: filled with the draft's signals on the true prefix, rows as SIGNALS  # (4, length or 0)
    :param off_signals: filled with the signals after a round's first mismatch  # (4, length or 0)
    """
    shown = signals.shape[1] > 0
    session = params[_SESSION] * normal(key, _NUMBER_SESSION)
    tokens = params[_EASY_TOKENS] + params[_HARD_TOKENS]
    easy = uniform(key, _NUMBER_FIRST) * tokens < params[_HARD_TOKENS]  # turned over at position 0
    level, left = 0.0, 0.0
    for p in range(accepts.shape[0]):
        at = _FIRST_LANE + _LANES * p
        if left <= 0.0:
            easy = not easy
            level = (params[_EASY] if easy else params[_HARD]) + session
            level += params[_BLOCK] * normal(key, at + _LANE_BLOCK)
            factor = 1.0 + params[_SPREAD] * (2.0 * uniform(key, at + _LANE_LENGTH) - 1.0)
            left += factor * (params[_EASY_TOKENS] if easy else params[_HARD_TOKENS])
        left -= 1.0
        logit = level + params[_FAST] * normal(key, at + _LANE_FAST)
        accepts[p] = 1 if uniform(key, at + _LANE_ACCEPT) < 1.0 / (1.0 + math.exp(-logit)) else 0
        if shown:
            seen = params[_OFFSET] + params[_SCALE] * (logit + params[_BLUR] * normal(key, at + _LANE_BLUR))
            _write_signals(signals, p, seen, params[_NOISE], bits(key, at + _LANE_SIGNALS))
            off = params[_OFF_MEAN] + params[_OFF_SD] * normal(key, at + _LANE_OFF)
            _write_signals(off_signals, p, off, params[_NOISE], bits(key, at + _LANE_OFF_SIGNALS))


@compiled
def _write_signals(
    signals: NDArray[np.float32], p: int, x: float, half_width: float, word: np.uint64
) -> None:
    """Write the signals of observed logit `x` at position `p`, noise from the 16-bit fields of `word`."""
    x = min(max(x, X_LOW), X_HIGH)
    signals[CONFIDENCE, p] = 1.0 / (1.0 + math.exp(-x - _noise(word, half_width)))
    word = word >> _FIELD_BITS
    entropy = ENTROPY_AT_EVEN_ODDS * math.exp((-x - _noise(word, half_width)) / ENTROPY_POWER)
    signals[ENTROPY, p] = min(entropy, MAX_ENTROPY)
    word = word >> _FIELD_BITS
    signals[MARGIN, p] = 1.0 / (1.0 + 2.0 * math.exp(-x - _noise(word, half_width)))
    y = x + SPREAD_SHIFT + _noise(word >> _FIELD_BITS, half_width)
    signals[SPREAD, p] = 0.5 * (y + math.sqrt(y * y + 4.0))


@compiled
def _noise(word: np.uint64, half_width: float) -> float:
    """Return noise uniform on (-half_width, half_width) from the low 16 bits of `word`."""
    unit = (np.float64(np.int64(word & _FIELD)) + 0.5) * _FIELD_TO_UNIT
    return half_width * (2.0 * unit - 1.0)


@compiled
def write_fixed_k_rounds(accepts: NDArray[np.uint8], k: int, counts: NDArray[np.int64]) -> int:
    """Write how many tokens each round accepts when all draft `k`; return the number of rounds.

    A round from position p accepts the leading run of agreements in p .. p + k - 1; the target fills the next
    position and the next round starts after it. Rounds that do not fit the stream are left out.

    :param accepts: a session's stream  # (length,)
    :param k: tokens drafted per round, 1 or more
    :param counts: filled from the front  # (length,)
    """
    rounds = 0
    p = 0
    while p + k < accepts.shape[0]:
        a = 0
        while a < k and accepts[p + a] != 0:
            a += 1
        counts[rounds] = a
        rounds += 1
        p += a + 1
    return rounds


def fixed_k_rounds(accepts: NDArray[np.uint8], k: int) -> NDArray[np.int64]:
    """Return how many tokens each round accepts when all draft `k`, as `write_fixed_k_rounds`.  # (rounds,)

    :param accepts: a session's stream  # (length,)
    :param k: tokens drafted per round, 1 or more
    """
    counts = np.empty(accepts.shape[0], dtype=np.int64)
    return counts[: write_fixed_k_rounds(accepts, k, counts)]
