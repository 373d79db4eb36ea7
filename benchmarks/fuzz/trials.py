"""One input tried in a process of its own, with limits on time and memory, and what came of it."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

OUTCOMES = ("success", "refused", "traceback", "hang", "memory", "wrote", "unclear")
GOOD = OUTCOMES[:2]
MEMORY_BYTES = 4 << 30
LOOK_S = 0.02
LONGEST_LINE = 1000
SCRIPTS = {
    "evaluate": ("evaluate.py",),
    "train": ("train.py",),
    "estimation": ("-m", "wisp_gym.estimation"),
    "predictor": ("-m", "agents.predictor"),
}
"""Programs that have a command line of their own."""


@dataclass(frozen=True)
class Input:
    """Something to try.

    kind: which family it is of; what: what is wrong with it.
    program: a name of SCRIPTS or of `benchmarks.fuzz.programs`.
    arguments: its command line.
    fresh: whether a new Python is started for it, rather than a fork of this one.
    """

    kind: str
    what: str
    program: str
    arguments: tuple[str, ...]
    fresh: bool = False


@dataclass(frozen=True)
class Result:
    """What came of an input.

    outcome: one of OUTCOMES; code: exit code, negative for a signal; said: standard error.
    seconds: wall clock; peak_bytes: most memory in use at a time.
    """

    outcome: str
    code: int
    said: str
    seconds: float
    peak_bytes: int


@dataclass
class _Running:
    number: int
    tried: Input
    folder: Path
    process: int
    before: dict[str, tuple[int, ...]]
    began_s: float
    peak_bytes: int = 0
    ended_for: str = ""
    status: int | None = None
    files: tuple[Path, Path] = field(default=(Path(), Path()))


class Limits:
    """How long and how large a trial may get.

    :param seconds: wall clock
    :param bytes_: resident memory of the trial and its children
    """

    def __init__(self, seconds: float = 60.0, bytes_: int = MEMORY_BYTES) -> None:
        self.seconds, self.bytes = seconds, bytes_


def try_all(
    inputs: Iterable[tuple[int, Path, Callable[[Path], Input]]],
    call: Callable[[str, list[str]], int],
    jobs: int,
    limits: Limits,
    root: Path,
) -> Iterator[tuple[int, Input, Result]]:
    """Yield number, input and result of every trial, in the order in which they end.

    :param inputs: number, empty folder to be made, and what fills it
    :param call: runs a program in a fork and returns its exit code
    :param jobs: trials at a time
    :param root: of the clone
    """
    waiting, running = iter(inputs), list[_Running]()
    more = True
    while more or running:
        while more and len(running) < jobs:
            entry = next(waiting, None)
            more = entry is not None
            if entry is not None:
                running.append(_start(*entry, call, root))
        time.sleep(LOOK_S)
        for one in list(running):
            if _ended(one, limits):
                running.remove(one)
                yield one.number, one.tried, _result(one)


def _start(
    number: int,
    folder: Path,
    fill: Callable[[Path], Input],
    call: Callable[[str, list[str]], int],
    root: Path,
) -> _Running:
    """Fill a folder and start its trial there."""
    inside = folder / "in"
    (folder / "tmp").mkdir(parents=True)
    inside.mkdir()
    tried = fill(inside)
    files = folder / "stdout", folder / "stderr"
    before = snapshot(inside)
    if tried.fresh:
        words = [sys.executable, *_script(tried.program, root), *tried.arguments]
        with files[0].open("wb") as out, files[1].open("wb") as err:
            child = subprocess.Popen(
                words,
                cwd=inside,
                env=_environment(folder, root),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=_limit_memory,
            )
        process = child.pid
        child.returncode = 0  # waited for by its number, below
    else:
        process = os.fork()
        if process == 0:
            _child(tried, inside, files, folder, call)
    return _Running(number, tried, inside, process, before, time.monotonic(), files=files)


def _script(program: str, root: Path) -> tuple[str, ...]:
    words = SCRIPTS[program]
    return words if words[0] == "-m" else (str(root / words[0]),)


def _environment(folder: Path, root: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME", "LANG", "NUMBA_CACHE_DIR")
    }
    return kept | {"PYTHONPATH": str(root), "TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1"}


def _limit_memory() -> None:
    """Let an allocation beyond the limit fail, whatever the watch on resident memory sees; no core files."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES + (1 << 30), resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, resource.RLIM_INFINITY))


