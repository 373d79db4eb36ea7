"""A model that stable-baselines3 saved itself, as a policy; only where the user trusts the file.

Its zip holds pickled objects (the policy's class and arguments, the spaces), and unpickling runs whatever
code the file's maker put there. So nothing of it is unpickled without the user's word, and with it only what
the policy is rebuilt from.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.spaces import ENVIRONMENT_ID, environment_spaces
from wisp_gym.envs.action import Control
from wisp_gym.errors import InputError

if TYPE_CHECKING:
    from wisp_gym.pipeline import Policy

PARTS = ("data", "policy.pth")
"""Members of the zip that a policy is rebuilt from."""

MOST_BYTES = {"data": 2**24, "policy.pth": 2**29}
"""What a member may hold once it is decompressed: far more than any policy for these spaces takes."""

PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How members may be packed. zipfile bounds what comes out of these at a time; 4 KiB of bzip2 are 180 MiB."""

CHUNK = 2**20
"""Bytes decompressed at a time."""

UNPICKLED = ("policy_class", "policy_kwargs", "observation_space", "action_space", "use_sde")
"""Entries of `data` that are needed; all others are passed over."""

_NEWLINE = "\n"

WARNING = "runs the code that is pickled in it, with your rights; trust only files whose maker you know"
"""What loading such a file does."""


def load(
    path: str | Path, trusted: bool, name: str | None = None, control: Control = "joint", hold_s: float = 0.0
) -> Policy:
    """Return a model saved by PPO, A2C or MaskablePPO as a policy that takes the likeliest action.

    :param path: the zip
    :param trusted: whether the user lets the code in it run
    :param name: what tables call it; the file's name by default
    :param control: which half it decides, as in the environment it was trained in
    :param hold_s: how long its actions hold, simulated seconds, as there
    :raises InputError: no trust, a damaged file, another algorithm, or a model for other spaces
    """
    from wisp_gym.envs import AgentScheduler

    path = Path(path)
    entries = _entries(path, _read(path, ("data",))["data"])
    if not trusted:
        raise InputError(
            f"model {path}: a zip of stable-baselines3; loading it {WARNING}; --trust allows it this once"
        )
    policy, masked = _policy(path, entries, _plain_zip(_read(path, PARTS)))
    act = _act(path, policy, masked)
    return AgentScheduler(act, name or path.name, control, hold_s, masked).policy()


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """Return what a member of the zip holds, decompressed.

    What it says of its size may be a lie, so what comes out is counted as well.

    :raises InputError: it is more than allowed, or packed in another way
    """
    entry = archive.getinfo(name)
    if entry.compress_type not in PACKINGS:
        raise InputError(
            f"model {path}: {name} is packed by method {entry.compress_type}; allowed: stored or deflated"
        )
    _check_size(path, name, entry.file_size)
    content = bytearray()
    with archive.open(name) as member:
        while chunk := member.read(CHUNK):
            content += chunk
            _check_size(path, name, len(content))
    return bytes(content)


def _check_inner(path: Path, name: str, content: bytes) -> None:
    """Refuse a member that is a zip itself and says that it holds more than allowed.

    :raises InputError: it does
    """
    with zipfile.ZipFile(io.BytesIO(content)) as inner:
        _check_size(path, name, sum(entry.file_size for entry in inner.infolist()))


def _check_size(path: Path, name: str, size: int) -> None:
    """Refuse a member of more bytes than allowed.

    :raises InputError: it has more
    """
    if size > MOST_BYTES[name]:
        most = MOST_BYTES[name] >> 20
        raise InputError(f"model {path}: {name} holds more than {most} MiB; allowed: at most that")


