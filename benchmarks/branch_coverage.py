"""Which branches of wisp_gym/ and baselines/ are taken, uncompiled, on small scenarios?

    pip install -e '.[test,coverage]' && python benchmarks/branch_coverage.py

Compiled code cannot be traced, so all runs uncompiled (NUMBA_DISABLE_JIT=1), in two processes:
benchmarks/small_scenarios.py, and the test suite without UNFIT and without what takes more than 4 s of
processor time (the worlds of both are too large for that). Prints the files with lines or branches never
taken and ends with one line of JSON: `branch_coverage` is the share of branches taken, %, `coverage` that of
statements and branches together.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LEAST = 95.0
"""What must be reached, %."""

PROCESSES = 2

UNFIT = (
    "test_agents.py::test_a_masked_agent_is_told_when_it_may_not_wait",
    "test_chrome_trace.py::test_the_command_writes_a_trace",
    "test_constant_action.py",
    "test_drafters.py::test_ucb_finds_the_best_length_for_its_delay",
    "test_edge_cloud.py::test_it_is_registered_and_both_checkers_pass",
    "test_edge_cloud_control.py::test_other_constant_actions_are_their_compiled_rules",
    "test_evaluate_cli.py::test_two_runs_write_the_same_bytes",
    "test_golden.py",
    "test_learns.py",
    "test_metrics.py::test_never_serving_a_tenth_of_the_devices_costs_ten_points_of_attainment",
    "test_paper.py",
    "test_profile_catalogue.py::test_streams_survive_as_published",
    "test_rendering.py::test_an_open_loop_shows_the_requests_under_way",
    "test_rendering.py::test_the_environment_renders",
    "test_resume.py",
    "test_same_seed.py",
    "test_scenarios_shipped.py",
    "test_train_cli.py",
)
"""What takes long in processes of its own, whose time is not counted, or is nearly all too long."""

SETTINGS = r"""
[run]
branch = true
parallel = true
source =
    {root}/wisp_gym
    {root}/baselines
concurrency = multiprocessing
patch = subprocess
data_file = {folder}/data

[report]
exclude_also =
    if TYPE_CHECKING:
    ^\s*\.\.\.$
"""


class Measurement:
    """Runs of the suite whose traces add up.

    :param folder: for the traces, empty
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.settings = folder, folder / "settings.ini"
        self.settings.write_text(SETTINGS.format(root=ROOT, folder=folder), encoding="utf-8")

    def run(self, *words: str) -> bool:
        """Run pytest, uncompiled, under trace; return whether it went well.

        :param words: for pytest
        """
        places = os.pathsep.join(map(str, (ROOT, ROOT / "benchmarks")))
        environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": places}
        pytest = ["-m", "pytest", "-o", "addopts=", "-q", "-p", "no:cacheprovider", "--tb=short", *words]
        done = subprocess.run([*self._coverage("run"), *pytest], cwd=ROOT, env=environment, check=False)
        return done.returncode == 0

    def totals(self) -> dict[str, Any]:
        """Return what coverage says of all runs so far."""
        path = self.folder / "report.json"
        subprocess.run([*self._coverage("combine"), "--append", "--quiet"], cwd=ROOT, check=True)
        subprocess.run([*self._coverage("json"), "--quiet", "-o", str(path)], cwd=ROOT, check=True)
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["totals"]
        return found

    def show(self) -> None:
        """Print the files where something is missing."""
        words = ["--show-missing", "--skip-covered"]
        subprocess.run([*self._coverage("report"), *words], cwd=ROOT, check=True)

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
    parser.add_argument("words", nargs="*", default=["tests"], help="for pytest: part of the suite (all)")
    words = parser.parse_args().words
    without = [word for test in UNFIT for word in ("--deselect", f"tests/{test}")]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        measured = Measurement(Path(folder))
        small = measured.run("benchmarks/small_scenarios.py", "-n", str(PROCESSES), "--dist", "worksteal")
        suite = measured.run(*words, "-n", str(PROCESSES), "--dist", "worksteal", "-p", "cpu_limit", *without)
        totals = measured.totals()
        measured.show()
    result = {
        "minutes": round((time.perf_counter() - started) / 60, 1),
        "all_passed": small and suite,
        "coverage": round(totals["percent_covered"], 2),
        "branches": totals["num_branches"],
        "branch_coverage": branches(totals),
    }
    print(json.dumps(result))
    return int(not (small and suite) or branches(totals) < LEAST)


if __name__ == "__main__":
    sys.exit(main())