def _child(
    tried: Input, inside: Path, files: tuple[Path, Path], folder: Path, call: Callable[[str, list[str]], int]
) -> None:
    """Run a program in this fork as Python would run its script; never returns."""
    code = 70
    try:
        os.setsid()
        for number, path in ((1, files[0]), (2, files[1])):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
            os.dup2(handle, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(inside)
        os.environ["TMPDIR"] = str(folder / "tmp")
        _limit_memory()
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="strict")
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1)
        try:
            code = call(tried.program, list(tried.arguments))
        except SystemExit as leaving:
            if isinstance(leaving.code, str):
                print(leaving.code, file=sys.stderr)
            code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _ended(one: _Running, limits: Limits) -> bool:
    """Look after a trial; say whether it is over."""
    done, status, usage = os.wait4(one.process, os.WNOHANG)
    if done:
        one.status = status
        one.peak_bytes = max(one.peak_bytes, usage.ru_maxrss * 1024)
        if one.peak_bytes > limits.bytes:
            one.ended_for = one.ended_for or "memory"
        _kill(one.process)
        return True
    one.peak_bytes = max(one.peak_bytes, _resident_bytes(one.process))
    if not one.ended_for and one.peak_bytes > limits.bytes:
        one.ended_for = "memory"
        _kill(one.process)
    elif not one.ended_for and time.monotonic() - one.began_s > limits.seconds:
        one.ended_for = "hang"
        _kill(one.process)
    return False


def _kill(process: int) -> None:
    """End a trial's session: it may have left children behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)


def _resident_bytes(process: int) -> int:
    """Return the resident memory of a process and its children, bytes."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except (OSError, IndexError, ValueError):
        return 0
    return pages * resource.getpagesize() + sum(_resident_bytes(int(child)) for child in children)


def snapshot(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return what lies in a folder: mode, size and time of change by path; links are not followed."""
    found: dict[str, tuple[int, ...]] = {}
    for place, names, files in os.walk(folder):
        for name in (*names, *files):
            path = os.path.join(place, name)
            facts = os.lstat(path)
            times = 0 if stat.S_ISDIR(facts.st_mode) else facts.st_mtime_ns
            size = 0 if stat.S_ISDIR(facts.st_mode) else facts.st_size
            found[path] = (stat.S_IFMT(facts.st_mode), size, times)
    return found


def _result(one: _Running) -> Result:
    """Say what came of a trial that is over."""
    assert one.status is not None
    code = os.waitstatus_to_exitcode(one.status)
    said = one.files[1].read_bytes().decode("utf-8", "replace")
    told = one.files[0].stat().st_size > 0
    changed = snapshot(one.folder) != one.before or any((one.folder.parent / "tmp").iterdir())
    outcome = one.ended_for or _outcome(code, said, changed, told)
    return Result(outcome, code, said, time.monotonic() - one.began_s, one.peak_bytes)


def _outcome(code: int, said: str, changed: bool, told: bool) -> str:
    if code < 0 or "Traceback (most recent call last)" in said:
        return "traceback"
    if code == 0:
        return "success" if told and not said else "unclear"
    if changed:
        return "wrote"
    # A warning that the user asked for a risk comes before the line of error.
    lines = [line for line in said.split("\n") if not line.startswith("--trust: ")]
    one_line = len(lines) == 2 and not lines[1] and lines[0].isprintable() and len(lines[0]) <= LONGEST_LINE
    return "refused" if code == 2 and one_line and lines[0].startswith("error: ") else "unclear"


def remove(folder: Path) -> None:
    """Remove a trial's folder, whatever is in it."""
    shutil.rmtree(folder, ignore_errors=True)
