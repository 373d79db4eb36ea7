"""The models that the stop predictor is compared with, on the same tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agents.predictor.fit import tokens_of
from agents.predictor.tokens import ACCEPTED, Tokens
from agents.predictor.training import Settings, normalisation, train
from wisp_gym import profiles
from wisp_gym.profiles.predictor import assemble
from wisp_gym.world.predictor import stop_scores

Floats = NDArray[np.float64]
Model = Callable[[NDArray[np.float32]], Floats]
"""From signals (4, tokens) to the probability that each token is accepted (tokens,)."""

TREE_TOKENS = 100_000
"""Training tokens of the tree models; more change nothing."""


def network_of(name: str) -> Model:
    """Return the shipped predictor of a pair."""
    weights = profiles.predictor(name).network
    return lambda signals: _logistic(stop_scores(weights, signals))


def common_network(names: list[str], settings: Settings) -> Model:
    """Return one network trained on the tokens of all pairs together, as many of each."""
    each = replace(settings, streams=-(-settings.streams // len(names)))
    parts = [tokens_of(profiles.acceptance(name), "train", each) for name in names]
    tokens = Tokens(*(np.concatenate(columns, axis=-1) for columns in zip(*parts, strict=True)))
    tensors = train(tokens, settings)
    mean, scale = normalisation(tokens)
    record = profiles.predictor(names[0]).record.model_copy(
        update={"mean": tuple(mean), "scale": tuple(scale)}
    )
    weights = assemble("common", record, tensors).network
    return lambda signals: _logistic(stop_scores(weights, signals))


def tree_models(tokens: Tokens, seed: int) -> dict[str, Model]:
    """Return the paper's tree models, trained on the same tokens, with scikit-learn's own settings but for
    the forest: 60 trees, leaves of 50 tokens or more."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

    chosen = np.random.default_rng(seed).permutation(len(tokens.kind))[:TREE_TOKENS]
    inputs, labels = tokens.signals.T[chosen], tokens.kind[chosen] == ACCEPTED
    made = {
        "random forest": RandomForestClassifier(60, min_samples_leaf=50, random_state=seed, n_jobs=1),
        "gradient boosting": HistGradientBoostingClassifier(random_state=seed),
    }
    return {name: _classifier(model.fit(inputs, labels)) for name, model in made.items()}


def _classifier(fitted: object) -> Model:
    return lambda signals: np.asarray(fitted.predict_proba(signals.T)[:, 1], np.float64)  # type: ignore[attr-defined]


def _logistic(scores: NDArray[np.float32]) -> Floats:
    return 1.0 / (1.0 + np.exp(-scores.astype(np.float64)))
