"""A training that kills itself and its process group with SIGKILL at a moment of its work with files.

    python benchmarks/killed_at.py MOMENT FILE ARGUMENTS...

MOMENT is a number: the so many-th moment at which it is about to make, open, rename or remove a file of its
run, counted from 0; -1 lets it live. The moments that it comes by are written to FILE, a line each.
ARGUMENTS are those of train.py. Python's audit events tell the moments: nothing of the training is changed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

EVENTS = {"tempfile.mkstemp": 0, "os.rename": 1, "os.remove": 0, "shutil.rmtree": 0}
"""Audit events, and which of their arguments is the path."""


def watch(moment: int, told: Path, folder: Path) -> None:
    """Note every moment, and kill the process group at one of them.

    :param moment: which, from 0; -1 for none
    :param told: file for their names
    :param folder: of the run, as train.py is given it
    """
    seen = 0
    writing = ""
    output = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen, writing
        if event == "open" and isinstance(arguments[0], int) and writing:
            name, writing = f"half-written {writing}", ""
        elif event in EVENTS and isinstance(arguments[EVENTS[event]], str | os.PathLike):
            path = Path(os.fspath(arguments[EVENTS[event]]))
            if folder.absolute() not in path.absolute().parents:
                return
            temporary = path.name.startswith(".")
            name = f"new {path.name[1:].rsplit('-', 1)[0]}" if temporary else path.name
            writing = name if event == "tempfile.mkstemp" else ""
            name = f"{event.partition('.')[2]} {name}"
        else:
            return
        os.write(output, f"{name}\n".encode())
        if seen == moment:
            os.killpg(0, signal.SIGKILL)
        seen += 1

    sys.addaudithook(hook)


def main() -> int:
    """Train, watched."""
    moment, told, *words = sys.argv[1:]
    watch(int(moment), Path(told), Path(words[words.index("--out" if "--out" in words else "--resume") + 1]))
    import train

    return train.main(words)


if __name__ == "__main__":
    sys.exit(main())
