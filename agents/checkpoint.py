"""Everything that a training run needs to go on as if nothing had happened, in one file of plain arrays.

It is taken between an update and the next rollout, where the rollout buffer is empty. safetensors holds the
arrays; numbers and names are JSON in its header. Nothing in it runs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors
import safetensors.numpy
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from agents import generators
from agents.environment import TrainingEnvironments
from agents.files import CHECKPOINT, check_there
from agents.validation import ValidationRow
from wisp_gym._json import parse_json
from wisp_gym.errors import InputError
from wisp_gym.evaluation.output import write_together

FORMAT = 2

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """A run's state.

    :param run: digest of the record of the run that it belongs to
    :param timesteps: decisions learned from
    :param updates: the learner's counter of updates
    :param curves: values that wait to be drawn
    :param rows: of the validation so far
    :param arrays: of policy, optimiser, environments, generators and learner, by "part/name"
    """

    run: str
    timesteps: int
    updates: int
    curves: dict[str, float]
    rows: tuple[ValidationRow, ...]
    arrays: Arrays


def take(learner: OnPolicyAlgorithm, run: str, rows: Sequence[ValidationRow]) -> Checkpoint:
    """Return a learner's state between an update and the next rollout.

    :param learner: in training
    :param run: digest of the run's record
    :param rows: of the validation so far
    """
    environments = cast(TrainingEnvironments, learner.get_env())
    parts: dict[str, Mapping[str, NDArray[Any]]] = {
        "policy": {name: tensor.numpy() for name, tensor in learner.policy.state_dict().items()},
        "optimiser": _optimiser_arrays(learner.policy.optimizer),
        "environments": environments.capture(),
        "generators": generators.capture(),
        "learner": _learner_arrays(learner),
    }
    arrays = {f"{part}/{name}": array for part, held in parts.items() for name, array in held.items()}
    waiting = {
        name: float(value)
        for name, value in learner.logger.name_to_value.items()
        if isinstance(value, int | float | np.number)
    }
    return Checkpoint(run, learner.num_timesteps, learner._n_updates, waiting, tuple(rows), arrays)


def put_back(checkpoint: Checkpoint, learner: OnPolicyAlgorithm) -> None:
    """Bring a freshly built learner, its environments and the generators to a checkpoint's state.

    :param checkpoint: of a run with the same settings
    :param learner: as `learners.build` made it
    :raises InputError: the checkpoint does not fit
    """
    parts: dict[str, Arrays] = {}
    for name, array in checkpoint.arrays.items():
        part, _, rest = name.partition("/")
        parts.setdefault(part, {})[rest] = array
    environments = cast(TrainingEnvironments, learner.get_env())
    try:
        learner.policy.load_state_dict({name: torch.from_numpy(a) for name, a in parts["policy"].items()})
        _restore_optimiser(learner.policy.optimizer, parts.get("optimiser", {}))
        environments.restore(parts["environments"])
        _restore_learner(learner, parts["learner"], checkpoint)
        generators.restore(parts["generators"])
    except InputError as error:
        raise InputError(f"{CHECKPOINT}: {error}") from error
    except (LookupError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{CHECKPOINT}: not one of this version ({error})") from error


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the one before stays until the new one is whole.

    :param folder: the run's
    :param checkpoint: what to write
    :raises InputError: the folder has gone
    :raises OSError: it cannot be written
    """
    # Not ascontiguousarray, which gives an array without axes one.
    arrays = {name: np.require(array, requirements="C") for name, array in checkpoint.arrays.items()}
    header = {
        "format": FORMAT,
        "run": checkpoint.run,
        "arrays_sha256": _digest(arrays),
        "timesteps": checkpoint.timesteps,
        "updates": checkpoint.updates,
        "curves": checkpoint.curves,
        "rows": [asdict(row) for row in checkpoint.rows],
    }
    content = safetensors.numpy.save(arrays, metadata={"checkpoint": json.dumps(header)})
    check_there(folder)
    write_together(folder, {CHECKPOINT: content})