def _read(path: Path, parts: Sequence[str]) -> dict[str, bytes]:
    """Return what these members of a zip hold; nothing is unpickled.

    :raises InputError: no such file, no zip, not one of stable-baselines3, or too large
    """
    if not path.is_file():
        raise InputError(f"model {path}: there is no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            missing = [part for part in PARTS if part not in archive.namelist()]
            if missing:
                raise InputError(f"model {path}: no model of stable-baselines3: no {missing[0]} in the zip")
            content = {part: _member(path, archive, part) for part in parts}
            if zipfile.is_zipfile(io.BytesIO(content[parts[-1]])):  # as torch writes weights
                _check_inner(path, parts[-1], content[parts[-1]])
            return content
    except InputError:
        raise
    except Exception as error:  # each decompressor has errors of its own
        raise InputError(f"model {path}: damaged ({_line(error)})") from error


def _entries(path: Path, data: bytes) -> list[str]:
    """Return the names of what a zip's `data` holds; nothing is unpickled.

    :raises InputError: it is not one of stable-baselines3
    """
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"model {path}: damaged ({error})") from error
    if not isinstance(fields, dict) or "policy_class" not in fields:
        raise InputError(f"model {path}: no model of stable-baselines3: its data name no policy")
    return list(fields)


def _plain_zip(members: dict[str, bytes]) -> io.BytesIO:
    """Return members as a zip in memory, uncompressed: what was counted is what is loaded."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    file.seek(0)
    return file


def _policy(path: Path, entries: list[str], content: io.BytesIO) -> tuple[Any, bool]:
    """Return the policy with its weights, and whether it takes a mask. Unpickles.

    :raises InputError: it cannot be rebuilt, is another algorithm's, or for other spaces
    """
    import torch
    from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
    from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.common.save_util import load_from_zip_file

    # A net of this size gains nothing from more, and results must not depend on them.
    torch.set_num_threads(1)
    passed_over = dict.fromkeys(entry for entry in entries if entry not in UNPICKLED)
    try:
        data, tensors, _ = load_from_zip_file(content, custom_objects=passed_over, device="cpu")
        assert data is not None  # load_data is on
        kind, arguments = data["policy_class"], data["policy_kwargs"]
        spaces = data["observation_space"], data["action_space"]
        known = isinstance(kind, type) and issubclass(kind, ActorCriticPolicy | MaskableActorCriticPolicy)
        if not known or issubclass(kind, RecurrentActorCriticPolicy):
            named = getattr(kind, "__name__", kind)
            raise InputError(f"model {path}: its policy is {named}; allowed: those of PPO, A2C, MaskablePPO")
        _check_spaces(path, *spaces)
        own = {} if issubclass(kind, MaskableActorCriticPolicy) else {"use_sde": data.get("use_sde", False)}
        policy = kind(*spaces, lambda _: 0.0, **own, **arguments)
        policy.load_state_dict(tensors["policy"])
    except InputError:
        raise
    except Exception as error:  # whatever the pickled code does
        raise InputError(f"model {path}: cannot be loaded ({_line(error)})") from error
    if not all(torch.isfinite(tensor).all() for tensor in policy.state_dict().values()):
        raise InputError(f"model {path}: a weight is not finite")
    return policy, issubclass(kind, MaskableActorCriticPolicy)


def _check_spaces(path: Path, observations: Any, actions: Any) -> None:
    """Refuse a model for other spaces than the environment's."""
    wanted = environment_spaces()
    counts = np.ravel(getattr(actions, "nvec", ())).tolist()
    if observations.shape != (wanted.observation_size,) or tuple(counts) != wanted.action_counts:
        made_for = (
            f"observations of shape {observations.shape} and actions {str(actions).partition(_NEWLINE)[0]}"
        )
        raise InputError(f"model {path}: made for {made_for}; {ENVIRONMENT_ID} has {wanted}")


def _act(path: Path, policy: Any, masked: bool) -> Callable[..., NDArray[Any]]:
    """Return the function from an observation, and a mask where it takes one, to the likeliest action."""

    def act(observation: NDArray[np.float32], mask: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        more = {"action_masks": mask} if masked else {}
        try:
            action, _ = policy.predict(observation, deterministic=True, **more)
        except Exception as error:  # the policy may be anyone's code
            raise InputError(f"model {path}: its policy fails ({_line(error)})") from error
        chosen: NDArray[Any] = action
        return chosen

    return act


def _line(error: BaseException) -> str:
    """Return an error's kind and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).partition(_NEWLINE)[0]}"
