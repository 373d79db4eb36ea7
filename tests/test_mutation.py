"""A wrong kernel is noticed: two of the faults of benchmarks/mutation.py, which seeds all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

import wisp_gym
from benchmarks.faults import FAULTS
from benchmarks.mutation import judge

PACKAGE = Path(wisp_gym.__file__).parent
BY_NAME = {fault.name: fault for fault in FAULTS}


def test_ten_unlike_faults_each_fit_once() -> None:
    assert len(FAULTS) == len(BY_NAME) == len({(fault.file, fault.right) for fault in FAULTS}) == 10
    for fault in FAULTS:
        assert (PACKAGE / fault.file).read_text(encoding="utf-8").count(fault.right) == 1
        assert fault.right != fault.wrong


def test_a_fault_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    for file in {fault.file for fault in FAULTS}:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("nothing of the kind\n")
    for fault in FAULTS:
        with pytest.raises(ValueError, match="0 times"):
            fault.seed(tmp_path)