def load(folder: Path) -> Checkpoint | None:
    """Return a run's checkpoint, None where it has none yet.

    :param folder: the run's
    :raises InputError: it cannot be read, or is of another format
    """
    path = folder / CHECKPOINT
    if not path.exists() and not path.is_symlink():
        return None
    if not path.is_file():
        raise InputError(f"checkpoint {path}: must be an ordinary file")
    try:
        with safetensors.safe_open(os.fspath(path), "np") as file:
            header = parse_json(file.metadata()["checkpoint"], f"checkpoint {path}", not_finite=True)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        if header["format"] != FORMAT:
            raise InputError(f"checkpoint {path}: format {header['format']!r}; this version reads {FORMAT}")
        rows = tuple(ValidationRow(**row) for row in header["rows"])
        _check_header(header, rows)
        if header["arrays_sha256"] != _digest(arrays):
            raise ValueError("its arrays are not those that were written")
        return Checkpoint(
            header["run"], header["timesteps"], header["updates"], header["curves"], rows, arrays
        )
    except InputError:
        raise
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"checkpoint {path}: cannot be read ({error})") from error


def _digest(arrays: Arrays) -> str:
    """Return a hash of arrays, their names, kinds and shapes: a flipped bit would go on as another run."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _check_header(header: Any, rows: Sequence[ValidationRow]) -> None:
    """Check the numbers and names beside the arrays.

    :raises ValueError: one is of another type
    """
    counts = [header["timesteps"], header["updates"], *(row.timesteps for row in rows)]
    curves = header["curves"]
    numbers = [value for row in rows for value in astuple(row)]
    plain = (
        isinstance(header["run"], str)
        and all(type(count) is int and 0 <= count < 1 << 62 for count in counts)
        and isinstance(curves, dict)
        and all(type(value) in (int, float) for value in [*curves.values(), *numbers])
    )
    if not plain:
        raise ValueError("a number or name in its header is none")


def _optimiser_arrays(optimiser: torch.optim.Optimizer) -> Arrays:
    """Return what an optimiser remembers, by "parameter/name"."""
    state = optimiser.state_dict()["state"]
    return {
        f"{index}/{name}": tensor.numpy() for index, held in state.items() for name, tensor in held.items()
    }


def _restore_optimiser(optimiser: torch.optim.Optimizer, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Put back what an optimiser remembered.

    :raises InputError: of a parameter that is not there, or of another shape
    """
    shapes = [tuple(held.shape) for group in optimiser.param_groups for held in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, array in arrays.items():
        index, _, entry = name.partition("/")
        allowed = ((), (1,), shapes[int(index)])  # a counter of steps, or a number for each weight
        if array.shape not in allowed or array.dtype != np.float32 or not np.isfinite(array).all():
            raise InputError(f"optimiser/{name[:60]}; allowed: finite float32 of shape {shapes[int(index)]}")
        state.setdefault(int(index), {})[entry] = torch.from_numpy(array)
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _learner_arrays(learner: OnPolicyAlgorithm) -> Arrays:
    """Return the last observations, and the last episodes' returns and lengths."""
    episodes = learner.ep_info_buffer or ()
    return {
        "observations": np.array(learner._last_obs),
        "starts": np.array(learner._last_episode_starts),
        "episode_returns": np.array([episode["r"] for episode in episodes], np.float64),
        "episode_lengths": np.array([episode["l"] for episode in episodes], np.int64),
    }


def _restore_learner(learner: OnPolicyAlgorithm, arrays: Arrays, checkpoint: Checkpoint) -> None:
    """Put back what the learner last saw and counted.

    :raises InputError: observations or beginnings of another shape or kind
    """
    copies = (learner.n_envs,)
    spaces = {"observations": (copies + (learner.observation_space.shape or ()), np.float32)}
    for name, (shape, kind) in (spaces | {"starts": (copies, np.bool_)}).items():
        kept = arrays[name]
        if kept.shape != shape or kept.dtype != kind or not np.isfinite(kept).all():
            raise InputError(f"learner/{name}; allowed: finite {np.dtype(kind)} of shape {shape}")
    learner.num_timesteps, learner._n_updates = checkpoint.timesteps, checkpoint.updates
    learner._last_obs, learner._last_episode_starts = arrays["observations"], arrays["starts"]
    returns, lengths = arrays["episode_returns"].tolist(), arrays["episode_lengths"].tolist()
    episodes = ({"r": gained, "l": length} for gained, length in zip(returns, lengths, strict=True))
    learner.ep_info_buffer = deque(episodes, maxlen=learner._stats_window_size)
    learner.ep_success_buffer = deque(maxlen=learner._stats_window_size)
    for name, value in checkpoint.curves.items():
        learner.logger.record(name, value)
