"""Profiles: what is shipped, what the format can carry, what it refuses."""

from __future__ import annotations

import copy
import csv
import json
import math
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wisp_gym import profiles
from wisp_gym._validation import build
from wisp_gym._yaml import parse, read_mapping
from wisp_gym.errors import InputError
from wisp_gym.profiles.load import check_sources, path_of

SHARED = Path(os.environ.get("WISP_GYM_SHARED", Path(__file__).parents[1].parent / "shared")) / "data"

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
    assert set(pair.stop_thresholds) >= {0.95, 0.9, 0.8, 0.65, 0.5}
    assert pair.stop_threshold(0.8) == pair.stop_thresholds[0.8]
    assert pair.expected_accepted.shape == (33,)
    assert pair.generator
    assert "fitted" in pair.flagged()
    larger = profiles.acceptance("qwen3-1.7b-qwen3-32b")
    assert larger.measured_survival(4, "mt-bench").tolist() == [0.7563, 0.5817, 0.4561, 0.3629]
    with pytest.raises(InputError, match="recall"):
        pair.stop_threshold(0.33)
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
    ("acceptance", "fitted.stop_thresholds.values", {"0.5": 0, "0.8": 1}, "must not increase"),
    ("acceptance", "acceptance_rate", [], "must hold a measured figure"),
]


@pytest.mark.parametrize(("kind", "place", "value", "message"), WRONG)
def test_a_wrong_figure_is_one_line(kind: str, place: str, value: Any, message: str, tmp_path: Path) -> None:
    data = read_mapping(path_of(kind, profiles.names(kind)[0]))
    *path, last = place.split(".")
    inside = data
    for key in path:
        inside = inside[key]
    inside[last] = value
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


# What follows builds profiles from every row of the measurements that the shipped ones are taken from.

needs_data = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the public measurements are not here (WISP_GYM_SHARED)"
)

SOURCE = {"s": {"title": "source", "address": "somewhere", "licence": "MIT"}}


def _figure(value: float, unit: str, status: str = "measured", **more: Any) -> dict[str, Any]:
    return {"value": value, "unit": unit, "source": "s", "status": status, **more}


def _rows(name: str) -> list[dict[str, str]]:
    with (SHARED / name).open(newline="") as file:
        return list(csv.DictReader(file))


def _json(name: str) -> Any:
    return json.loads((SHARED / name).read_text())


@needs_data
def test_the_format_carries_every_server() -> None:
    curves, grids = defaultdict(list), defaultdict(list)
    for row in _rows("server_lookup.csv"):
        curves[row["gpu"], row["model"], int(row["tp"])].append((int(row["sum_new"]), float(row["g_ms"])))
    columns = (
        "batch",
        "new_per_req",
        "cached_per_req",
        "linear_ms",
        "attn_ms",
        "elem_ms",
        "allreduce_ms",
        "lm_head_ms",
        "t_ms",
    )
    for row in _rows("server_iteration.csv"):
        grids[row["gpu"], row["model"], int(row["tp"])].append(
            [float(row[column] or 0) for column in columns]
        )
    template = read_mapping(path_of("server", "qwen3-32b-a100x1"))
    for row in _json("server_lookup_coeffs.json"):
        key = (row["gpu"], row["model"], row["tp"])
        data = copy.deepcopy(template) | {
            "name": "-".join(map(str, key)),
            "gpu": key[0],
            "model": key[1],
            "sources": SOURCE,
        }
        data["tensor_parallel"] = key[2]
        data["pass_time"] = {
            "sum_new": [tokens for tokens, _ in curves[key]],
            "values": [value for _, value in curves[key]],
            "unit": "ms", "source": "s", "status": "composed",
        }  # fmt: skip
        data["pass_base"] = _figure(row["attn_const_ms"], "ms", "composed")
        data["cached_token"] = _figure(row["attn_ms_per_cached_token"], "ms", "composed")
        data["request"] = _figure(row["attn_ms_per_request"], "ms", "composed")
        data["kv_memory"] = _figure(row["kv_capacity_tokens"], "tokens", "composed")
        data["statistics"] = [
            _figure(row[name], "1", name=name) for name in ("r2", "mape", "p95", "max_abs_ms")
        ]
        data["grid"] = {
            "columns": columns,
            "rows": grids.get(key, []),
            "unit": "ms",
            "source": "s",
            "status": "composed",
        }
        server = check_sources(build(profiles.ServerProfile, data, "row"), "row")
        assert len(server.pass_curve()[0]) == len(curves[key])
        assert server.kv_tokens == row["kv_capacity_tokens"]
        assert server.cached_token_s == pytest.approx(row["attn_ms_per_cached_token"] / 1000)
        assert server.grid is not None
        assert len(server.grid.rows) == len(grids.pop(key, []))
    assert not grids


