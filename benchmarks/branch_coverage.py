"""Which branches of wisp_gym/ and baselines/ does the test suite take?

    pip install -e '.[test,coverage]' && python benchmarks/branch_coverage.py

Compiled code cannot be traced, so the suite runs uncompiled (NUMBA_DISABLE_JIT=1), on two processes, without the
tests of UNFIT: their worlds are too large for that. Those run compiled afterwards; machine code leaves no
trace, so they count for the Python around the kernels alone. Prints the files with lines or branches never
taken and ends with one line of JSON: `branch_coverage` is the share of branches taken in %, `uncompiled_alone`
the same without the second run, `coverage` the share of statements and branches together.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LEAST = 95.0
"""What must be reached, %."""

PROCESSES = 2

UNFIT = ("test_agents.py::test_a_masked_agent_is_told_when_it_may_not_wait",)
"""Tests that take too long uncompiled, or ask for what only compiled code does."""

SETTINGS = """
[run]
branch = true
parallel = true
source = {root}/wisp_gym,{root}/baselines
concurrency = multiprocessing
patch = subprocess
data_file = {folder}/data

[report]
exclude_also =
    if TYPE_CHECKING:
    @overload
    ^\\s*\\.\\.\\.$
"""


class Measurement:
    """Runs of the suite whose traces add up.

    :param folder: for the traces, empty
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.settings = folder, folder / "settings.ini"
        self.settings.write_text(SETTINGS.format(root=ROOT, folder=folder), encoding="utf-8")

    def run(self, words: Sequence[str], compiled: bool) -> int:
        """Run pytest under trace and return its exit code.

        :param words: for pytest
        :param compiled: whether kernels are machine code
        """
        environment = os.environ | {"NUMBA_DISABLE_JIT": "0" if compiled else "1", "PYTHONPATH": str(ROOT)}
        pytest = ["-m", "pytest", "-p", "no:cacheprovider", "-n", str(PROCESSES), *words]
        return subprocess.run(
            [*self._coverage("run"), *pytest], cwd=ROOT, env=environment, check=False
        ).returncode

    def totals(self, show: bool = False) -> dict[str, Any]:
        """Return what coverage says of all runs so far.

        :param show: whether to print the files where something is missing
        """
        path = self.folder / "report.json"
        subprocess.run([*self._coverage("combine"), "--append", "--quiet"], cwd=ROOT, check=True)
        subprocess.run([*self._coverage("json"), "--quiet", "-o", str(path)], cwd=ROOT, check=True)
        if show:
            report = self._coverage("report")
            subprocess.run([*report, "--show-missing", "--skip-covered"], cwd=ROOT, check=True)
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["totals"]
        return found

    def _coverage(self, command: str) -> list[str]:
        return [sys.executable, "-m", "coverage", command, f"--rcfile={self.settings}"]


def branches(totals: dict[str, Any]) -> float:
    """Return the share of branches taken, %."""
    return round(100.0 * totals["covered_branches"] / totals["num_branches"], 2)


def main() -> int:
    """Measure and print; exit code 1 where a test fails or too little is covered."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        measured = Measurement(Path(folder))
        failed = measured.run([word for test in UNFIT for word in ("--deselect", f"tests/{test}")], False)
        alone = measured.totals()
        failed |= measured.run([f"tests/{test}" for test in UNFIT], True)
        both = measured.totals(show=True)
    share = branches(both)
    result = {
        "branch_coverage": share,
        "uncompiled_alone": branches(alone),
        "coverage": round(both["percent_covered"], 2),
        "branches": both["num_branches"],
        "tests_pass": failed == 0,
        "minutes": round((time.perf_counter() - started) / 60, 1),
    }
    print(json.dumps(result))
    return int(failed != 0 or share < LEAST)


if __name__ == "__main__":
    sys.exit(main())
