"""Drafted tokens as a deployed drafter meets them, drawn from a pair's streams.

Rounds of one length run through each stream: a round's tokens are read on the true prefix up to and including
its first mismatch, and off it after that; the target fills the mismatch, and the next round starts after it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisp_gym._jit import compiled
from wisp_gym.world.draw import Split, world_seed
from wisp_gym.world.rng import CAUSE_STREAM, key
from wisp_gym.world.streams import draw_stream, fixed_k_rounds, stream_params

OWN_COPY = 1_000_003
"""Stands where worlds have the number of an environment's copy (below 5,000), so that no world of any split
holds a stream of the predictor's."""

ACCEPTED, FIRST_REJECTED, AFTER_IT = 0, 1, 2
"""Kinds of drafted tokens: taken by the target; its round's first mismatch; drafted after that one."""


class Streams(NamedTuple):
    """Streams of many sessions of one length."""

    accepts: NDArray[np.uint8]  # (streams, length)
    signals: NDArray[np.float32]  # (streams, 4, length)
    off_signals: NDArray[np.float32]  # (streams, 4, length)


class Tokens(NamedTuple):
    """Drafted tokens, round after round, stream after stream."""

    signals: NDArray[np.float32]  # (4, tokens)
    kind: NDArray[np.int8]  # (tokens,) ACCEPTED, FIRST_REJECTED or AFTER_IT
    stream: NDArray[np.int32]  # (tokens,) which stream


def stream_keys(split: Split, count: int) -> NDArray[np.uint64]:
    """Return the keys of a split's streams; no two splits, and no world, have one in common.  # (count,)

    :param split: "train" for the weights, "validation" for the thresholds, "test" for the figures
    """
    seed = np.uint64(world_seed(split, 0, OWN_COPY))
    return np.array([key(seed, CAUSE_STREAM, i, 0) for i in range(count)], np.uint64)


@compiled
def _draw_all(
    keys: NDArray[np.uint64],
    params: NDArray[np.float64],
    accepts: NDArray[np.uint8],
    signals: NDArray[np.float32],
    off_signals: NDArray[np.float32],
) -> None:
    for i in range(len(keys)):
        draw_stream(keys[i], params, accepts[i], signals[i], off_signals[i])


def draw(generator: dict[str, float], keys: NDArray[np.uint64], length: int) -> Streams:
    """Draw streams.

    :param generator: a pair's, see wisp_gym/world/streams.py
    :param keys: one for each stream
    :param length: tokens of each
    """
    drawn = Streams(
        np.zeros((len(keys), length), np.uint8),
        np.zeros((len(keys), 4, length), np.float32),
        np.zeros((len(keys), 4, length), np.float32),
    )
    _draw_all(keys, stream_params(generator), *drawn)
    return drawn


def drafted(streams: Streams, k: int) -> Tokens:
    """Return every token that rounds of `k` draft over the streams.

    :param k: tokens of a round
    """
    parts = [_drafted_in_one(*stream, k) for stream in zip(*streams, strict=True)]
    signals = np.concatenate([signals for signals, _ in parts], axis=1)
    kind = np.concatenate([kind for _, kind in parts])
    counts = [len(kind) for _, kind in parts]
    return Tokens(signals, kind, np.repeat(np.arange(len(parts), dtype=np.int32), counts))


def _drafted_in_one(
    accepts: NDArray[np.uint8], on: NDArray[np.float32], off: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Return signals and kinds of the tokens drafted over one stream.  # (4, tokens), (tokens,)"""
    counts = fixed_k_rounds(accepts, k)[:, None]
    starts = (np.cumsum(counts + 1) - counts[:, 0] - 1)[:, None]
    j = np.arange(k)[None, :]
    signals = np.where(j <= counts, on[:, starts + j], off[:, starts + j]).reshape(4, -1)
    return signals, (np.sign(j - counts) + 1).astype(np.int8).ravel()
