"""What can be wrong with a file: damage to its bytes or its rows, something else in its place."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.fuzz.odd import DEEP, as_text, mutated, short


def damaged(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Return a file's bytes with something done to them, and what."""
    lines = content.splitlines(keepends=True) or [b"\n"]
    at, line = rng.randrange(len(content) + 1), rng.randrange(len(lines))
    noise = rng.randbytes(rng.choice((1, 8, 4096)))
    ways: dict[str, Callable[[], bytes]] = {
        "empty": lambda: b"",
        "one blank": lambda: b" ",
        "blank lines": lambda: b"\n" * 1000,
        f"cut at {at}": lambda: content[:at],
        f"begun at {at}": lambda: content[at:],
        f"{len(noise)} random bytes at {at}": lambda: content[:at] + noise + content[at:],
        "random bytes alone": lambda: noise,
        "a NUL": lambda: content[:at] + b"\0" + content[at:],
        "a byte order mark": lambda: b"\xef\xbb\xbf" + content,
        "two byte order marks": lambda: b"\xef\xbb\xbf" * 2 + content,
        "UTF-16": lambda: content.decode("utf-8", "replace").encode("utf-16"),
        "UTF-32": lambda: content.decode("utf-8", "replace").encode("utf-32"),
        "latin-1": lambda: b"# \xe9\xe8\n" + content,
        "CRLF": lambda: content.replace(b"\n", b"\r\n"),
        "CR": lambda: content.replace(b"\n", b"\r"),
        "tabs": lambda: content.replace(b"  ", b"\t"),
        f"line {line + 1} twice": lambda: b"".join([*lines[: line + 1], *lines[line:]]),
        f"line {line + 1} gone": lambda: b"".join([*lines[:line], *lines[line + 1 :]]),
        "twice": lambda: content + content,
        "a second document": lambda: content + b"\n---\n" + content,
        "2 MiB of comment": lambda: content + b"#" * (2 << 20),
        "2 MiB in a line": lambda: b"x" * (2 << 20),
        f"{DEEP} levels": lambda: b"[" * DEEP + b"]" * DEEP,
        f"{DEEP} levels of mappings": lambda: b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        "levels by indentation": lambda: b"".join(b" " * i + b"a:\n" for i in range(1000)),
        "aliases by the billion": _bomb,
        "a cycle": lambda: b"&a\nname: *a\n",
        "a tag": lambda: b"!!python/object/apply:os.system ['touch tagged']\n",
        "a tagged mapping": lambda: b"!!python/object:builtins.dict\n" + content,
        "merge keys": lambda: b"<<: {a: 1}\n" + content,
        "escapes": lambda: b"\x1b[2J\x1b[31m" + content,
        "line separators": lambda: content.replace(b"\n", "\u2028".encode()),
        "surrogates": lambda: b"\xed\xa0\x80" + content,
    }
    what = rng.choice(list(ways))
    return ways[what](), what


def _bomb() -> bytes:
    """Return YAML whose aliases stand for a billion entries."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    return "\n".join(lines).encode()


def replaced(path: Path, content: bytes, rng: random.Random) -> str:
    """Put something else in a file's place, and return what.

    :param path: of the file; it is not there yet
    :param content: what a good file would hold
    """
    ways: dict[str, Callable[[], Any]] = {
        "missing": lambda: None,
        "a folder": path.mkdir,
        "a pipe": lambda: os.mkfifo(path),
        "a link to nowhere": lambda: path.symlink_to("nowhere"),
        "a circular link": lambda: path.symlink_to(path.name),
        "a link to /dev/zero": lambda: path.symlink_to("/dev/zero"),
        "a link to /dev/null": lambda: path.symlink_to("/dev/null"),
        "a link to /dev/full": lambda: path.symlink_to("/dev/full"),
        "a link to /proc/self/mem": lambda: path.symlink_to("/proc/self/mem"),
        "no permission": lambda: (path.write_bytes(content), path.chmod(0)),
        "a sparse file of 64 GiB": lambda: (path.write_bytes(content), os.truncate(path, 64 << 30)),
        "a link to a good file": lambda: (
            path.with_name("good").write_bytes(content),
            path.symlink_to(path.with_name("good")),
        ),
    }
    what = rng.choice(list(ways))
    ways[what]()
    return what


def spoil(path: Path, data: Any, form: str, rng: random.Random) -> str:
    """Write a file with something wrong and return what.

    :param path: of the file
    :param data: what a good file would hold
    :param form: "yaml" or "json"
    """
    good = as_text(data, form)
    chance = rng.random()
    if chance < 0.05:
        path.write_bytes(good)
        return f"{path.name}: nothing"
    if chance < 0.15:
        return f"{path.name}: {replaced(path, good, rng)}"
    if chance < 0.35:
        content, what = damaged(good, rng)
    else:
        data, what = mutated(data, rng)
        content = as_text(data, form)
    path.write_bytes(content)
    return f"{path.name}: {what}"


def spoil_bytes(path: Path, good: bytes, rng: random.Random) -> str:
    """Write a file of which only the bytes are known, with something wrong, and return what."""
    if rng.random() < 0.35:
        return f"{path.name}: {replaced(path, good, rng)}"
    content, what = damaged(good, rng)
    path.write_bytes(content)
    return f"{path.name}: {what}"


FIELDS = (
    "",
    " ",
    "-1",
    "0",
    "1e9",
    "1e400",
    "nan",
    "inf",
    "0x10",
    "1_0",
    "1.5",
    "½",
    "\u0661",
    "abc",
    "\0",
    '"',
    '"a\nb"',
    "\ud800",
    "\x1b[31m",
    "99999999999999999999",
    "1" * 5000,
    "x" * 20_000,
    "2023-11-16 25:00:00",
    "9999-12-31 23:59:59.9999999",
    "=1+1",
)


def spoil_table(path: Path, rows: list[list[str]], rng: random.Random) -> str:
    """Write a CSV file with something wrong and return what.

    :param path: of the file
    :param rows: of a good file, the heading first
    """
    good = _table(rows)
    chance = rng.random()
    if chance < 0.05:
        path.write_bytes(good)
        return f"{path.name}: nothing"
    if chance < 0.4:
        return spoil_bytes(path, good, rng)
    rows = copy.deepcopy(rows)
    at = rng.choice((0, rng.randrange(len(rows))))
    row, column = rows[at], rng.randrange(len(rows[at]))
    ways: dict[str, Callable[[], Any]] = {
        "a field too many": lambda: row.append("1"),
        "a field less": lambda: row.pop(),
        "no such row": lambda: rows.pop(at),
        "5,000 fields": lambda: row.extend(["1"] * 5000),
        "heading again": lambda: rows.append(rows[0]),
        "upside down": rows.reverse,
        "a column twice": lambda: [line.append(line[column]) for line in rows],
    }
    what = rng.choice([*ways, *["value"] * 12])
    if what == "value":
        row[column] = rng.choice(FIELDS)
        what = short(row[column])
    else:
        ways[what]()
    path.write_bytes(_table(rows))
    return f"{path.name} line {at + 1}, column {column + 1}: {what}"


def _table(rows: list[list[str]]) -> bytes:
    return "".join(",".join(row) + "\n" for row in rows).encode("utf-8", "surrogatepass")
