"""A checkpoint with any number in it is refused or goes on; compiled code never works on what it must not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import train
from agents import checkpoint
from agents.files import CHECKPOINT
from wisp_gym.envs import EdgeCloudVector
from wisp_gym.envs.action import SIZES
from wisp_gym.envs.capture import KEPT, capture, restore
from wisp_gym.errors import InputError
from wisp_gym.pipeline.ranges import ARRAYS, RECORDS

HUGE = (13 * 10**17, -(10**11))
WORLD = ("fleet.devices=40", "server.kv_tokens=12000", "episode_s=3")

Arrays = dict[str, np.ndarray[Any, Any]]


def vector() -> EdgeCloudVector:
    return EdgeCloudVector(1, "quickstart", WORLD, 5, autoreset_mode="SameStep")


@pytest.fixture(scope="module")
def kept() -> Arrays:
    """A state in which devices are in many phases and memory is short."""
    one, random = vector(), np.random.default_rng(3)
    one.reset()
    for _ in range(90):
        one.step(random.integers(0, SIZES)[np.newaxis])
    return capture(one)


def kinds() -> dict[str, np.dtype[Any]]:
    """What the bytes of a copy's arrays are, by name."""
    one = vector()
    one.reset()
    bank = one.stack.bank
    assert bank is not None
    found = {f"0.{name}": getattr(bank, name).dtype for name in KEPT if name not in ("tbt", "waits")}
    found |= {f"0.snapshot.{name}": getattr(bank, name).dtype for name in ("counters", "totals")}
    return found | {"rows": bank.rows.dtype}


def columns(arrays: Arrays, kind: dict[str, np.dtype[Any]]) -> list[tuple[str, Any]]:
    """Every column of whole numbers of captured arrays, as views: writing into one changes them."""
    found = []
    for name, array in arrays.items():
        numbers = array.view(kind[name]) if name in kind else array
        for field in numbers.dtype.names or ("",):
            column = numbers[field] if field else numbers.reshape(-1)
            if column.dtype == np.int64 and column.size:
                found.append((f"{name}.{field}", column))
    return found


def is_refused(arrays: Arrays) -> bool:
    try:
        restore(vector(), arrays)
    except InputError:
        return True
    return False


def test_every_whole_number_is_refused_where_it_cannot_be(kept: Arrays) -> None:
    """Each is made huge and negative in turn; the check needs no step to find it."""
    arrays = {name: array.copy() for name, array in kept.items()}
    places = columns(arrays, kinds())
    assert len(places) > 150
    went_through = set()
    for which, (name, column) in enumerate(places):
        at = -(which % 2)  # the first, or the last
        before = int(column[at])
        for value in HUGE:
            column[at] = value
            if not is_refused(arrays):
                went_through.add(name)
        column[at] = before
    restore(vector(), arrays)
    # What is past the heap's end is never read; timers may be as late as never, which is 2^62.
    assert went_through <= {"0.events.", "0.clock.wake_ns", "0.devices.due_ns", "0.devices.timer_ns"}


def test_odd_numbers_are_refused_or_harmless(kept: Arrays) -> None:
    """Small changes too: what the check lets pass, the kernel takes without harm."""
    random, kind = np.random.default_rng(8), kinds()
    odd = (-1, 0, 1, 2, 3, 5, 6, 32, 33, 39, 40, 41, 10**6)
    refused = 0
    for _ in range(150):
        arrays = {name: array.copy() for name, array in kept.items()}
        places = columns(arrays, kind)
        _, column = places[int(random.integers(len(places)))]
        at = int(random.integers(len(column)))
        column[at] = random.choice([*odd, column[at] + 1, column[at] - 1, random.choice(column)])
        two = vector()
        try:
            restore(two, arrays)
        except InputError:
            refused += 1
            continue
        for _ in range(40):
            two.step(random.integers(0, SIZES)[np.newaxis])
    assert refused > 30


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("0.waiting", "0.waiting"),
        ("0.devices", "0.devices.session"),
        ("0.clock", "0.clock.now_ns"),
        ("0.batch", "0.batch"),
        ("0.holders", "0.holders"),
        ("0.taken", "0.taken.requests"),
        ("0.tbt.at", "0.tbt.at"),
        ("seeds", "seeds"),
        ("room", "room"),
        ("0.snapshot", "0.snapshot.start_ns"),
    ],
)
def test_the_line_names_field_value_and_what_is_allowed(kept: Arrays, name: str, says: str) -> None:
    arrays = {key: array.copy() for key, array in kept.items()}
    arrays[name].view(np.int64)[0] = 10**17
    if name == "seeds":
        arrays[name][0] = -2
    with pytest.raises(InputError, match=rf"^kept environments: {says}.*: -?\d+; allowed: ") as caught:
        restore(vector(), arrays)
    assert "\n" not in str(caught.value)


def test_arrays_of_another_kind_are_refused(kept: Arrays) -> None:
    for name in kept:
        for wrong in (kept[name][..., :-1], kept[name].astype(np.complex128), kept[name].reshape(-1, 1, 1)):
            if wrong.shape == kept[name].shape and wrong.dtype == kept[name].dtype:
                continue
            with pytest.raises(InputError, match=r"kept environments|of shape"):
                restore(vector(), kept | {name: wrong})
        with pytest.raises(InputError):
            restore(vector(), {key: array for key, array in kept.items() if key != name})


def test_the_tables_name_fields_that_are_there() -> None:
    kind = {name.removeprefix("0."): one for name, one in kinds().items()}
    for name, fields in RECORDS.items():
        assert set(fields) <= set(kind[name].names or ()), name
    assert set(ARRAYS) <= set(kind)


# --- of a run


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run that was interrupted after two rollouts."""
    from agents.progress import Interrupt
    from agents.settings import load_settings
    from agents.training import TrainingRun
    from agents.training import train as run_training

    small = ("environments=1", "rollout_steps=16", "timesteps=64", "batch_size=16", "epochs=1", "hidden=[8]")
    settings = load_settings("ppo", [*small, "validation_every=0", "checkpoint_every=16"])
    interrupt = Interrupt(())

    def tell(done: int) -> None:
        interrupt.pressed = done >= 32

    run_training(TrainingRun(settings, "quickstart", WORLD, 0, tmp_path / "run"), tell, interrupt)
    return tmp_path / "run"


def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Resume a run, which must end in a line."""
    assert train.main(["--resume", str(folder), "--validation-seeds", "0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_resumed_run_says_what_is_wrong(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = checkpoint.load(stopped)
    assert kept is not None
    changes: dict[str, Any] = {
        "environments/0.waiting": 10**11,
        "environments/0.devices": 10**11,
        "environments/0.clock": -1,
        "generators/numpy_position": 10**9,
        "learner/observations": np.zeros((3, 3), np.float32),
        "optimiser/0/exp_avg": np.zeros((2, 2), np.float32),
    }
    for name, value in changes.items():
        array = kept.arrays[name].copy()
        if isinstance(value, int):
            array.view(np.int64)[0] = value
        else:
            array = value
        checkpoint.save(stopped, replace(kept, arrays=kept.arrays | {name: array}))
        line = refused(stopped, capsys)
        assert "; allowed: " in line
        assert name.partition("/")[2].split("/")[0] in line


def test_a_flipped_bit_is_found(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = stopped / CHECKPOINT
    whole = path.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    begin, end = json.loads(whole[8 : 8 + size])["policy/action_net.bias"]["data_offsets"]
    content = bytearray(whole)
    content[8 + size + (begin + end) // 2] ^= 1
    path.write_bytes(content)
    assert "its arrays are not those that were written" in refused(stopped, capsys)
