"""Does the comparison with the second simulator notice a wrong kernel? Faults, one at a time.

    python benchmarks/mutation.py

Each fault (benchmarks/faults.py) goes into a copy of the package; the copy runs uncompiled, as a whole
compilation for each would take longer, beside tests/reference over the numbered random cases of
tests/strategies.py until something differs. An exception, or a case that does not end, is a difference. The
copy without a fault then runs over all cases that were needed: nothing may differ, and where something does,
faults caught from there on are not counted. Prints a line or two for each and ends with one line of JSON:
`caught` counts the ten faults of the usual kinds, `instants_caught` the five about one nanosecond's order.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.faults import FAULTS, INSTANTS, Fault  # noqa: E402

LONGEST_CASE_S = 300
EVERY = FAULTS + INSTANTS

WORKER = """
import json, signal, sys
from reference import difference
from strategies import draw_case
import wisp_gym

assert wisp_gym.__file__.startswith(sys.argv[1]), wisp_gym.__file__

def too_long(signum, frame):
    raise TimeoutError("the case does not end")

signal.signal(signal.SIGALRM, too_long)
for number in json.loads(sys.argv[2]):
    case = draw_case(number)
    signal.alarm(int(sys.argv[3]))
    try:
        found = difference(case.world(), case.policy(), case.policy_seed)
    except NotImplementedError:
        found = None  # a rule that the reference leaves out says nothing about either
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    signal.alarm(0)
    print(json.dumps([number, found]), flush=True)
    if found is not None:
        break
"""


@dataclass(frozen=True)
class Verdict:
    """What the cases said about a copy.

    :param cases: how many ran; :param case: the last one's number; :param difference: in words, None without
    """

    cases: int
    case: int
    difference: str | None


def copy_of_the_package(folder: Path, fault: Fault | None) -> Path:
    """Copy the package and the scenarios, with a fault, and return the folder to import from."""
    for name in ("wisp_gym", "configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    if fault is not None:
        fault.seed(folder / "wisp_gym")
    return folder


def outcomes(folder: Path, numbers: Iterable[int]) -> Iterator[tuple[int, str | None]]:
    """Compare a copy with the reference case by case, up to the first difference.

    :raises RuntimeError: where the comparison itself fails
    """
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(ROOT / "tests")])
    numbers_text = json.dumps(list(numbers))
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), numbers_text, str(LONGEST_CASE_S)],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            number, found = json.loads(line)
            yield number, found
    if process.returncode != 0:
        raise RuntimeError(f"the comparison ended with code {process.returncode}")


def judge(fault: Fault | None, numbers: Sequence[int]) -> Verdict:
    """Seed a fault, or none, and compare until something differs."""
    with tempfile.TemporaryDirectory(prefix="wisp-gym-fault-") as name:
        folder = copy_of_the_package(Path(name).resolve(), fault)
        done = list(outcomes(folder, numbers))
    number, found = done[-1]
    return Verdict(len(done), number, found)


def report(name: str, what: str, verdict: Verdict, proven: bool) -> None:
    """Print what became of a fault."""
    if verdict.difference is None:
        print(f"{name:16s} ESCAPED {verdict.cases} cases: {what}")
    else:
        how = "caught" if proven else "NOT PROVEN"
        print(
            f"{name:16s} {how} by case {verdict.case}, after {verdict.cases - 1} without a difference: {what}"
        )
        print(f"{'':16s} {verdict.difference}")


def main() -> None:
    """Seed, compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=300, help="numbered cases a fault has to escape")
    parser.add_argument("--jobs", type=int, default=2, help="faults at a time")
    arguments = parser.parse_args()
    begin = time.perf_counter()
    numbers = range(arguments.cases)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        verdicts = list(pool.map(lambda fault: judge(fault, numbers), EVERY))
    control = judge(None, range(max(verdict.case for verdict in verdicts) + 1))
    agreed = control.cases - (control.difference is not None)
    caught = [v.difference is not None and v.case < agreed for v in verdicts]
    for fault, verdict, proven in zip(EVERY, verdicts, caught, strict=True):
        report(fault.name, fault.what, verdict, proven)
    print(f"{'no fault':16s} {control.cases} cases: {control.difference or 'nothing differs'}")
    result = {
        "cases_until_caught": {f.name: v.cases for f, v in zip(EVERY, verdicts, strict=True)},
        "control_cases": control.cases,
        "control_differences": int(control.difference is not None),
        "seconds": round(time.perf_counter() - begin, 1),
        "instants": len(INSTANTS),
        "instants_caught": sum(caught[len(FAULTS) :]),
        "faults": len(FAULTS),
        "caught": sum(caught[: len(FAULTS)]),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