@needs_data
def test_the_format_carries_every_device() -> None:
    speeds, power = defaultdict(list), {}
    for row in _rows("edge_devices.csv"):
        entry = _figure(float(row["decode_tok_s"]), "tok/s", draft=row["model"].lower(), quant=row["quant"])
        entry |= {"runtime": row["runtime"], "note": row["note"] or None}
        if row["power_w"]:
            entry["power_w"] = power[row["device"]] = float(row["power_w"])
        entry["source"] = row["source"]
        source = {"title": row["source"], "address": row["source"], "licence": row["source_license"]}
        speeds[row["device"]].append((entry, {row["source"]: source}))
    template = read_mapping(path_of("device", "raspberry-pi-5"))
    for name, entries in speeds.items():
        sources = {key: source for _, more in entries for key, source in more.items()} | SOURCE
        data = template | {"name": name, "decode": [entry for entry, _ in entries], "sources": sources}
        data["power"] = _figure(power.get(name, 5.0), "W", "measured" if name in power else "estimated")
        device = check_sources(build(profiles.DeviceProfile, data, "row"), "row")
        for entry, _ in entries:
            assert entry["value"] in [known.value for known in device.decode if known.draft == entry["draft"]]
        assert device.decode_tps(entries[0][0]["draft"]) == entries[0][0]["value"]


@needs_data
def test_the_format_carries_every_acceptance_table() -> None:
    template = read_mapping(path_of("acceptance", "qwen3-0.6b-qwen3-32b"))
    pairs = defaultdict(list)
    for row in _json("acceptance_profiles.json"):
        pairs[row["draft"], row["target"]].append(row)
    for (draft, target), rows in pairs.items():
        tables, statistics = [], []
        for row in rows:
            common = {"unit": "probability", "source": "s", "status": "measured", "note": row.get("note")}
            tables.append(
                common
                | {"task": row["task"], "k": row["k"], "rounds": row["steps"], "values": row["survival"]}
            )
            for key in ("AL", "beta_a", "beta_b", "geom", "rmse_beta", "rmse_geom"):
                if row.get(key) is not None:
                    statistics.append(_figure(row[key], "1", name=f"{row['task']} k={row['k']} {key}"))
        data = {
            "name": f"{draft}-{target}".lower(),
            "draft": draft.lower(),
            "target": target.lower(),
            "sources": SOURCE,
        }
        data |= {"survival": tables, "statistics": statistics, "fitted": template["fitted"]}
        profile = check_sources(build(profiles.AcceptanceProfile, data, "row"), "row")
        for row in rows:
            assert profile.measured_survival(row["k"], row["task"]).tolist() == row["survival"]


@needs_data
def test_the_format_carries_logged_rounds() -> None:
    counts = defaultdict(list)
    for row in _rows("acceptance_steps_llama32_1b_3b.csv"):
        counts[row["task"], int(row["gamma"])].append(int(row["accepted"]))
    rates, tables = [], []
    for (task, k), accepted in counts.items():
        column = np.array(accepted)
        survival = [float(np.mean(column > i)) for i in range(k)]
        rates.append(_figure(float(column.mean()) / k, "accepted / drafted", task=task, k=k))
        tables.append({"task": task, "k": k, "rounds": len(accepted), "values": survival})
        tables[-1] |= {"unit": "probability", "source": "s", "status": "measured"}
    template = read_mapping(path_of("acceptance", "qwen3-0.6b-qwen3-32b"))
    data = template | {"name": "llama", "acceptance_rate": rates, "survival": tables, "sources": SOURCE}
    profile = check_sources(build(profiles.AcceptanceProfile, data, "rows"), "rows")
    assert sum(table.rounds or 0 for table in profile.survival) == sum(map(len, counts.values())) > 5000


@needs_data
def test_the_format_carries_every_network() -> None:
    template = read_mapping(path_of("network", "wired"))
    for name, row in _json("network_profiles.json").items():
        data = template | {"name": name, "sources": SOURCE, "rtt": None}
        rest = ("n", "mean", "std", "down_mbps_median", "up_mbps_median", "near50km_median")
        data["statistics"] = [_figure(row[key], "ms", name=key) for key in rest if key in row]
        if "lag1_autocorr_50ms" in row:
            data["autocorrelation"] = _figure(row["lag1_autocorr_50ms"], "1")
        if "q" in row:
            points = {0.0: row["min"], **{float(p): v for p, v in row["q"].items()}, 1.0: row["max"]}
            data["rtt"] = {"probabilities": list(points), "values": list(points.values()), "unit": "ms"}
            data["rtt"] |= {"source": "s", "status": "measured"}
            middle = row["q"]["0.5"]
        else:
            base, _, slope, *_ = row["rtt_ms"].split()
            middle = float(base) + float(slope) * 0.2
            line = {"base": float(base), "per_1000_km": float(slope), "residual_std": row["resid_std"]}
            data["rtt_by_distance"] = line | {
                "distance_km": 200,
                "unit": "ms",
                "source": "s",
                "status": "measured",
            }
        network = check_sources(build(profiles.NetworkProfile, data, "row"), "row")
        assert np.interp(0.5, network.probabilities, network.rtt_s) == pytest.approx(middle / 1000)
        assert np.all(np.diff(network.rtt_s) >= 0)


@needs_data
def test_the_format_carries_round_trip_samples() -> None:
    samples = np.array([float(row["rtt_ms"]) for row in _rows("rtt_5g_public_n78_urban_drive.csv")])
    levels = profiles.network("5g-good").probabilities
    values = np.quantile(samples, levels)
    data = read_mapping(path_of("network", "5g-good")) | {"sources": SOURCE}
    data["rtt"] |= {"probabilities": levels.tolist(), "values": values.tolist()}
    network = build(profiles.NetworkProfile, data, "samples")
    # The shipped quantiles are those of these samples.
    assert network.rtt_s == pytest.approx(profiles.network("5g-good").rtt_s, rel=0.01)
    assert math.isclose(network.lag1, 0.58)
