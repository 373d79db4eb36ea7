"""Any input ends in success or in one line, drawn by hypothesis. The long form is benchmarks/fuzz.py."""

from __future__ import annotations

import copy
import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.settings import load_settings
from baselines import resolve
from wisp_gym import scenario
from wisp_gym._json import parse_json
from wisp_gym._validation import build
from wisp_gym._yaml import parse
from wisp_gym.command_line import parser
from wisp_gym.envs.action import SIZES, check_action
from wisp_gym.errors import InputError
from wisp_gym.estimation.measurements import read_measurements
from wisp_gym.profiles.acceptance import AcceptanceProfile
from wisp_gym.profiles.device import DeviceProfile
from wisp_gym.profiles.load import DATA
from wisp_gym.profiles.network import NetworkProfile
from wisp_gym.profiles.server import ServerProfile
from wisp_gym.scenario.trace import read as read_trace

FEW = settings(max_examples=60, deadline=None, derandomize=True, database=None)

TINY = ("fleet.devices=3", "horizon_s=30", "warmup_s=5")

numbers = st.integers() | st.floats() | st.sampled_from([2**63, 2**64, 1e308, 5e-324, -0.0, 10**18])
texts = st.text(max_size=20) | st.sampled_from(
    ["", "\ud800", "\0", "a/\0.yaml", "/dev/zero", "x" * 5000 + ".yaml"]
)
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def check_line(error: InputError) -> None:
    """An input error's message is a line that any terminal can show."""
    message = str(error)
    assert message.isprintable()
    assert 0 < len(message) < 10_000


def refused_or_done(work: Callable[[], Any]) -> None:
    try:
        work()
    except InputError as error:
        check_line(error)


def entries(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every entry of nested data: what holds it, and its key."""
    keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in keys:
        yield data, key
        yield from entries(data[key])


def changed(data: Any, draw: Callable[[Any], Any]) -> Any:
    """Nested data with one entry replaced, removed or joined by another."""
    data = copy.deepcopy(data)
    holder, key = draw(st.sampled_from(list(entries(data))))
    way = draw(st.sampled_from(["replace", "replace", "replace", "remove", "join"]))
    if way == "replace":
        holder[key] = draw(anything)
    elif way == "remove":
        del holder[key]
    elif isinstance(holder, dict):
        holder[draw(texts)] = draw(anything)
    else:
        holder.append(draw(anything))
    return data


SCENARIO = yaml.safe_load((scenario.folder() / "quickstart.yaml").read_text(encoding="utf-8"))
MODELS: dict[str, Any] = {
    "servers/qwen3-32b-a100x1": ServerProfile,
    "devices/jetson-agx-orin": DeviceProfile,
    "networks/5g-good": NetworkProfile,
    "acceptance/qwen3-0.6b-qwen3-32b": AcceptanceProfile,
}
PROFILES = {name: yaml.safe_load((DATA / f"{name}.yaml").read_text(encoding="utf-8")) for name in MODELS}


@FEW
@given(data=st.data())
def test_a_changed_scenario_is_loaded_or_refused_in_a_line(data: st.DataObject) -> None:
    written = yaml.safe_dump(changed(SCENARIO, data.draw)).encode("utf-8", "backslashreplace")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.yaml"
        path.write_bytes(written)
        refused_or_done(lambda: scenario.load(path))


@FEW
@given(data=st.data(), name=st.sampled_from(list(MODELS)))
def test_a_changed_profile_is_built_or_refused_in_a_line(data: st.DataObject, name: str) -> None:
    refused_or_done(lambda: build(MODELS[name], changed(PROFILES[name], data.draw), "mine.yaml"))


@FEW
@given(text=st.text(max_size=60) | st.text(alphabet="[]{}:,-&*!|>'\"\n a1.~", max_size=60))
def test_any_text_is_yaml_or_refused_in_a_line(text: str) -> None:
    refused_or_done(lambda: parse(text, "mine"))


@FEW
@given(content=st.binary(max_size=40) | st.text(alphabet='[]{}:,"1e-naNI \\u', max_size=40).map(str.encode))
def test_any_bytes_are_json_or_refused_in_a_line(content: bytes) -> None:
    refused_or_done(lambda: parse_json(content, "mine"))


@FEW
@given(key=st.sampled_from(sorted(load_settings("ppo").model_dump())) | texts, value=texts | numbers.map(str))
def test_any_agent_setting_is_taken_or_refused_in_a_line(key: str, value: str) -> None:
    refused_or_done(lambda: load_settings("ppo", [f"{key}={value}"]))


WORDS = (
    "wisp",
    "sled",
    "fixed",
    "predictor",
    "oracle",
    "late",
    "size",
    "tuned",
    "best",
    "drop",
    "ahead",
    "rtc",
)
MARKS = ("", ":", ",", "=", "+", "++", "/", "3", "0.5", "-1", "nan", "\0", "\ud800", ".py:C", "on", "engine")


@FEW
@given(parts=st.lists(st.sampled_from(WORDS + MARKS), min_size=1, max_size=7))
def test_any_name_is_a_policy_or_refused_in_a_line(parts: list[str]) -> None:
    refused_or_done(lambda: resolve("".join(parts)))


@FEW
@given(
    words=st.lists(
        st.sampled_from(
            ["--policy", "wisp", "--seeds", "--out", "--set", "--plot", "--", "-x", "--jobs=0", "", "\udcff"]
        )
        | st.text(max_size=8),
        max_size=6,
    )
)
def test_any_command_line_is_read_or_refused_in_a_line(words: list[str]) -> None:
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        try:
            parser("About.\n\nExamples.").parse_args(words)
            code: Any = 0
        except SystemExit as left:
            code = left.code
    line, end, rest = said.getvalue().partition("\n")
    assert (code, end, rest) in ((0, "", ""), (2, "\n", ""))
    assert line.isprintable()


@FEW
@given(
    content=st.binary(max_size=200)
    | st.text(alphabet='t_ms,input_okenu01289.\n\r"e-', max_size=80).map(str.encode)
)
def test_any_table_is_read_or_refused_in_a_line(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.csv"
        path.write_bytes(content)
        for reader, heading in (
            (read_trace, b"t_ms,input_tokens,output_tokens\n"),
            (read_measurements, b"batch,new,cached,time_ms\n"),
        ):
            path.write_bytes(heading + content)
            refused_or_done(lambda: reader(path))  # noqa: B023 (called at once)


odd_numbers = st.sampled_from([np.nan, np.inf, -np.inf, -1, 0.5, 9, 1e300, 2**40, None, "1", True, [1]])


@FEW
@given(values=st.lists(st.integers(-1, 9) | odd_numbers, min_size=6, max_size=10) | anything)
def test_any_action_is_valid_or_refused_in_a_line(values: Any) -> None:
    try:
        action = check_action(values)
    except InputError as error:
        check_line(error)
    else:
        assert action.dtype == np.int64
        assert action.shape == (8,)
        assert ((action >= 0) & (action < SIZES)).all()
