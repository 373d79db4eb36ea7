"""Inputs that once ended in a traceback, a hang or a full memory: each is one line now."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import evaluate
import train
from baselines import resolve
from wisp_gym import scenario
from wisp_gym._files import read_bytes
from wisp_gym._json import parse_json
from wisp_gym._parser import OneLineParser
from wisp_gym.command_line import parser
from wisp_gym.envs import EdgeCloud
from wisp_gym.errors import InputError, one_line
from wisp_gym.evaluation.load_rows import LoadRows
from wisp_gym.evaluation.output import check_writable
from wisp_gym.evaluation.spec import Row
from wisp_gym.metrics.glossary import GLOSSARY
from wisp_gym.profiles.load import DATA
from wisp_gym.profiles.predictor import read_predictor

TINY = ("fleet.devices=3", "horizon_s=30", "warmup_s=5")


def check_line(error: InputError) -> None:
    """An input error's message is a line that any terminal can show."""
    assert str(error).isprintable()
    assert 0 < len(str(error)) < 10_000


def test_a_message_is_one_printable_line_whatever_it_quotes() -> None:
    odd = "a\nb\x1b[31mc\u2028d\ud800\u202ee"
    assert one_line(odd) == r"a b\x1b[31mc d\ud800\u202ee"
    assert str(InputError("x" * 5000)).count("x") < 1000


# What files may be: nothing waits for a pipe, reads a device or takes in a file of any size.


def places(folder: Path) -> dict[str, Path]:
    made = {name: folder / name for name in ("folder", "pipe", "loop", "lost", "zero", "huge", "none")}
    made["folder"].mkdir()
    os.mkfifo(made["pipe"])
    made["loop"].symlink_to("loop")
    made["lost"].symlink_to("nowhere")
    made["zero"].symlink_to("/dev/zero")
    made["huge"].touch()
    os.truncate(made["huge"], 1 << 36)
    made["long"] = folder / ("x" * 300)
    made["odd"] = Path("a\0b")
    return made


@pytest.mark.parametrize("place", ["folder", "pipe", "loop", "lost", "zero", "huge", "none", "long", "odd"])
def test_nothing_but_an_ordinary_file_of_limited_size_is_read(place: str, tmp_path: Path) -> None:
    path = places(tmp_path)[place]
    with pytest.raises(InputError) as caught:
        read_bytes(path, 1 << 20, "a file")
    check_line(caught.value)


@pytest.mark.parametrize("place", ["pipe", "zero", "huge", "folder", "loop"])
@pytest.mark.parametrize("ending", [".json", ".safetensors"])
def test_no_predictor_waits_or_fills_the_memory(place: str, ending: str, tmp_path: Path) -> None:
    good = DATA / "predictors" / "qwen3-0.6b-qwen3-32b"
    path = places(tmp_path)[place]
    (tmp_path / f"mine{ending}").symlink_to(path.name)
    other = ".json" if ending == ".safetensors" else ".safetensors"
    (tmp_path / f"mine{other}").write_bytes(good.with_name(good.name + other).read_bytes())
    with pytest.raises(InputError, match="predictor"):
        read_predictor(tmp_path / "mine.json")


def retyped(weights: bytes, kind: str, factor: int) -> bytes:
    """A safetensors file that calls its first tensor another kind of number, of 4 / `factor` bytes each."""
    (size,) = struct.unpack("<Q", weights[:8])
    header = json.loads(weights[8 : 8 + size])
    name = next(name for name in header if name != "__metadata__")
    header[name] |= {"dtype": kind, "shape": [factor * int(np.prod(header[name]["shape"]))]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + weights[8 + size :]


@pytest.mark.parametrize(("kind", "factor"), [("BF16", 2), ("F8_E4M3", 4)])
def test_numbers_that_numpy_does_not_have_are_refused(kind: str, factor: int, tmp_path: Path) -> None:
    good = DATA / "predictors" / "qwen3-0.6b-qwen3-32b"
    record = json.loads((good.with_name(f"{good.name}.json")).read_text())
    weights = retyped(good.with_name(f"{good.name}.safetensors").read_bytes(), kind, factor)
    (tmp_path / "mine.safetensors").write_bytes(weights)
    record["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    (tmp_path / "mine.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=f"kind {kind}"):
        read_predictor(tmp_path / "mine.json")


@pytest.mark.parametrize(
    "text", ['{"a":' * 10_000 + "1" + "}" * 10_000, "[" * 10_000, '{"a": NaN}', '{"a": 1, "a": 2}']
)
def test_json_that_is_deep_or_says_two_things_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_json(text, "model.json")
    assert str(caught.value).startswith("model.json: cannot be read (")


@pytest.mark.parametrize("place", ["loop", "lost", "loop/in it", "zero", "long", "huge/in a file"])
def test_a_place_that_cannot_be_written_to_is_known_before_any_work(place: str, tmp_path: Path) -> None:
    made = places(tmp_path)
    first, _, rest = place.partition("/")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match="--out"):
        check_writable(made[first] / rest if rest else made[first])
    assert sorted(tmp_path.iterdir()) == before


