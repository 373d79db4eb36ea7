"""A wrong kernel is noticed: two of the faults of benchmarks/mutation.py, which seeds all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from reference import difference
from strategies import draw_case

import wisp_gym
from benchmarks.faults import FAULTS, INSTANTS
from benchmarks.mutation import judge

PACKAGE = Path(wisp_gym.__file__).parent
SHORT = 31  # a case of few events that both faults change
EVERY = FAULTS + INSTANTS
BY_NAME = {fault.name: fault for fault in EVERY}


def test_unlike_faults_each_fit_once() -> None:
    assert len(FAULTS) == 10
    assert len(EVERY) == len(BY_NAME) == len({(fault.file, fault.right) for fault in EVERY})
    for fault in EVERY:
        assert (PACKAGE / fault.file).read_text(encoding="utf-8").count(fault.right) == 1
        assert fault.right != fault.wrong


def test_a_fault_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    for file in {fault.file for fault in EVERY}:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("nothing of the kind\n")
    for fault in EVERY:
        with pytest.raises(ValueError, match="0 times"):
            fault.seed(tmp_path)


def test_without_a_fault_nothing_differs() -> None:
    case = draw_case(SHORT)
    assert difference(case.world(), case.policy(), case.policy_seed) is None


@pytest.mark.parametrize("name", ["eviction", "tie"])
def test_a_subtle_fault_is_caught(name: str) -> None:
    """Uncompiled, in a process of its own that imports the faulty copy."""
    verdict = judge(BY_NAME[name], [SHORT])
    assert verdict.difference is not None
    assert verdict.difference.startswith("log row")
