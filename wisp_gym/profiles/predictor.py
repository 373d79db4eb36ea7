"""The stop predictor of a draft/target pair: a small network that says whether the target will take a token.

NAME.json says what the network is, how it was trained and which score each recall on accepted tokens means;
NAME.safetensors holds its weights. `python -m agents.predictor` writes both.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from wisp_gym._files import read_bytes
from wisp_gym._json import parse_json
from wisp_gym._tensors import load_tensors
from wisp_gym._validation import Checked, build
from wisp_gym.errors import InputError, shown, unknown
from wisp_gym.profiles.figures import Name
from wisp_gym.profiles.load import DATA, resolve

FORMAT = 1
MAX_BYTES = 1 << 20
LARGEST_WEIGHT = 1e6
"""Of the networks trained here none is beyond 100; sums of such weights stay far from overflow."""

FOLDER = DATA / "predictors"
RECORD, WEIGHTS = ".json", ".safetensors"
INPUTS = 4
"""Signals that the network reads: confidence, entropy (nats), top-2 margin, logit spread (nats)."""

FIRST_UNITS = 8
"""Units of the first hidden layer; the compiled code spells their sum out."""
MOST_UNITS = 64
"""Of the second."""

FloatArray = NDArray[np.float32]
Four = Annotated[tuple[float, ...], Field(min_length=INPUTS, max_length=INPUTS)]


class PredictorRecord(Checked):
    """What NAME.json says.

    :ivar format: version of this layout; a reader takes only its own
    :ivar pair: the acceptance profile whose streams it was trained on
    :ivar generator_sha256: of that profile's generator, so that a predictor of older streams is noticed
    :ivar hidden: units of the two hidden layers, clipped below at zero (ReLU)
    :ivar mean: taken off each signal; :ivar scale: what remains is divided by it
    :ivar recalls: shares of the accepted tokens, rising
    :ivar thresholds: the score that this share of them reaches  # as many
    :ivar training: how it was trained
    :ivar held_out: what it reaches on streams of the split "test"
    :ivar source: of the signals' law and of the figures trained towards; :ivar status: how far it is to be
        trusted
    :ivar command: that writes this file again
    :ivar weights_sha256: of NAME.safetensors, in hexadecimal
    """

    format: Literal[1] = 1
    pair: Name
    generator_sha256: str
    hidden: tuple[Literal[8], Annotated[int, Field(ge=1, le=MOST_UNITS)]]
    mean: Four
    scale: Four
    recalls: tuple[float, ...] = Field(min_length=2)
    thresholds: tuple[float, ...] = Field(min_length=2)
    training: dict[str, int | float]
    held_out: dict[str, float]
    source: Name
    status: Literal["estimated"]
    command: str
    weights_sha256: str = ""

    @model_validator(mode="after")
    def _check(self) -> PredictorRecord:
        if len(self.recalls) != len(self.thresholds):
            raise ValueError(f"{len(self.recalls)} recalls, {len(self.thresholds)} thresholds: must be equal")
        if (
            not self.recalls[0] > 0
            or not self.recalls[-1] < 1
            or any(b <= a for a, b in pairwise(self.recalls))
        ):
            raise ValueError("recalls must rise, between 0 and 1")
        if any(b > a for a, b in pairwise(self.thresholds)):
            raise ValueError("thresholds must not increase with recall")
        if not all(1e-6 <= scale <= 1e6 for scale in self.scale):
            raise ValueError("scale must be above 0, 1e-6 to 1e6")
        if not all(abs(mean) <= 1e6 for mean in self.mean):
            raise ValueError("mean must be -1e6 to 1e6")
        return self


class Network(NamedTuple):
    """The weights as the compiled code reads them, the signals' mean and scale taken into the first layer."""

    first: FloatArray  # (8, 4)
    first_bias: FloatArray  # (8,)
    second: FloatArray  # (units, 8)
    second_bias: FloatArray  # (units,)
    last: FloatArray  # (units,)
    last_bias: FloatArray  # (1,)


