"""A trained predictor's two files: what they say, and writing them together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from wisp_gym.evaluation.output import write_together
from wisp_gym.profiles.predictor import RECORD, WEIGHTS, Predictor, PredictorRecord, assemble

FloatArray = NDArray[np.float32]


def generator_hash(generator: Mapping[str, float]) -> str:
    """Return the SHA-256 (hexadecimal) of a generator's parameters."""
    return hashlib.sha256(json.dumps(dict(generator), sort_keys=True).encode()).hexdigest()


def weights_bytes(tensors: Mapping[str, FloatArray]) -> bytes:
    """Return the tensors as the content of a safetensors file."""
    return safetensors.numpy.save({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)})


def record_bytes(record: PredictorRecord) -> bytes:
    """Return the record as JSON, one field a line."""
    fields = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in record.model_dump().items()]
    return ("{\n" + ",\n".join(fields) + "\n}\n").encode()


def write_predictor(
    folder: Path, name: str, record: PredictorRecord, tensors: Mapping[str, FloatArray]
) -> Predictor:
    """Write NAME.json and NAME.safetensors, both or neither, and return the predictor they hold.

    :param folder: made if it is missing
    :param record: its hash of the weights is filled in here
    :raises InputError: a tensor is missing, of a wrong shape or not finite; nothing is written
    """
    weights = weights_bytes(tensors)
    record = record.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()})
    made = assemble(name, record, dict(tensors))
    write_together(folder, {f"{name}{WEIGHTS}": weights, f"{name}{RECORD}": record_bytes(record)})
    return made
