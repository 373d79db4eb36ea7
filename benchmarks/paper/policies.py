"""Policies by name, and variants with single settings replaced, as in `sled[scheduler.static_size=4]`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import baselines
import wisp_gym
from wisp_gym.errors import InputError
from wisp_gym.pipeline import Policy

MARK = "#"


def variant(base: str, **settings: object) -> str:
    """Return the name of a policy with settings replaced.

    :param base: a name that `baselines.resolve` knows
    :param settings: by half and field, with two underscores between, as in scheduler__static_size=4
    """
    if not settings:
        return base
    parts = (
        f"{name.replace('__', '.')}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in settings.items()
    )
    return f"{base}[{','.join(parts)}]"


def resolve(name: str) -> Policy:
    """Return the policy that a name means, a new one at every call.

    :param name: of `baselines.resolve`, or a variant; what follows a # is left out
    :raises InputError: the policy or one of its settings does not exist
    """
    spelt = name.partition(MARK)[0]
    base, bracket, settings = spelt.partition("[")
    policy = baselines.resolve(base)
    if not bracket:
        return policy
    halves: dict[str, Any] = {"drafter": policy.drafter, "scheduler": policy.scheduler}
    for part in settings.removesuffix("]").split(","):
        place, _, text = part.partition("=")
        half, _, field = place.partition(".")
        if half not in halves or not hasattr(halves[half], field):
            raise InputError(f"policy {spelt!r}: {place!r}: must be a field of its drafter or its scheduler")
        halves[half] = replace(halves[half], **{field: yaml.safe_load(text)})
    return Policy(spelt, halves["drafter"], halves["scheduler"])


def candidates(name: str) -> tuple[str, ...]:
    """Return the one name that a name stands for, with a hash of what it rests on.

    Rows of an earlier run count only where that is the same, however the name is spelt.
    """
    policy = resolve(name)
    text = f"{policy.drafter!r} {policy.scheduler!r} {_data_digest()}"
    return (f"{name}{MARK}{hashlib.sha256(text.encode()).hexdigest()[:12]}",)


@cache
def _data_digest() -> str:
    """Return a hash of the library's data files: profiles, and what controllers have learned."""
    folder = Path(wisp_gym.__file__).parent / "profiles" / "data"
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.read_bytes())
    return digest.hexdigest()
