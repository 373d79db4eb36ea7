"""From data to a pydantic model; what does not fit becomes one line: field, value, what is allowed."""

from __future__ import annotations

import json
import types
import typing
from typing import Any, TypeVar, Union

from pydantic import BaseModel, ConfigDict, ValidationError

from wisp_gym.errors import InputError, nearest

Model = TypeVar("Model", bound=BaseModel)


class Checked(BaseModel):
    """Base of every model that is read from a file: immutable, no unknown keys, NaN or silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


def printable(name: str) -> str:
    """Return a name that a terminal can show; escapes and marks of direction could pass for something else.

    :raises ValueError: it holds what does not print
    """
    if not name.isprintable():
        raise ValueError(f"{name!a} must be printable text")
    return name


def build(model: type[Model], data: Any, origin: str) -> Model:
    """Return `data` as a `model`.

    :param model: the model that describes the data
    :param data: mappings, lists, text, numbers, true, false, None
    :param origin: what to call the data in an error, as in a file's path
    :raises InputError: where the data does not fit
    """
    try:
        # By way of JSON: strict validation then takes a list for a tuple, yet no text for a number.
        return model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise InputError(f"{origin}: {_explain(model, error)}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{origin}: not plain data ({str(error)[:80]})") from None


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    problem = min(error.errors(include_url=False), key=_importance)
    location = problem["loc"]
    field = ".".join(str(part) for part in location)
    if problem["type"] == "extra_forbidden":
        known = _fields_at(model, location[:-1])
        return f"unknown key {field!r}: {nearest(str(location[-1]), known)}"
    if problem["type"] == "missing":
        return f"{field} is missing"
    message = (
        problem["msg"]
        .removeprefix("Value error, ")
        .replace("Input should", "must")
        .replace("an object", "a mapping")
    )
    shown = "" if problem["type"] == "value_error" else f" = {_shorten(problem['input'])}"
    return f"{field}{shown}: {message}" if field else message


def _importance(problem: Any) -> int:
    # A misspelt key also leaves the right one missing: name the misspelt one.
    return 0 if problem["type"] == "extra_forbidden" else 1


def _shorten(value: Any, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys known at a place inside `model`."""
    kind: Any = model
    for part in location:
        kind = _step(kind, part)
    kind = _unwrap(kind)
    return list(kind.model_fields) if _is_model(kind) else []


def _step(kind: Any, part: int | str) -> Any:
    kind = _unwrap(kind)
    if _is_model(kind):
        field = kind.model_fields.get(str(part))
        return field.annotation if field else None
    arguments = typing.get_args(kind)
    if not arguments:
        return None
    return arguments[0] if isinstance(part, int) else arguments[-1]


def _unwrap(kind: Any) -> Any:
    """Strip Optional and Annotated from a type."""
    if typing.get_origin(kind) is typing.Annotated:
        return _unwrap(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (Union, types.UnionType):
        kinds = [argument for argument in typing.get_args(kind) if argument is not type(None)]
        return _unwrap(kinds[0]) if len(kinds) == 1 else None
    return kind


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
