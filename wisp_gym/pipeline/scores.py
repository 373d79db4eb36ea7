"""What drafters read at every position of the token streams: stop scores, and the law behind them."""

from __future__ import annotations

from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from wisp_gym.pipeline.answers import check_scores
from wisp_gym.pipeline.protocols import Drafter, Stream
from wisp_gym.profiles.predictor import Network
from wisp_gym.rules.bayes import belief_law
from wisp_gym.rules.specdec import agreement_probability
from wisp_gym.world import World
from wisp_gym.world.observed import observed_logits
from wisp_gym.world.predictor import stop_scores
from wisp_gym.world.session_streams import Scorer, scored_streams

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_SCORED: WeakKeyDictionary[World, dict[str, tuple[FloatArray, FloatArray]]] = WeakKeyDictionary()
"""Built-in scores by world and name: the same for all simulations of a world, none of which changes them."""


def stream_law(world: World) -> npt.NDArray[np.float64]:
    """Return the law of a world's streams as the Bayesian drafter reads it (rules/bayes.py)."""
    return belief_law(world.stream)


def compiled_scores(world: World, score: str) -> tuple[FloatArray, FloatArray]:
    """Return a built-in stop score over all streams, on the true prefix and off it.  # (positions,),
    (positions,)

    :param world: not a streamed one
    """
    kept = _SCORED.setdefault(world, {})
    if score not in kept:
        scorer = built_in(world, score)
        lengths = world.arrays.sessions["length"]
        if world.signals_given:
            kept[score] = scorer(world.signals, lengths), scorer(world.off_signals, lengths)
        else:
            kept[score] = scored_streams(world, np.arange(len(lengths)), scorer)[1:]
    return kept[score]


def built_in(world: World, score: str) -> Scorer:
    """Return what makes a built-in score of signals."""
    if score == "stop":
        return partial(_stop, world.scenario.profiles.predictor.network)
    return {"confidence": _confidence, "entropy": _entropy, "observed": _observed, "agreement": _agreement}[
        score
    ]


def _confidence(signals: FloatArray, lengths: IntArray) -> FloatArray:
    return signals[0]


def _entropy(signals: FloatArray, lengths: IntArray) -> FloatArray:
    return -signals[1]


def _observed(signals: FloatArray, lengths: IntArray) -> FloatArray:
    return observed_logits(signals)


def _agreement(signals: FloatArray, lengths: IntArray) -> FloatArray:
    return agreement_probability(observed_logits(signals))


def _stop(network: Network, signals: FloatArray, lengths: IntArray) -> FloatArray:
    return stop_scores(network, signals)


def asked_scores(world: World, drafter: Drafter) -> tuple[FloatArray, FloatArray]:
    """Return a Python drafter's stop scores over all streams, session by session.

    :param world: not a streamed one
    :raises InputError: scores of a wrong shape
    """
    scorer, lengths = asked(drafter), world.arrays.sessions["length"]
    return scorer(world.signals, lengths), scorer(world.off_signals, lengths)


def asked(drafter: Drafter) -> Scorer:
    """Return what asks a Python drafter for the scores of streams laid end to end."""
    return partial(_ask, drafter)


def _ask(drafter: Drafter, signals: FloatArray, lengths: IntArray) -> FloatArray:
    scores, who = np.empty(signals.shape[1], np.float32), getattr(drafter, "called", "Drafter")
    begin = 0
    for length in lengths.tolist():
        end = begin + length
        answer = drafter.score(Stream(signals[:, begin:end].T))
        with np.errstate(over="ignore"):  # beyond float32 a score is infinite, which is a number
            scores[begin:end] = check_scores(answer, length, who)
        begin = end
    return scores
