"""A trained model on disk: weights in model.safetensors, all else in model.json. Neither holds code."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import safetensors.numpy

from agents.files import MODEL_RECORD, MODEL_WEIGHTS, RUN_RECORD
from agents.network import ActorNetwork, Floats, actor_layers, build_actor
from agents.settings import Settings
from agents.spaces import Spaces, environment_spaces
from wisp_gym._files import read_bytes
from wisp_gym._json import parse_json
from wisp_gym._tensors import load_tensors
from wisp_gym._validation import Checked, build
from wisp_gym.errors import InputError, shown
from wisp_gym.evaluation.output import write_together

if TYPE_CHECKING:
    from wisp_gym.pipeline import Policy

FORMAT = 1
MAX_RECORD_BYTES = 1 << 20
SPARE_BYTES = 1 << 20
"""Room in model.safetensors for names, beside the weights of actor and critic."""

LARGEST_WEIGHT = 1e9
"""Networks that learn stay far below; sums of larger weights overflow."""


class ModelRecord(Checked):
    """What model.json says. It holds no clock times: the same run writes the same bytes.

    :ivar format: version of this layout; a reader takes only its own
    :ivar environment: id of the environment that it was trained in
    :ivar observation_size: entries of an observation
    :ivar action_counts: choices of each action component
    :ivar scenario: name or path of the training scenario
    :ivar overrides: changes to that scenario, as "key=value"
    :ivar seed: of the weights, the sampled actions and the training worlds
    :ivar timesteps: decisions learned from
    :ivar complete: whether training ran to its end
    :ivar settings: the agent's settings; `settings.hidden` is the architecture
    :ivar versions: of Python and the packages that shaped the weights
    :ivar weights_sha256: of model.safetensors, in hexadecimal
    """

    format: Literal[1] = 1
    environment: str
    observation_size: int
    action_counts: tuple[int, ...]
    scenario: str
    overrides: tuple[str, ...]
    seed: int
    timesteps: int
    complete: bool
    settings: Settings
    versions: dict[str, str]
    weights_sha256: str = ""


def save(folder: Path, tensors: Mapping[str, Floats], record: ModelRecord) -> None:
    """Write a model, both files or neither.

    :param folder: made if it is missing
    :param tensors: the learner's tensors by name
    :param record: what they are; its hash is filled in here
    :raises InputError: a weight is not finite: training diverged, and nothing is written
    """
    _check_finite(tensors, "training diverged: try a lower learning_rate")
    weights = safetensors.numpy.save({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)})
    digest = hashlib.sha256(weights).hexdigest()
    text = record.model_copy(update={"weights_sha256": digest}).model_dump_json(indent=2)
    write_together(folder, {MODEL_WEIGHTS: weights, MODEL_RECORD: f"{text}\n".encode()}, MODEL_RECORD)


def load(path: str | Path, name: str | None = None) -> Policy:
    """Return a trained model as a policy: it takes the likeliest action in every state.

    :param path: the run's folder, or one of the model's two files
    :param name: what tables call it; the folder's name by default
    :raises InputError: files missing, damaged or of another format, or a model for other spaces
    """
    from wisp_gym.envs import AgentScheduler

    folder = model_folder(path)
    record, actor = read(folder)
    settings = record.settings
    called = name or folder.resolve().name
    return AgentScheduler(actor, called, settings.control, settings.hold_s, settings.masked).policy()


def model_folder(path: str | Path) -> Path:
    """Return the folder that a model's path means, the path being that folder or a file of the model in it.

    :raises InputError: there is no model
    """
    path = Path(path)
    folder = path.parent if path.name in (MODEL_WEIGHTS, MODEL_RECORD) else path
    for file in (MODEL_WEIGHTS, MODEL_RECORD):
        try:
            there, begun = (folder / file).is_file(), (folder / RUN_RECORD).is_file()
        except (OSError, ValueError) as error:
            raise InputError(f"model {path}: {getattr(error, 'strerror', None) or error}") from None
        if not there:
            hint = f"; train.py --resume {folder} goes on with the run that is there" if begun else ""
            raise InputError(
                f"model {path}: no {file} in {folder}; "
                f"a trained model has {MODEL_WEIGHTS} and {MODEL_RECORD}{hint}"
            )
    return folder


def read(folder: Path, spaces: Spaces | None = None) -> tuple[ModelRecord, ActorNetwork]:
    """Return a model's record and its actor, rebuilt from the two files alone.

    :param folder: where the two files are
    :param spaces: those it must be made for; EdgeCloud-v0's by default
    :raises InputError: files damaged or of another format, or a model for other spaces
    """
    record = _read_record(folder / MODEL_RECORD)
    wanted, made_for = spaces or environment_spaces(), Spaces(record.observation_size, record.action_counts)
    if made_for != wanted:
        raise InputError(f"model {folder}: made for {made_for}; this environment has {wanted}")
    layers = actor_layers(record.settings.hidden, *vars(made_for).values())
    tensors = _read_tensors(
        folder / MODEL_WEIGHTS, record, sum(math.prod(shape) for shape in layers.values())
    )
    for layer, shape in layers.items():
        found = tensors[layer].shape if layer in tensors else "nothing"
        if found != shape:
            raise InputError(f"model {folder}: tensor {layer} must have shape {shape}, found {found}")
        if tensors[layer].dtype != np.float32:
            raise InputError(f"model {folder}: tensor {layer} must be float32, found {tensors[layer].dtype}")
    return record, build_actor(tensors, list(layers), record.action_counts)


def _read_record(path: Path) -> ModelRecord:
    fields: Any = parse_json(
        read_bytes(path, MAX_RECORD_BYTES, "a JSON file", f"model {path}"), f"model {path}"
    )
    found = fields.get("format") if isinstance(fields, dict) else None
    if found != FORMAT:
        raise InputError(
            f"model {path}: format {shown(found)} is not known; this version reads format {FORMAT}"
        )
    return build(ModelRecord, fields, f"model {path}")


def _read_tensors(path: Path, record: ModelRecord, weights: int) -> dict[str, Floats]:
    """Return a model's tensors; `weights` says how many numbers its actor has, the critic has fewer."""
    most_bytes = 2 * np.dtype(np.float32).itemsize * weights + SPARE_BYTES
    content = read_bytes(path, most_bytes, "the weights of its record", f"model {path}")
    if hashlib.sha256(content).hexdigest() != record.weights_sha256:
        raise InputError(
            f"model {path}: damaged, or not the weights of {MODEL_RECORD} beside it (sha256 differs)"
        )
    tensors = load_tensors(content, f"model {path}")
    _check_finite(tensors, f"model {path}: a weight is not finite, or beyond {LARGEST_WEIGHT:g}")
    return tensors


def _check_finite(tensors: Mapping[str, Floats], message: str) -> None:
    if not all((np.abs(tensor) <= LARGEST_WEIGHT).all() for tensor in tensors.values()):
        raise InputError(message)
