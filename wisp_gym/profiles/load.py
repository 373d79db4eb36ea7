"""Finding, reading and checking profile files."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TypeVar

from wisp_gym._validation import build
from wisp_gym._yaml import read_mapping
from wisp_gym.errors import InputError, nearest, unknown
from wisp_gym.profiles.acceptance import AcceptanceProfile
from wisp_gym.profiles.device import DeviceProfile
from wisp_gym.profiles.figures import Profile, Source
from wisp_gym.profiles.network import NetworkProfile
from wisp_gym.profiles.server import ServerProfile

DATA = Path(__file__).parent / "data"

KINDS: dict[type[Profile], tuple[str, str]] = {
    ServerProfile: ("server", "servers"),
    DeviceProfile: ("device", "devices"),
    NetworkProfile: ("network", "networks"),
    AcceptanceProfile: ("acceptance", "acceptance"),
}
"""The word and the folder of each kind of profile."""

AnyProfile = TypeVar("AnyProfile", bound=Profile)


def names(kind: str) -> list[str]:
    """Return the names of the shipped profiles of one kind: "server", "device", "network" or "acceptance"."""
    return sorted(path.stem for path in _folder(kind).glob("*.yaml"))


def path_of(kind: str, name: str) -> Path:
    """Return the file of a shipped profile.

    :raises InputError: where there is none of that name; the known ones are listed
    """
    if name not in names(kind):
        raise unknown(f"{kind} profile", name, names(kind))
    return _folder(kind) / f"{name}.yaml"


def _folder(kind: str) -> Path:
    folders = dict(KINDS.values())
    if kind not in folders:
        raise unknown("kind of profile", kind, folders)
    return DATA / folders[kind]


def server(name: str, base: Path | None = None) -> ServerProfile:
    """Return a server profile by name or path of a YAML file.

    :param base: folder in which a relative path is also looked for
    :raises InputError: where there is none, or the file does not fit the format
    """
    return _load(ServerProfile, name, base)


def device(name: str, base: Path | None = None) -> DeviceProfile:
    """Return a device profile by name or path of a YAML file; parameters and errors as for `server`."""
    return _load(DeviceProfile, name, base)


def network(name: str, base: Path | None = None) -> NetworkProfile:
    """Return a network profile by name or path of a YAML file; parameters and errors as for `server`."""
    return _load(NetworkProfile, name, base)


def acceptance(name: str, base: Path | None = None) -> AcceptanceProfile:
    """Return an acceptance profile by name or path of a YAML file; parameters and errors as for `server`."""
    return _load(AcceptanceProfile, name, base)


def _load(model: type[AnyProfile], name: str, base: Path | None) -> AnyProfile:
    kind = KINDS[model][0]
    if name in names(kind):
        profile = _shipped(model, name)
        assert isinstance(profile, model)
        return profile
    if not looks_like_path(name):
        raise unknown(f"{kind} profile", name, names(kind))
    path = resolve(name, base)
    return check_sources(build(model, read_mapping(path), str(path)), str(path))


def looks_like_path(name: str) -> bool:
    """Return whether a name of a profile or scenario means a file rather than a shipped one."""
    return name.endswith((".yaml", ".yml")) or "/" in name or "\\" in name


def resolve(name: str, base: Path | None) -> Path:
    """Return the path a user means: from the current folder, else from `base`.

    :param name: an absolute or relative path
    :param base: folder of the file that names it, if any
    """
    path = Path(name)
    try:
        found = path.exists()
    except (OSError, ValueError):
        found = True  # Reading it then gives the error.
    return path if found or base is None or path.is_absolute() else base / path


@cache
def _shipped(model: type[Profile], name: str) -> Profile:
    path = path_of(KINDS[model][0], name)
    return check_sources(build(model, read_mapping(path), path.name), path.name)


@cache
def shared_sources() -> dict[str, Source]:
    """Return the sources that every profile may cite, by key."""
    return {
        key: build(Source, entry, f"sources.yaml: {key}")
        for key, entry in read_mapping(DATA / "sources.yaml").items()
    }


def check_sources(profile: AnyProfile, origin: str) -> AnyProfile:
    """Return the profile if all that it cites is known.

    :raises InputError: where a figure cites a source that neither sources.yaml nor the profile describes
    """
    known = {**shared_sources(), **profile.sources}
    cited = {place: figure.source for place, figure in profile.figures()}
    for place, key in cited.items():
        if key not in known:
            raise InputError(f"{origin}: {place}.source = {key!r}: unknown source; {nearest(key, known)}")
    return profile


def digest(profile: Profile) -> str:
    """Return the SHA-256 (hexadecimal) of a profile's content."""
    text = json.dumps(profile.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
