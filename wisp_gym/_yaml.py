"""Reading YAML that strangers wrote: plain data of limited size, or one line that says what is wrong."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from wisp_gym._files import read_bytes
from wisp_gym.errors import InputError

MAX_BYTES = 1 << 20
MAX_DEPTH = 16

FLOAT = re.compile(
    r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
)


class PlainLoader(yaml.SafeLoader):
    """YAML's JSON-like core: mappings with text or number keys, lists, text, numbers, true, false, null.

    Dates, base-60 numbers and `yes`/`no` stay text. Aliases, repeated keys, NaN, infinity and deep nesting
    are refused.
    """

    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """Compose one node, refusing aliases and nesting deeper than MAX_DEPTH."""
        if self.check_event(yaml.AliasEvent):  # type: ignore[no-untyped-call]
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "aliases are not allowed", mark)
        tag = getattr(self.peek_event(), "tag", None)  # type: ignore[no-untyped-call]
        if tag not in (None, "!"):  # a lone "!" is PyYAML's own mark of a quoted text
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, f"the tag {tag} is not allowed", mark)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, f"nesting deeper than {MAX_DEPTH} levels", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping, refusing a key that comes twice or is not text or a number."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node) if isinstance(key_node, ScalarNode) else None
            if isinstance(key, bool) or not isinstance(key, str | int | float):
                raise yaml.MarkedYAMLError(None, None, "a key must be text", key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f"the key {key!r} comes twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _construct_float(loader: PlainLoader, node: ScalarNode) -> float:
    text = str(node.value).lower()
    number = math.nan if text.lstrip("+-").startswith(".i") or text == ".nan" else float(text)
    if not math.isfinite(number):
        raise yaml.MarkedYAMLError(None, None, f"the number {node.value} is not finite", node.start_mark)
    return number


def _construct_int(loader: PlainLoader, node: ScalarNode) -> int:
    if len(node.value) > 19:
        raise yaml.MarkedYAMLError(
            None, None, f"the number {node.value[:20]}... is too long", node.start_mark
        )
    return int(node.value)


PlainLoader.yaml_implicit_resolvers = {}  # none of PyYAML's usual rules
PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"^(~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^([Tt]rue|TRUE|[Ff]alse|FALSE)$"), list("tTfF")
)
PlainLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
PlainLoader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))
PlainLoader.add_constructor("tag:yaml.org,2002:float", _construct_float)
PlainLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def parse(text: str, origin: str) -> Any:
    """Return the data that a YAML text holds.

    :param text: one YAML document
    :param origin: what to call it in an error, as in a path or "--set"
    :raises InputError: where the text is not plain YAML
    """
    try:
        return yaml.load(text, Loader=PlainLoader)  # noqa: S506 (PlainLoader is a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"{origin}{where}: {error.problem or 'not valid YAML'}") from None
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{origin}: not valid YAML ({str(error)[:80]})") from None


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    :param path: an ordinary file of at most MAX_BYTES bytes
    :raises InputError: where the file cannot be read or does not hold one mapping
    """
    data = parse(_read_text(path), str(path))
    if not isinstance(data, dict):
        kind = "nothing" if data is None else type(data).__name__
        raise InputError(f"{path}: holds {kind}, must be a mapping of keys to values")
    return data


def _read_text(path: Path) -> str:
    try:
        return read_bytes(path, MAX_BYTES, "a YAML file").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None
