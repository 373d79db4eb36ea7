"""Stop scores: WISP's predictor, a network of two hidden layers, over a token stream.

A score is the logit of the probability that the target takes the drafted token. A drafter stops at the first
token whose score is below its threshold. Each position is scored by itself, in float32, its sums in one
fixed order, so the same stream gives the same bits compiled or not, in pieces or whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wisp_gym._jit import compiled
from wisp_gym.profiles.predictor import FIRST_UNITS, Network

FloatArray = NDArray[np.float32]

BLOCK = 256
"""Positions scored at a time: the hidden units of so many stay in the processor's first cache."""


@compiled
def _first_unit(
    weights: FloatArray,
    bias: np.float32,
    confidence: FloatArray,
    entropy: FloatArray,
    margin: FloatArray,
    spread: FloatArray,
    unit: FloatArray,
) -> None:
    """Write one unit of the first layer at every position.  Arrays but the first: (positions,)"""
    zero = np.float32(0.0)
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    for p in range(unit.shape[0]):
        z = bias + w0 * confidence[p] + w1 * entropy[p] + w2 * margin[p] + w3 * spread[p]
        unit[p] = z if z > zero else zero


@compiled
def _second_unit(
    weights: FloatArray,
    bias: np.float32,
    last: np.float32,
    h0: FloatArray,
    h1: FloatArray,
    h2: FloatArray,
    h3: FloatArray,
    h4: FloatArray,
    h5: FloatArray,
    h6: FloatArray,
    h7: FloatArray,
    scores: FloatArray,
) -> None:
    """Add what a unit of the second layer gives, `last` times its value.  All but the first: (positions,)"""
    zero = np.float32(0.0)
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    w4, w5, w6, w7 = weights[4], weights[5], weights[6], weights[7]
    for p in range(scores.shape[0]):
        z = bias + w0 * h0[p] + w1 * h1[p] + w2 * h2[p] + w3 * h3[p]
        z = z + w4 * h4[p] + w5 * h5[p] + w6 * h6[p] + w7 * h7[p]
        scores[p] += last * (z if z > zero else zero)


@compiled
def write_scores(network: Network, signals: FloatArray, scores: FloatArray) -> None:
    """Write the score of each position of a stream.

    A unit at a time over a block of positions: the loops over positions are the inner ones and have no
    branch, so that they are compiled to vector instructions.

    :param network: the weights
    :param signals: rows confidence, entropy (nats), margin, spread (nats)  # (4, length)
    :param scores: filled, logits  # (length,)
    """
    length = signals.shape[1]
    h = np.empty((FIRST_UNITS, BLOCK), np.float32)
    for begin in range(0, length, BLOCK):
        end = min(begin + BLOCK, length)
        size = end - begin
        confidence, entropy = signals[0, begin:end], signals[1, begin:end]
        margin, spread = signals[2, begin:end], signals[3, begin:end]
        for j in range(FIRST_UNITS):
            _first_unit(
                network.first[j], network.first_bias[j], confidence, entropy, margin, spread, h[j, :size]
            )
        out = scores[begin:end]
        out[:] = network.last_bias[0]
        for j in range(network.second.shape[0]):
            _second_unit(
                network.second[j],
                network.second_bias[j],
                network.last[j],
                h[0, :size],
                h[1, :size],
                h[2, :size],
                h[3, :size],
                h[4, :size],
                h[5, :size],
                h[6, :size],
                h[7, :size],
                out,
            )


def stop_scores(network: Network, signals: FloatArray) -> FloatArray:
    """Return the score of each position of a stream, logits.  # (length,)

    :param network: a predictor's weights
    :param signals: rows confidence, entropy (nats), margin, spread (nats)  # (4, length)
    """
    scores = np.empty(signals.shape[1], np.float32)
    write_scores(network, np.ascontiguousarray(signals, np.float32), scores)
    return scores