def test_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").symlink_to("/dev/full")
    with pytest.raises(InputError, match="no ordinary file"):
        check_writable(tmp_path)
    check_writable(tmp_path, ["other.csv"])
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


# Command lines.


@pytest.mark.parametrize("main", [evaluate.main, train.main])
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out", ""], "must be a path"),
        (["--out", "\udcff"], "UTF-8"),
        (["more\nlines"], "more lines"),
    ],
)
def test_a_bad_command_line_is_one_line(
    main: Callable[[list[str]], int], words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--scenario", "quickstart", *words])
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert says in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def test_a_list_given_twice_is_refused_rather_than_cut(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evaluate.main(["--policy", "wisp", "--policy", "sled"])
    assert "--policy: given twice" in capsys.readouterr().err


def test_options_that_add_up_may_be_given_again() -> None:
    read = parser("About.\n\nExamples.").parse_args(
        ["--set", "a=1", "--set", "b=2", "--policy", "wisp", "sled"]
    )
    assert read.overrides == ["a=1", "b=2"]
    assert isinstance(parser("About.\n\nExamples."), OneLineParser)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("wisp:", "nothing follows the colon"),
        ("sled:", "nothing follows the colon"),
        ("centralized:", "nothing follows the colon"),
        ("predictor:+fcfs", "nothing follows the colon"),
        ("none+fcfs:", "nothing follows the colon"),
        ("wisp:,", "an option is empty"),
        ("wisp:late=last,", "an option is empty"),
        ("predictor:drop,drop+fcfs", "drop is given twice"),
        ("centralized:rtc,rtc", "rtc is given twice"),
        ("fixed:3,ahead,ahead+fcfs", "ahead is given twice"),
        ("predictor", "did you mean 'predictor+fcfs'?"),
        ("ucb:2", "did you mean 'ucb:2+fcfs'?"),
        ("edf", "did you mean 'predictor+edf'?"),
        ("oracle:best", "did you mean 'oracle', or 'oracle:best+fcfs'?"),
        ("sled:tuned,size=3", "size=tuned"),
        ("sled:size=x", "as in sled:size=2"),
        ("wisp:margin=x", "wisp:margin=x: 'x' must be"),
        ("fixed:" + "9" * 5000, "whole number from"),
    ],
)
def test_a_name_that_is_nearly_one_is_told_how_it_is_written(name: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(name)
    assert says in str(caught.value)


# Controllers of the user's own.

HEAD = (
    "import sys\nfrom wisp_gym.pipeline import Wait\n\n\nclass Mine:\n    def select(self, view):\n        "
)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise KeyError('two\\nlines')", "mine.py:Mine: select() fails: KeyError: 'two\\nlines' (line 7)"),
        ("sys.exit(0)", "mine.py:Mine: select() fails: SystemExit: 0 (line 7)"),
        ("return None", "mine.py:Mine.select: None; allowed"),
        ("return Wait(view.now_ns + 1)", "waits within 2 ms of simulated time"),
    ],
)
def test_a_failing_controller_is_named_in_one_line(
    body: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(f"{HEAD}{body}\n")
    changes = [word for change in TINY for word in ("--set", change)]
    assert evaluate.main(["--policy", "fixed:2+mine.py:Mine", "--seeds", "1", "--jobs", "1", *changes]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert says in said
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == "") in ([], ["__pycache__"])


def test_debug_shows_where_a_controller_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("class Mine:\n    def __init__(self):\n        self.x = 1 // 0\n")
    assert evaluate.main(["--policy", "fixed:2+mine.py:Mine", "--debug"]) == 2
    said = capsys.readouterr().err
    assert "self.x = 1 // 0" in said
    assert said.splitlines()[-1].startswith("error: fixed:2") or "ZeroDivisionError" in said.splitlines()[-1]


# Environments: what is refused leaves no trace.


GOOD = np.array([8, 0, 4, 3, 8, 8, 8, 8])
WRONG_ACTIONS: list[Callable[[tuple[int, ...]], Any]] = [
    lambda shape: None,
    lambda shape: "action",
    lambda shape: np.full(shape, np.nan),
    lambda shape: np.broadcast_to(GOOD, shape) + 0.5,
    lambda shape: np.broadcast_to(GOOD, shape) + 1,
    lambda shape: np.broadcast_to(GOOD, shape).astype(bool),
    lambda shape: np.broadcast_to(GOOD, shape)[..., :7],
    lambda shape: np.array(3),
    lambda shape: [[[1]]],
    lambda shape: object(),
]
WRONG_RESETS: list[dict[str, Any]] = [
    {"seed": -1},
    {"seed": "3"},
    {"seed": 1.5},
    {"seed": 2**64},
    {"seed": 5, "options": {"devices": 65_537}},
    {"seed": 5, "options": {"devices": True}},
    {"seed": 5, "options": {"world": 1.0}},
    {"options": {"world": -1}},
    {"options": {"size": 3}},
    {"options": ["devices"]},
]


def made(copies: int) -> Any:
    options: dict[str, Any] = {"scenario": "quickstart", "overrides": TINY}
    name = "wisp_gym/EdgeCloud-v0"
    env: Any = (
        gymnasium.make_vec(name, copies, **options) if copies else gymnasium.make(name, **options).unwrapped
    )
    env.reset(seed=3)
    return env


@pytest.mark.parametrize("copies", [0, 2])
def test_what_an_environment_refuses_leaves_no_trace(copies: int) -> None:
    env, twin = made(copies), made(copies)
    shape = (copies, 8) if copies else (8,)
    wrong = [lambda w=w: env.step(w(shape)) for w in WRONG_ACTIONS]
    wrong += [lambda w=w: env.reset(**w) for w in WRONG_RESETS]
    for refuse in wrong:
        with pytest.raises(InputError) as caught:
            refuse()
        check_line(caught.value)
        mine, other = (one.step(np.broadcast_to(GOOD, shape)) for one in (env, twin))
        np.testing.assert_array_equal(mine[0], other[0])
        np.testing.assert_array_equal(mine[1], other[1])
    np.testing.assert_array_equal(env.reset()[0], twin.reset()[0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("overrides", 3.0),
        ("overrides", [1]),
        ("seed", -1),
        ("environment", 1.5),
        ("reward", []),
        ("control", []),
        ("split", {}),
        ("episode_s", True),
        ("scenario", None),
    ],
)
def test_a_wrong_argument_of_an_environment_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name):
        EdgeCloud(**({"scenario": "quickstart"} | {name: value}))


