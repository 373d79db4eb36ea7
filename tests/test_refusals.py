"""What a program or a file may hand over wrongly, beside what has tests of its own: one clear line each."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
from core import EASY, small
from pydantic import Field

from wisp_gym import profiles, scenario
from wisp_gym._validation import Checked, build
from wisp_gym.envs import wisp_action
from wisp_gym.envs.episode import check_options, hold_ns, step_settings
from wisp_gym.errors import InputError
from wisp_gym.estimation.measurements import read_measurements
from wisp_gym.profiles.estimator import read_estimator
from wisp_gym.profiles.load import path_of
from wisp_gym.profiles.predictor import predictor
from wisp_gym.scenario.override import apply
from wisp_gym.world import draw_world, world_seed
from wisp_gym.world.streams import stream_params


def refused(says: str, call: Any, *arguments: Any, **named: Any) -> None:
    with pytest.raises(InputError) as caught:
        call(*arguments, **named)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tests", 0), "split: 'tests'; allowed: train, validation, test"),
        (("test", -1), "seed: -1"),
        (("test", 0, 1.5), "environment: 1.5"),
        (("test", 0, 0, "2"), "episode: '2'"),
    ],
)
def test_a_world_seed(arguments: tuple[Any, ...], says: str) -> None:
    refused(says, world_seed, *arguments)


def test_a_world() -> None:
    scenario = small(*EASY)
    refused("world seed: -1", draw_world, scenario, -1)
    refused(f"world seed: {2**64}", draw_world, scenario, 2**64)
    refused("devices: 1000000; allowed: 1 to", draw_world, scenario, 0, devices=1_000_000)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("name.first=1", "'name.first=1': name has no keys"),
        ("name.first.second=1", "nothing inside has the key 'first'"),
        ("mix.5.share=1", "mix.5.share"),
        ("mix.x=1", "mix.x"),
    ],
)
def test_an_override(override: str, says: str) -> None:
    refused(says, apply, {"name": "mine", "mix": [{"share": 1}]}, [override])


def test_an_override_reaches_into_lists() -> None:
    data = {"mix": [{"share": 1}, 2]}
    assert apply(data, ["mix.0.share=3", "mix.1=4"]) == {"mix": [{"share": 3}, 4]}
    assert data == {"mix": [{"share": 1}, 2]}


def test_parameters_of_streams() -> None:
    good = profiles.acceptance("qwen3-0.6b-qwen3-32b").generator
    name = min(good)
    stream_params(good)
    refused(f"generator.{name}: missing", stream_params, {key: good[key] for key in good if key != name})
    refused("generator.speed: unknown parameter", stream_params, good | {"speed": 1.0})
    for value in (math.nan, 1e9, -1e9):
        refused(f"generator.{name} = {value:g}: must lie in", stream_params, good | {name: value})


def test_settings_of_an_environment() -> None:
    for hold_s in (-1, 61, math.nan, "1", True):
        refused("hold_s", hold_ns, hold_s)
    for tau_s in (0, math.inf, None, True):
        refused("tau_s", step_settings, 0.0, tau_s, 0)
    quickstart = scenario.load("quickstart")
    for options in ([], {"device": 3}, {"devices": 0}, {"devices": 2.5}, {"world": -1}, {"world": True}):
        refused("reset option", check_options, options, quickstart)
    refused("late: 'first'", wisp_action, "first")
    for cap in (-1, 9):
        refused(f"cap: {cap}", wisp_action, cap=cap)


def test_a_profile_of_an_unknown_kind() -> None:
    refused("unknown kind of profile 'servers'", path_of, "servers", "a100x1-qwen3-32b")
    refused("unknown server profile", path_of, "server", "a100")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b" " * (1 << 27), "larger than"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"c0": 0, "c1": 0, "c2": 0, "c3": 0}', "c0..c3 are all 0"),
    ],
    ids=["large", "binary", "zero"],
)
def test_an_estimator(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "estimator.json"
    path.write_bytes(content)
    refused(says, read_estimator, path)
    refused("is a folder, must be a", read_estimator, tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "columns nothing"),
        (b"batch,new,cached\n", "must hold each of"),
        (b"batch,new,cached,time_ms,new\n", "must hold each of"),
        (b"batch,new,cached,time_ms\n1,2,3\n", "line 2"),
        (b"batch,new,cached,time_ms\n\n1,0,3,4\n", "must be a whole number, 1.."),
        (b"batch,new,cached,time_ms\n1,2,3,-4\n", "must be milliseconds above 0"),
        (b"batch,new,cached,time_ms\n1,2,3,4\n1,2,3,5\n", "has 4 in an earlier row"),
        (b'batch,new,cached,time_ms\n"1"2,2,3,4\n', "not a CSV row"),
        (b"batch,new,cached,time_ms\n1,2,3,4\n", "holds 1 batches"),
        (b"\xff\xfe", "not UTF-8"),
        (b"#" * ((64 << 20) + 1), "larger than 67108864 bytes"),
    ],
    ids=[
        "empty",
        "missing",
        "twice",
        "short",
        "zero",
        "negative",
        "contradicts",
        "quotes",
        "few",
        "binary",
        "large",
    ],
)
def test_measurements(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "measured.csv"
    path.write_bytes(content)
    refused(says, read_measurements, path)


def test_files_that_are_none(tmp_path: Path) -> None:
    for read in (read_estimator, read_measurements):
        refused("no such file", read, tmp_path / "none")
        refused("is a folder, must be a", read, tmp_path)
        refused("cannot be read", read, tmp_path / ("x" * 5000))


class Inner(Checked):
    """A part of a file."""

    share: float = Field(ge=0)


class Outer(Checked):
    """A file with parts in a list, in a mapping and optional ones."""

    parts: tuple[Inner, ...] = ()
    named: dict[str, Inner] = Field(default_factory=dict)
    maybe: Inner | None = None
    either: Inner | float = 1.0


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"parts": [{"share": 1}, {"shar": 1}]}, "unknown key 'parts.1.shar': did you mean 'share'"),
        ({"named": {"a": {"shar": 1}}}, "unknown key 'named.a.shar': did you mean 'share'"),
        ({"maybe": {"shar": 1}}, "unknown key 'maybe.shar': did you mean 'share'"),
        ({"either": {"shar": 1}}, "unknown key"),
        ({"maybe": {}}, "maybe.share is missing"),
        ({"part": []}, "did you mean 'parts'"),
        ({"parts": [{"share": "x" * 100}]}, "..."),
        ({"parts": object()}, "not plain data"),
    ],
    ids=["list", "mapping", "optional", "either", "missing", "top", "long", "object"],
)
def test_a_misspelt_key_is_named_where_it_stands(data: Any, says: str) -> None:
    refused(says, build, Outer, data, "file")


def test_a_predictor(tmp_path: Path) -> None:
    refused("no", predictor, os.fspath(tmp_path / "none.json"))
