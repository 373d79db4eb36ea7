"""Ctrl-C, SIGTERM and SIGKILL: what they do to a command and to the processes it has started."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest
from faulty import odd

from agents.progress import Interrupt
from wisp_gym import signals
from wisp_gym.errors import InputError
from wisp_gym.evaluation import pool

CLONE = Path(__file__).parent.parent


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_work_in_good_order(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt) as caught, signals.endings():
        signal.raise_signal(number)
    assert signals.exit_code(caught.value) == code
    assert signal.getsignal(number) is before
    assert signals.exit_code(KeyboardInterrupt()) == 130


TWICE = """
import os, signal, sys, time
from wisp_gym import signals
work = sys.argv[1]
try:
    with signals.endings():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
except KeyboardInterrupt as interrupt:
    code = signals.exit_code(interrupt)
    signals.leave()
    if work == "later":
        time.sleep(signals.REPEAT_S + 0.1)
    os.kill(os.getpid(), signal.SIGINT if work == "other" else signal.SIGTERM)
    print("tidied up", flush=True)
    sys.exit(code)
"""


@pytest.mark.parametrize(
    ("second", "code", "said"), [("at once", 143, "tidied up\n"), ("later", 143, ""), ("other", 130, "")]
)
def test_a_signal_that_comes_twice_at_once_is_one(second: str, code: int, said: str) -> None:
    """A further one ends the process at once all the same."""
    done = subprocess.run(
        [sys.executable, "-c", TWICE, second], capture_output=True, text=True, cwd=CLONE, timeout=60
    )
    assert (done.returncode, done.stdout) == (code, said)


def test_a_patient_process_is_asked_twice_without_harm() -> None:
    """SIGTERM to a whole group reaches a child twice: once from outside, once from its parent."""
    with Interrupt((signal.SIGTERM,), patient=True) as interrupt:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
    assert (interrupt.pressed, interrupt.number) == (True, signal.SIGTERM)


POOL = """
import os, sys, time
from wisp_gym.evaluation.pool import Pool
from wisp_gym.signals import endings, exit_code
import faulty
if __name__ == "__main__":
    try:
        with endings(), Pool(2, alone_s=0.0) as pool:
            for _ in pool.map(faulty.slow, [sys.argv[1]] * 100):
                pass
    except KeyboardInterrupt as interrupt:
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(exit_code(interrupt))
"""


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process whose pool of two is at work."""
    (tmp_path / "pool.py").write_text(POOL)
    path = os.pathsep.join([str(CLONE), str(CLONE / "tests")])
    place = tmp_path / "place"
    place.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "pool.py"), str(place)],
        env=os.environ | {"PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    give_up = time.monotonic() + 120
    while len(list(place.iterdir())) < 2 and time.monotonic() < give_up:
        assert process.poll() is None
        time.sleep(0.02)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def gone(pids: list[int]) -> bool:
    """Whether processes have ended, within some seconds."""
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        if not any(_runs(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGKILL"])
def test_the_processes_of_a_pool_end_with_it(
    how: str, at_work: subprocess.Popen[str], tmp_path: Path
) -> None:
    pids = [int(path.name) for path in (tmp_path / "place").iterdir()]
    if how == "SIGKILL":
        at_work.kill()  # it alone: its processes must notice
        codes: tuple[int, str] = (-signal.SIGKILL, "")
    else:
        number = signal.SIGINT if how == "Ctrl-C" else signal.SIGTERM
        os.killpg(at_work.pid, number)  # as the terminal and schedulers do
        codes = (128 + number, "interrupted\n")
    said = at_work.communicate(timeout=60)[1]
    assert (at_work.returncode, said) == codes
    assert gone(pids)


def test_what_goes_wrong_in_a_pool_is_told() -> None:
    with pool.Pool(2, alone_s=0.0) as two:
        assert next(two.map(odd, [1, 1, 1, 1])) == 1  # left alone, its results belong to nobody
        assert list(two.map(odd, range(3))) == [0, 1, 2]
        with pytest.raises(InputError, match="three") as caught:
            list(two.map(odd, [0, 3]))
        assert "in odd" in caught.value.__notes__[0]
        first, second = two.map(odd, [1, 2]), two.map(odd, [5, 6])
        assert [next(first), next(second), next(first), next(second)] == [1, 5, 2, 6]
        with pytest.raises(BrokenExecutor, match="exit code 7"):
            list(two.map(odd, [9]))
    assert not multiprocessing.active_children()