def test_a_name_that_does_not_print_is_refused() -> None:
    with pytest.raises(InputError, match=r"name: .* printable"):
        scenario.load("quickstart", ['name="\\e[31mred"'])


def test_finished_rows_without_a_metric_are_left_aside(tmp_path: Path) -> None:
    given = {("mix", "wisp"): "same"}
    metrics = dict.fromkeys(GLOSSARY, 1.0) | {"devices": 2.0}
    rows = LoadRows(tmp_path, "loads.csv", given)
    rows.add("mix", 2, Row("wisp", "wisp", 0, (0.0, 1.0), metrics))
    rows.keep()
    path = tmp_path / rows.unfinished
    assert LoadRows(tmp_path, "loads.csv", given).taken_over == 1
    path.write_text(path.read_text().replace("attainment_class_4", "abc", 1))
    assert LoadRows(tmp_path, "loads.csv", given).taken_over == 0


# What would take too long is refused before it is begun.


def test_an_arrival_profile_beyond_working_out_is_refused_at_once() -> None:
    changes = [
        "horizon_s=1000000",
        "classes.rates_tps=[0.001,0.002,0.003,0.004]",
        "server.kv_tokens=1000000",
        "workload.output_tokens.max=100000",
    ]
    with pytest.raises(InputError, match=r"horizon_s = 1e\+06: .* too long"):
        scenario.load("burst", changes)
