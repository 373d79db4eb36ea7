"""Profiles: what is shipped, what the format can carry, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wisp_gym import profiles
from wisp_gym._yaml import parse, read_mapping
from wisp_gym.errors import InputError
from wisp_gym.profiles.load import path_of

KINDS = ("server", "device", "network", "acceptance")
EXPECTED = {
    "server": {"qwen3-32b-a100x1", "qwen3-32b-h100x2"},
    "device": {"raspberry-pi-5", "jetson-agx-orin", "phone"},
    "network": {"wired", "5g-good", "4g-poor"},
    "acceptance": {"qwen3-0.6b-qwen3-32b", "qwen3-1.7b-qwen3-32b"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_shipped_profile_loads_and_is_called_as_its_file(kind: str) -> None:
    assert set(profiles.names(kind)) >= EXPECTED[kind]
    for name in profiles.names(kind):
        assert getattr(profiles, kind)(name).name == name


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_says_its_unit_source_and_status(kind: str) -> None:
    for name in profiles.names(kind):
        profile = getattr(profiles, kind)(name)
        figures = dict(profile.figures())
        assert figures
        known = {**profiles.shared_sources(), **profile.sources}
        for place, figure in figures.items():
            assert figure.source in known, place
            assert figure.status in ("measured", "reported", "composed", "assembled", "estimated"), place
            if figure.source == "estimate":
                assert figure.flagged, place
                assert figure.note or place == "noise", f"{name} {place}: an estimate needs its reason"


def test_a100_pass_time_is_the_published_staircase() -> None:
    tokens, seconds = profiles.server("qwen3-32b-a100x1").pass_curve()
    curve = dict(zip(tokens.tolist(), (1000 * seconds).round(1).tolist(), strict=True))
    published = {1: 44.5, 64: 46.4, 128: 51.8, 160: 70.1, 256: 71.0, 512: 133.1}
    assert {key: curve[key] for key in published} == published
    assert curve[129] == curve[160]
    assert curve[257] == curve[320]
    assert np.all(np.diff(tokens) > 0)


def test_server_costs_are_in_seconds() -> None:
    server = profiles.server("qwen3-32b-a100x1")
    assert server.pass_base_s == pytest.approx(1.1845e-3, rel=1e-3)
    assert server.cached_token_s == pytest.approx(190e-9, rel=0.01)
    assert server.request_s == pytest.approx(13.7e-6, rel=0.01)
    assert (server.host_base_s, server.host_request_s) == pytest.approx((1.3e-3, 0.03e-3))
    # 4 FLOPs * 64 heads * 128 * 64 layers at half of 312 TFLOP/s
    assert server.attention_pair_s == pytest.approx(2_097_152 / 156e12)
    assert server.kv_tokens == 33_000
    assert "kv_memory" in server.flagged()
    pair = profiles.server("qwen3-32b-h100x2")
    assert pair.kv_tokens == 287_922
    assert pair.attention_pair_s == pytest.approx(2_097_152 / 2 / 494.5e12)


def test_devices_know_their_drafts() -> None:
    pi = profiles.device("raspberry-pi-5")
    assert pi.decode_tps("qwen3-0.6b") == 18.1
    assert pi.prefill_tps("qwen3-0.6b") == pytest.approx(181)
    assert (pi.power_w, pi.speed_spread) == (8, (0.6, 1.5))
    assert pi.stop_check_s == pytest.approx(0.459e-3)
    assert profiles.device("jetson-agx-orin").decode_tps("qwen3-0.6b") == 97
    phone = profiles.device("phone")
    assert phone.decode_tps("qwen3-0.6b") == 70
    assert "decode.0" in phone.flagged()
    with pytest.raises(InputError, match=r"unknown draft on device phone 'qwen3-0\.7b'.*qwen3-0\.6b"):
        phone.decode_tps("qwen3-0.7b")


def test_networks_are_quantiles_in_seconds() -> None:
    for name, p50, p99 in (("5g-good", 16, 27), ("4g-poor", 84.8, 281.44), ("wired", 8, 20)):
        network = profiles.network(name)
        at = np.interp([0.5, 0.99], network.probabilities, network.rtt_s)
        assert at == pytest.approx([p50 / 1000, p99 / 1000])
        assert np.all(np.diff(network.rtt_s) >= 0)
        assert (network.probabilities[0], network.probabilities[-1]) == (0, 1)
        assert 0 <= network.lag1 < 1
        assert network.up_share == 0.5
    assert profiles.network("5g-good").lag1 == 0.58
    assert "rtt" in profiles.network("wired").flagged()


def test_acceptance_gives_measured_and_fitted_figures() -> None:
    pair = profiles.acceptance("qwen3-0.6b-qwen3-32b")
    assert [pair.measured_rate(k) for k in (2, 5, 7, 10)] == [0.563, 0.378, 0.346, 0.274]
    assert pair.expected_accepted.shape == (33,)
    assert pair.generator
    assert "fitted" in pair.flagged()
    larger = profiles.acceptance("qwen3-1.7b-qwen3-32b")
    assert larger.measured_survival(4, "mt-bench").tolist() == [0.7563, 0.5817, 0.4561, 0.3629]
    with pytest.raises(InputError, match="k=2 mixed"):
        pair.measured_rate(3)
    with pytest.raises(InputError, match="no survival"):
        pair.measured_survival(3)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_name_suggests_the_nearest(kind: str) -> None:
    name = profiles.names(kind)[0]
    with pytest.raises(InputError, match=f"did you mean '{name}'"):
        getattr(profiles, kind)(name[:-1])


def test_a_profile_can_come_from_a_file(tmp_path: Path) -> None:
    data = read_mapping(path_of("device", "phone")) | {"name": "mine"}
    data["sources"] = {"me": {"title": "My own run", "address": "my desk", "licence": "MIT"}}
    data["power"] |= {"source": "me"}
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps(data))
    assert profiles.device(str(file)).name == "mine"
    assert profiles.device("./mine.yaml", tmp_path).name == "mine"
    assert profiles.digest(profiles.device(str(file))) != profiles.digest(profiles.device("phone"))


WRONG: list[tuple[str, str, Any, str]] = [
    ("device", "power.value", -1, "power: value -1"),
    ("device", "power.value", "8", "power.value = '8'"),
    ("device", "power.value", True, "power.value = True"),
    ("device", "power.unit", "V", "unit 'V' must be W"),
    ("device", "power.source", "hearsay", "unknown source"),
    ("device", "power.status", "guess", "must be 'measured'"),
    ("device", "stop_check.unit", "tok/s", "must be s or ms"),
    ("device", "decode", [], "decode"),
    ("device", "powr", 3, "did you mean 'power'"),
    ("device", "spread.high", 0.5, "spread.high = 0.5"),
    ("server", "pass_time.sum_new", [1, 2], "must be equal"),
    ("server", "pass_time.step_at", [1], "step_at must lie inside"),
    ("server", "kv_memory.value", 0, "must lie in 1..1e+08 tokens"),
    ("server", "tensor_parallel", 1.5, "tensor_parallel = 1.5"),
    ("network", "rtt.values", [1, 2], "must be equal"),
    ("network", "rtt", None, "exactly one of"),
    ("network", "autocorrelation.value", 1.0, "below 1"),
    ("acceptance", "fitted.expected_accepted.values", [0, 1], "at least 33"),
    ("acceptance", "acceptance_rate", [], "must hold a measured figure"),
    ("device", "decode.0.unit", "s", "a decode speed must lie in"),
    ("server", "pass_time.values", [-1.0], "must be equal"),
    ("server", "pass_time", {"sum_new": [2, 3], "values": [1.0, 2.0]}, "must start at 1 and increase"),
    ("server", "pass_time", {"sum_new": [1, 3], "values": [0.0, 2.0]}, "must be times above 0"),
    ("server", "pass_time", {"sum_new": [1, 3], "values": [1.0, 1e13]}, "must be at most 600 s"),
    ("network", "rtt", {"probabilities": [0.1, 1], "values": [1, 2]}, "must start at 0 and end at 1"),
    ("network", "rtt", {"probabilities": [0, 0, 1], "values": [1, 2, 3]}, "probabilities must increase"),
    ("network", "rtt", {"probabilities": [0, 1], "values": [2, 1]}, "values must not decrease"),
    ("network", "rtt", {"probabilities": [0, 1], "values": [-1, 1]}, "must be times of at least 0"),
    ("network", "rtt", {"probabilities": [0, 1], "values": [1, 1e9]}, "must be at most 60 s"),
    ("acceptance", "fitted.expected_accepted.values", [1.0] * 33, "must start at 0 and not decrease"),
    ("acceptance", "survival.0.values", [0.5], "must be equal"),
    ("acceptance", "survival.0", {"k": 2, "values": [0.5, 0.6]}, "must not increase"),
]


@pytest.mark.parametrize(("kind", "place", "value", "message"), WRONG)
def test_a_wrong_figure_is_one_line(kind: str, place: str, value: Any, message: str, tmp_path: Path) -> None:
    """A mapping changes some keys of the one that is there."""
    name = "qwen3-1.7b-qwen3-32b" if place.startswith("survival") else profiles.names(kind)[0]
    data = read_mapping(path_of(kind, name))
    *path, last = [int(key) if key.isdigit() else key for key in place.split(".")]
    inside: Any = data
    for key in path:
        inside = inside[key]
    inside[last] = inside[last] | value if isinstance(value, dict) else value
    file = tmp_path / "wrong.yaml"
    file.write_text(json.dumps(data))
    with pytest.raises(InputError) as caught:
        getattr(profiles, kind)(str(file))
    assert message in str(caught.value)
    assert "wrong.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


BAD_YAML: list[tuple[bytes, str]] = [
    (b"", "holds nothing"),
    (b"[1, 2]", "holds list"),
    (b"just text", "holds str"),
    (b"a: 1\na: 2\n", "line 2, column 1: the key 'a' comes twice"),
    (b"a: {b: 1, b: 2}\n", "comes twice"),
    (b"a: &x 1\nb: *x\n", "aliases are not allowed"),
    (b"a: .nan\n", "not finite"),
    (b"a: -.inf\n", "not finite"),
    (b"a: 1e999\n", "not finite"),
    (b"a: " + b"9" * 5000, "too long"),
    (b"a: " + b"[" * 5000, "nesting deeper"),
    (b"a: !!python/object:os.system {}\n", "is not allowed"),
    (b"a: !!binary aGk=\n", "binary is not allowed"),
    (b"a: !!float x\n", "float is not allowed"),
    (b"!!map x\n", "map is not allowed"),
    (b"? [1]\n: 2\n", "a key must be text"),
    (b"null: 1\n", "a key must be text"),
    (b"a: 1\n---\nb: 2\n", "another document"),
    (b"a: [1\n", "line 2"),
    (b"a: \x00\n", "not valid YAML"),
    (b"\xff\xfe\x00", "not UTF-8"),
    (b"#" * (1 << 20) + b"\na: 1", "larger than"),
]


@pytest.mark.parametrize(("content", "message"), BAD_YAML, ids=[text for _, text in BAD_YAML])
def test_bad_yaml_is_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        profiles.network(str(file))
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(file))


def test_missing_files_and_folders_are_one_line(tmp_path: Path) -> None:
    for name, message in ((tmp_path / "no.yaml", "no such file"), (tmp_path, "unknown|is a folder")):
        with pytest.raises(InputError, match=message):
            profiles.server(f"{name}/" if name == tmp_path else str(name))
    with pytest.raises(InputError, match="must be an ordinary file"):
        profiles.server("/dev/null")
    with pytest.raises(InputError, match=r"cannot be read|no such file"):
        profiles.server("x" * 5000 + ".yaml")
    with pytest.raises(InputError):
        profiles.server("a\0b.yaml")


def test_yaml_numbers_and_words_read_as_they_look() -> None:
    text = "{a: 1e3, b: 1:30, c: yes, d: 2024-01-01, e: 010, f: -.5, g: ~, h: true, i: 1., j: .5}"
    assert parse(text, "here") == {
        "a": 1000.0, "b": "1:30", "c": "yes", "d": "2024-01-01", "e": 10,
        "f": -0.5, "g": None, "h": True, "i": 1.0, "j": 0.5,
    }  # fmt: skip


def test_profiles_are_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        profiles.network("wired").name = "other"


def test_profiles_import_nothing_heavy() -> None:
    heavy = "('torch', 'pandas', 'numba')"
    code = f"import sys, wisp_gym.profiles; print([m for m in {heavy} if m in sys.modules])"
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