@dataclass(frozen=True, eq=False)
class Predictor:
    """A stop predictor that is ready to score.

    name: of its files.
    record: what NAME.json says.
    network: the weights.
    sha256: of all that decides its scores and thresholds.
    """

    name: str
    record: PredictorRecord
    network: Network
    sha256: str

    def threshold(self, recall: float) -> float:
        """Return the score that a share `recall` of the accepted tokens reaches, interpolated in the table.

        :raises InputError: a recall outside the table
        """
        known = self.record.recalls
        if not known[0] <= recall <= known[-1]:
            raise InputError(
                f"recall of predictor {self.name}: {recall:g}; allowed: {known[0]:g} to {known[-1]:g}"
            )
        return float(np.interp(recall, known, self.record.thresholds))


def tensor_shapes(hidden: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of NAME.safetensors, by torch's names of the layers."""
    one, two = hidden
    layers = {"0": (one, INPUTS), "2": (two, one), "4": (1, two)}
    return {f"{layer}.weight": shape for layer, shape in layers.items()} | {
        f"{layer}.bias": shape[:1] for layer, shape in layers.items()
    }


def predictor_names() -> list[str]:
    """Return the names of the shipped predictors."""
    return sorted(path.stem for path in FOLDER.glob(f"*{RECORD}"))


def predictor(name: str, base: Path | None = None) -> Predictor:
    """Return a stop predictor.

    :param name: of a shipped one, or the path of a NAME.json beside its NAME.safetensors
    :param base: folder in which a relative path is also looked for
    :raises InputError: there is none, or a file is damaged or does not fit the format
    """
    if name in predictor_names():
        return _shipped(name)
    if not name.endswith(RECORD):
        raise unknown("predictor", name, (*predictor_names(), "FILE.json"))
    return read_predictor(resolve(name, base))


@cache
def _shipped(name: str) -> Predictor:
    return read_predictor(FOLDER / f"{name}{RECORD}")


def read_predictor(path: Path) -> Predictor:
    """Return the predictor of a NAME.json and the NAME.safetensors beside it.

    :raises InputError: a file is missing, damaged or does not fit the format
    """
    record = build(PredictorRecord, _fields(path), f"predictor {path.name}")
    weights = path.with_suffix(WEIGHTS)
    content = read_bytes(weights, MAX_BYTES, "a safetensors file", f"predictor {weights}")
    if hashlib.sha256(content).hexdigest() != record.weights_sha256:
        raise InputError(
            f"predictor {weights.name}: damaged, or not the weights of {path.name} beside it (sha256 differs)"
        )
    return assemble(path.stem, record, load_tensors(content, f"predictor {weights.name}"))


def assemble(name: str, record: PredictorRecord, tensors: dict[str, FloatArray]) -> Predictor:
    """Return a predictor from its record and tensors.

    :param tensors: by torch's names of the layers, see `tensor_shapes`
    :raises InputError: a tensor is missing, of a wrong shape or type, or not finite
    """
    for tensor, shape in tensor_shapes(record.hidden).items():
        found = tensors.get(tensor)
        if found is None or found.shape != shape or found.dtype != np.float32:
            given = "nothing" if found is None else f"{found.dtype} of shape {found.shape}"
            raise InputError(f"predictor {name}: tensor {tensor} must be float32 of {shape}, found {given}")
        if not np.isfinite(found).all():
            raise InputError(f"predictor {name}: tensor {tensor}: a weight is not finite")
        if np.abs(found).max(initial=0.0) > LARGEST_WEIGHT:
            raise InputError(f"predictor {name}: tensor {tensor}: a weight is beyond {LARGEST_WEIGHT:g}")
    first = tensors["0.weight"].astype(np.float64) / np.array(record.scale)
    first_bias = tensors["0.bias"].astype(np.float64) - first @ np.array(record.mean)
    network = Network(
        first.astype(np.float32),
        first_bias.astype(np.float32),
        np.ascontiguousarray(tensors["2.weight"]),
        np.ascontiguousarray(tensors["2.bias"]),
        np.ascontiguousarray(tensors["4.weight"][0]),
        np.ascontiguousarray(tensors["4.bias"]),
    )
    digest = hashlib.sha256(json.dumps([record.recalls, record.thresholds]).encode())
    for part in network:
        digest.update(part.tobytes())
    return Predictor(name, record, network, digest.hexdigest())


def _fields(path: Path) -> Any:
    origin = f"predictor {path}"
    fields = parse_json(read_bytes(path, MAX_BYTES, "a JSON file", origin), origin)
    found = fields.get("format") if isinstance(fields, dict) else None
    if found != FORMAT:
        raise InputError(f"{origin}: format {shown(found)} is not known; this version reads format {FORMAT}")
    return fields
