"""The trained actor as NumPy arrays: what a model does in an evaluation, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ActorNetwork:
    """A multilayer perceptron with tanh between its layers that gives the likeliest action of an observation.

    :param weights: one matrix per layer  # (outputs, inputs)
    :param biases: one vector per layer  # (outputs,)
    :param action_counts: choices of each action component; they add up to the last layer's outputs
    """

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    action_counts: tuple[int, ...]

    def logits(self, observation: Floats) -> Floats:
        """Return the unnormalised log-probabilities of all choices, component after component."""
        hidden = observation
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = np.tanh(weight @ hidden + bias)
        return self.weights[-1] @ hidden + self.biases[-1]

    def __call__(self, observation: Floats, mask: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Return the likeliest choice of every component, the lowest index among equals.

        :param observation: as the environment gives it  # (observation size,)
        :param mask: which choices are allowed, component after component; all without it  # (choices,)
        :returns: the action  # (components,)
        """
        logits = self.logits(observation)
        if mask is not None:
            logits = np.where(mask, logits, -np.inf)
        parts = np.split(logits, np.cumsum(self.action_counts)[:-1])
        return np.array([part.argmax() for part in parts], dtype=np.int64)


def actor_layers(
    hidden: Sequence[int], observation_size: int, action_counts: Sequence[int]
) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor of an actor, in order; the names are stable-baselines3's.

    :param hidden: widths of the hidden layers
    :param observation_size: entries of an observation
    :param action_counts: choices of each action component
    """
    shapes: dict[str, tuple[int, ...]] = {}
    inputs = observation_size
    # Linear layers stand at even places of the learner's list; the activations between them hold no weights.
    stems = [f"mlp_extractor.policy_net.{2 * layer}" for layer in range(len(hidden))] + ["action_net"]
    for stem, outputs in zip(stems, [*hidden, sum(action_counts)], strict=True):
        shapes[f"{stem}.weight"] = (outputs, inputs)
        shapes[f"{stem}.bias"] = (outputs,)
        inputs = outputs
    return shapes


def build_actor(
    tensors: Mapping[str, Floats], names: Sequence[str], action_counts: Sequence[int]
) -> ActorNetwork:
    """Return the actor made of the tensors that `actor_layers` names.

    :param tensors: a model's tensors, at least those of `names`
    :param names: weight and bias of each layer in turn
    :param action_counts: choices of each action component
    """
    arrays = [np.ascontiguousarray(tensors[name], dtype=np.float32) for name in names]
    return ActorNetwork(tuple(arrays[0::2]), tuple(arrays[1::2]), tuple(action_counts))
