"""From a draft/target pair to its predictor: weights from training streams, thresholds from validation ones,
figures from test ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from agents.predictor.figures import (
    area_under_curve,
    calibration_error,
    operating_point,
    probability,
    thresholds,
)
from agents.predictor.files import generator_hash
from agents.predictor.tokens import ACCEPTED, AFTER_IT, Tokens, drafted, draw, stream_keys
from agents.predictor.training import Settings, normalisation, train
from wisp_gym.profiles import AcceptanceProfile
from wisp_gym.profiles.predictor import Predictor, PredictorRecord, assemble
from wisp_gym.world.draw import Split
from wisp_gym.world.predictor import stop_scores

RECALLS = tuple(round(0.01 * percent, 2) for percent in range(1, 100))
"""Recalls whose thresholds are kept."""

WISP_POINT = 0.801
"""Recall on accepted tokens at the paper's operating point."""

FloatArray = NDArray[np.float32]


def tokens_of(pair: AcceptanceProfile, split: Split, settings: Settings, k: int | None = None) -> Tokens:
    """Return the tokens that rounds draft over a split's streams of a pair.

    :param k: tokens of a round; None takes the settings'
    """
    streams = draw(pair.generator, stream_keys(split, settings.streams), settings.length)
    return drafted(streams, settings.k if k is None else k)


def fit_predictor(
    pair: AcceptanceProfile, settings: Settings, command: str
) -> tuple[PredictorRecord, dict[str, FloatArray]]:
    """Train a pair's predictor; return what its two files say.

    :param command: that writes them again
    """
    seen = tokens_of(pair, "train", settings)
    tensors = train(seen, settings)
    mean, scale = normalisation(seen)
    blank = PredictorRecord(
        pair=pair.name,
        generator_sha256=generator_hash(pair.generator),
        hidden=(8, settings.units),
        mean=tuple(mean),
        scale=tuple(scale),
        recalls=RECALLS,
        thresholds=(0.0,) * len(RECALLS),
        training=asdict(settings),
        held_out={},
        source="stream-calibration",
        status="estimated",
        command=command,
    )
    scorer = assemble(pair.name, blank, tensors)
    kept = tokens_of(pair, "validation", settings)
    table = thresholds(stop_scores(scorer.network, kept.signals), kept.kind, np.array(RECALLS))
    record = blank.model_copy(update={"thresholds": tuple(round(float(value), 4) for value in table)})
    return record.model_copy(update={"held_out": held_out(pair, record, tensors, settings)}), tensors


def held_out(
    pair: AcceptanceProfile, record: PredictorRecord, tensors: Mapping[str, FloatArray], settings: Settings
) -> dict[str, float]:
    """Return what a predictor reaches on test streams, at the paper's recall."""
    scorer = assemble(pair.name, record, dict(tensors))
    tokens = tokens_of(pair, "test", settings)
    return {name: round(value, 4) for name, value in figures(scorer, tokens).items()}


def figures(scorer: Predictor, tokens: Tokens) -> dict[str, float]:
    """Return a predictor's figures on drafted tokens; the threshold is its own of the paper's recall."""
    scores, taken = stop_scores(scorer.network, tokens.signals), tokens.kind == ACCEPTED
    on_path = tokens.kind != AFTER_IT
    recall, false_accept = operating_point(scores, tokens.kind, scorer.threshold(WISP_POINT))
    return {
        "recall": recall,
        "false_accept": false_accept,
        "auc": area_under_curve(taken, scores),
        "auc_on_path": area_under_curve(taken[on_path], scores[on_path]),
        "calibration_error": calibration_error(taken, probability(scores)),
    }
