"""Reading JSON that strangers wrote: plain data, or one line that says what is wrong."""

from __future__ import annotations

import json
from typing import Any

from wisp_gym.errors import InputError


def parse_json(content: bytes | str, origin: str, not_finite: bool = False) -> Any:
    """Return the data that JSON holds: mappings, lists, text, numbers, true, false, None.

    :param content: UTF-8 where it is bytes
    :param origin: what to call it in an error, as in a path
    :param not_finite: take NaN and infinity, which JSON does not have and this library writes in places
    :raises InputError: it is not JSON, a key comes twice, or it is nested beyond reading
    """

    def constant(name: str) -> float:
        if not not_finite:
            raise ValueError(f"{name} is not finite")
        return float(name)

    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=_mapping, parse_constant=constant)
    except UnicodeDecodeError:
        raise InputError(f"{origin}: cannot be read (not UTF-8 text)") from None
    except RecursionError:
        raise InputError(f"{origin}: cannot be read (nested too deeply)") from None
    except ValueError as error:
        raise InputError(f"{origin}: cannot be read ({str(error)[:200]})") from None


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a mapping, refusing a key that comes twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)[:40]!r} comes twice")
    return found
