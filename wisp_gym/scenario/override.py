"""Changing single fields of a scenario from text such as `fleet.devices=160`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from wisp_gym._yaml import parse
from wisp_gym.errors import InputError, shown


def apply(data: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a copy of a scenario's data with fields replaced; a later override wins.

    :param data: a scenario file's mapping
    :param overrides: "key.key=value" with a YAML value; a number as key picks a list's entry, counted from 0
    :raises InputError: where one is not of that form or leads through something that has no keys
    """
    if not isinstance(overrides, list | tuple) or not all(isinstance(text, str) for text in overrides):
        raise InputError(f"overrides = {shown(overrides)}: must be a list of texts key=value")
    result = copy.deepcopy(data)
    for override in overrides:
        path, value = _split(override)
        _set(result, path, value, override)
    return result


def _split(override: str) -> tuple[list[str], Any]:
    key, equals, text = str(override).partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise InputError(f"override {override!r}: must be key=value, as in fleet.devices=160")
    return path, parse(text, f"override {override!r}")


def _set(data: dict[str, Any], path: list[str], value: Any, override: str) -> None:
    place: Any = data
    for key in path[:-1]:
        place = _enter(place, key, override)
    if isinstance(place, dict):
        place[path[-1]] = value
    elif isinstance(place, list):
        place[_index(place, path[-1], override)] = value
    else:
        raise InputError(f"override {override!r}: {'.'.join(path[:-1])} has no keys")


def _enter(place: Any, key: str, override: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, key, override)]
    if not isinstance(place, dict):
        raise InputError(f"override {override!r}: nothing inside has the key {key!r}")
    # A section left to its defaults is not in the file; the check that follows knows whether it exists.
    return place.setdefault(key, {})


def _index(items: list[Any], key: str, override: str) -> int:
    if not (key.isascii() and key.isdigit() and len(key) < 10 and int(key) < len(items)):
        raise InputError(f"override {override!r}: {key!r} must be an entry's number, 0..{len(items) - 1}")
    return int(key)
