#!/usr/bin/env python3
"""Print the lowest version that pyproject.toml allows of every dependency, as constraints for pip.

    python .ci/lowest.py > lowest.txt && PIP_CONSTRAINT=lowest.txt pip install -e '.[test]'
    python .ci/lowest.py torch  # all but torch, whose oldest release comes with gigabytes of CUDA

Each lower bound must be a version that exists, so that what is claimed is what is tested.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
BOUND = re.compile(r"([A-Za-z0-9._-]+)>=([0-9][0-9.]*)(,<[0-9.]+)?")


def ranges(project: dict[str, Any]) -> Iterator[str]:
    """Yield every range: to build, to run, and of the extras."""
    yield from project["build-system"]["requires"]
    yield from project["project"]["dependencies"]
    for extra in project["project"].get("optional-dependencies", {}).values():
        yield from extra


def lowest(text: str) -> str:
    """Return the constraint "name==bound" of a range "name>=bound" or "name>=bound,<end".

    :raises ValueError: the range has no lower bound, or another form
    """
    match = BOUND.fullmatch(text.replace(" ", ""))
    if match is None:
        raise ValueError(f"{text!r}: needed is NAME>=BOUND or NAME>=BOUND,<END")
    return f"{match[1]}=={match[2]}"


def main(left_out: Sequence[str] = ()) -> None:
    """Print them, sorted.

    :param left_out: packages not to print
    """
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))
    lines = {lowest(text) for text in ranges(project)}
    sys.stdout.writelines(f"{line}\n" for line in sorted(lines) if line.split("==")[0] not in left_out)


if __name__ == "__main__":
    main(sys.argv[1:])
