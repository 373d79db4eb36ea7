"""Training a stop predictor with torch, from a seed to the same bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from agents.predictor.tokens import ACCEPTED, Tokens
from wisp_gym.profiles.predictor import FIRST_UNITS, INPUTS

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Settings:
    """How a predictor is trained.

    :param seed: of the first weights and the order of the tokens
    :param units: of the second hidden layer; the first has 8
    :param streams: training streams; :param length: tokens of each
    :param k: tokens of a round: the longest draft of a deployed drafter
    :param epochs: times that every token is seen; :param batch: tokens of a step
    :param learning_rate: of Adam at the start; it falls to zero along half a cosine
    """

    seed: int = 0
    units: int = 8
    streams: int = 2000
    length: int = 300
    k: int = 8
    epochs: int = 6
    batch: int = 8192
    learning_rate: float = 0.01


def network(units: int) -> nn.Sequential:
    """Return the predictor as torch knows it: its output is the logit of agreement."""
    return nn.Sequential(
        nn.Linear(INPUTS, FIRST_UNITS),
        nn.ReLU(),
        nn.Linear(FIRST_UNITS, units),
        nn.ReLU(),
        nn.Linear(units, 1),
    )


def normalisation(tokens: Tokens) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each signal, to four digits.  # (4,), (4,)"""
    mean, scale = tokens.signals.mean(axis=1, dtype=np.float64), tokens.signals.std(axis=1, dtype=np.float64)
    return [float(f"{m:.4g}") for m in mean], [float(f"{s:.4g}") for s in scale]


def train(tokens: Tokens, settings: Settings) -> dict[str, FloatArray]:
    """Fit the network to whether the target takes a token; a token after a mismatch is one it does not.

    One thread, and a generator of its own for every draw: the same tokens and settings give the same bytes.

    :return: tensors by torch's names of the layers
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _fit(tokens, settings)
    finally:
        torch.set_num_threads(threads)


def _fit(tokens: Tokens, settings: Settings) -> dict[str, FloatArray]:
    mean, scale = normalisation(tokens)
    inputs = torch.from_numpy(((tokens.signals.T - np.array(mean)) / np.array(scale)).astype(np.float32))
    labels = torch.from_numpy((tokens.kind == ACCEPTED).astype(np.float32))
    order = np.random.default_rng(settings.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = network(settings.units)
    steps = settings.epochs * -(-len(labels) // settings.batch)
    optimizer = torch.optim.Adam(model.parameters(), settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    loss = nn.BCEWithLogitsLoss()
    for _ in range(settings.epochs):
        shuffled = order.permutation(len(labels))
        for begin in range(0, len(labels), settings.batch):
            part = torch.from_numpy(shuffled[begin : begin + settings.batch])
            optimizer.zero_grad()
            loss(model(inputs[part])[:, 0], labels[part]).backward()
            optimizer.step()
            schedule.step()
    return {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
