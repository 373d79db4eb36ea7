"""Tables of a benchmark's run, put into a page of docs/ between marks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def fill(page: str, blocks: Mapping[str, Sequence[str]]) -> None:
    """Replace what stands between <!-- table: NAME --> and <!-- end of table --> in a page.

    :param page: its file name in docs/; :param blocks: lines of each table
    :raises KeyError: a table that the page has no place for
    """
    path = DOCS / page
    text = path.read_text(encoding="utf-8")
    for name, lines in blocks.items():
        mark = re.compile(rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end of table -->)", re.DOTALL)
        if not mark.search(text):
            raise KeyError(f"{path}: no place for the table {name!r}")
        body = "\n".join([*lines, ""])
        text = mark.sub(lambda match, body=body: match[1] + body + match[2], text)  # type: ignore[misc]
    path.write_text(text, encoding="utf-8")
