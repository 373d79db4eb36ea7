"""Profiles: the format carries every row of the measurements, and the shipped profiles hold them."""

from __future__ import annotations

import copy
import csv
import json
import math
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wisp_gym import profiles
from wisp_gym._validation import build
from wisp_gym._yaml import read_mapping
from wisp_gym.profiles.load import check_sources, path_of

SHARED = Path(os.environ.get("WISP_GYM_SHARED", Path(__file__).parents[1].parent / "shared")) / "data"

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


@needs_data
def test_every_server_is_shipped_with_its_table() -> None:
    curves: dict[tuple[str, str, int], dict[int, float]] = defaultdict(dict)
    for row in _rows("server_lookup.csv"):
        curves[row["gpu"], row["model"], int(row["tp"])][int(row["sum_new"])] = float(row["g_ms"])
    tabled = [
        name for name in profiles.names("server") if profiles.server(name).pass_time.status == "composed"
    ]
    assert len(curves) == len(tabled)
    for row in _json("server_lookup_coeffs.json"):
        key = (row["gpu"], row["model"], row["tp"])
        server = profiles.server(f"{row['model']}-{row['gpu']}x{row['tp']}".lower())
        assert (server.gpu, server.model, server.tensor_parallel) == (key[0], key[1].lower(), key[2])
        shipped = dict(zip(server.pass_time.sum_new, server.pass_time.values, strict=True))
        assert shipped == pytest.approx(curves[key], rel=1e-5)
        costs = (server.pass_base_s, server.cached_token_s, server.request_s)
        columns = ("attn_const_ms", "attn_ms_per_cached_token", "attn_ms_per_request")
        assert costs == pytest.approx([row[column] / 1000 for column in columns], rel=1e-4)
        assert server.kv_memory.status == "assembled" or server.kv_tokens == row["kv_capacity_tokens"]


@needs_data
def test_every_measured_speed_is_in_some_device() -> None:
    shipped = {
        (entry.draft, entry.value, entry.power_w)
        for name in profiles.names("device")
        for entry in profiles.device(name).decode
        if entry.status == "measured"
    }
    for row in _rows("edge_devices.csv"):
        power = float(row["power_w"]) if row["power_w"] else None
        assert (row["model"].lower(), float(row["decode_tok_s"]), power) in shipped, row


@needs_data
def test_every_network_is_shipped_with_its_quantiles() -> None:
    measured = [profiles.network(name) for name in profiles.names("network")]
    for key, row in _json("network_profiles.json").items():
        if "q" in row:
            values = (row["min"], *row["q"].values(), row["max"])
            found = [network for network in measured if network.rtt and network.rtt.values == values]
        else:
            base, _, slope, *_ = row["rtt_ms"].split()
            line = (float(base), float(slope), row["resid_std"])
            lines = [(network, network.rtt_by_distance) for network in measured]
            found = [n for n, d in lines if d and (d.base, d.per_1000_km, d.residual_std) == line]
        assert len(found) == 1, key
        if "lag1_autocorr_50ms" in row:
            assert found[0].lag1 == row["lag1_autocorr_50ms"]
        else:
            assert found[0].autocorrelation.flagged


@needs_data
def test_every_table_of_two_models_is_shipped() -> None:
    """Heads that read the target's own states are left out: no device can draft with them."""
    shipped = {
        (pair.draft, entry.task.lower(), entry.values)
        for pair in map(profiles.acceptance, profiles.names("acceptance"))
        if not pair.acceptance_rate
        for entry in pair.survival
    }
    for row in _json("acceptance_profiles.json"):
        key = (row["draft"].lower(), row["task"].lower(), tuple(row["survival"]))
        assert (key in shipped) == (row["draft"] != "EAGLE3"), key
