"""A model that stable-baselines3 saved itself, as a policy; only where the user trusts the file.

Its zip holds pickled objects (the policy's class and arguments, the spaces), and unpickling runs whatever
code the file's maker put there. So nothing of it is unpickled without the user's word, and with it only what
the policy is rebuilt from.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
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
    entries = _entries(path)
    if not trusted:
        raise InputError(
            f"model {path}: a zip of stable-baselines3; loading it {WARNING}; --trust allows it this once"
        )
    policy, masked = _policy(path, entries)
    act = _act(path, policy, masked)
    return AgentScheduler(act, name or path.name, control, hold_s, masked).policy()


def _entries(path: Path) -> list[str]:
    """Return the names of what a zip's `data` holds; nothing is unpickled.

    :raises InputError: no such file, no zip, or not one of stable-baselines3
    """
    if not path.is_file():
        raise InputError(f"model {path}: there is no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            missing = [part for part in PARTS if part not in archive.namelist()]
            if missing:
                raise InputError(f"model {path}: no model of stable-baselines3: no {missing[0]} in the zip")
            fields = json.loads(archive.read("data"))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, EOFError, ValueError, RuntimeError) as error:
        raise InputError(f"model {path}: damaged ({error})") from error
    if not isinstance(fields, dict) or "policy_class" not in fields:
        raise InputError(f"model {path}: no model of stable-baselines3: its data name no policy")
    return list(fields)


def _policy(path: Path, entries: list[str]) -> tuple[Any, bool]:
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
        data, tensors, _ = load_from_zip_file(path, custom_objects=passed_over, device="cpu")
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
