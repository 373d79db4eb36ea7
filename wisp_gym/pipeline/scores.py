"""What drafters read at every position of the token streams: stop scores, and the law behind them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wisp_gym.pipeline.answers import check_scores
from wisp_gym.pipeline.protocols import Drafter, Stream
from wisp_gym.rules.bayes import belief_law
from wisp_gym.rules.specdec import agreement_probability
from wisp_gym.world import World, template_of
from wisp_gym.world.observed import observed_logits
from wisp_gym.world.predictor import stop_scores
from wisp_gym.world.ranges import draw_variant
from wisp_gym.world.streams import shifted

FloatArray = npt.NDArray[np.float32]


def stream_law(world: World) -> npt.NDArray[np.float64]:
    """Return the law of a world's streams as the Bayesian drafter reads it (rules/bayes.py)."""
    shift = draw_variant(world.scenario, world.seed).acceptance_shift
    return belief_law(shifted(template_of(world.scenario).laws.stream, shift))


def compiled_scores(world: World, score: str) -> tuple[FloatArray, FloatArray]:
    """Return a built-in stop score over all streams, on the true prefix and off it.  # (positions,),
    (positions,)"""
    if score == "confidence":
        return world.signals[0], world.off_signals[0]
    if score == "entropy":
        return -world.signals[1], -world.off_signals[1]
    if score == "observed":
        return observed_logits(world.signals), observed_logits(world.off_signals)
    if score == "agreement":
        on, off = compiled_scores(world, "observed")
        return agreement_probability(on), agreement_probability(off)
    network = world.scenario.profiles.predictor.network
    return stop_scores(network, world.signals), stop_scores(network, world.off_signals)


def asked_scores(world: World, drafter: Drafter) -> tuple[FloatArray, FloatArray]:
    """Return a Python drafter's stop scores over all streams, session by session.

    :raises InputError: scores of a wrong shape
    """
    result, who = [], getattr(drafter, "called", "Drafter")
    for signals in (world.signals, world.off_signals):
        scores = np.empty(signals.shape[1], np.float32)
        for session in world.arrays.sessions:
            begin, end = int(session["offset"]), int(session["offset"] + session["length"])
            answer = drafter.score(Stream(signals[:, begin:end].T))
            with np.errstate(over="ignore"):  # beyond float32 a score is infinite, which is a number
                scores[begin:end] = check_scores(answer, end - begin, who)
        result.append(scores)
    return result[0], result[1]
