"""All metrics of a finished run, by name, in seconds, tokens, tokens per second and shares."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wisp_gym.metrics.sessions import device_attainment, jain_index, plain_mean, session_table
from wisp_gym.pipeline.books import Books
from wisp_gym.pipeline.state import BIN_NS, COUNTER, IDLE
from wisp_gym.world.types import GROUPS

NAN = float("nan")
STALL_NS = 30_000_000_000
"""A device without a token for this long counts as stalled."""


def ratio(above: float, below: float) -> float:
    """Return a ratio of sums; NaN when there is nothing below."""
    return float(above) / float(below) if below else NAN


def bin_quantile(bins: npt.NDArray[np.int64], q: float) -> float:
    """Return a quantile of values counted in bins of 1 ms, s: the middle of its bin; NaN without any."""
    total = int(bins.sum())
    if total == 0:
        return NAN
    at = int(np.searchsorted(np.cumsum(bins), q * total))
    return (at + 0.5) * BIN_NS * 1e-9


def counted(sim: Books) -> npt.NDArray[Any]:
    """Return what was counted in the window, by SLO class.  # (4,) COUNTER"""
    assert sim.snapshot is not None
    before, after = sim.snapshot["counters"], sim.state.counters
    result = np.zeros(GROUPS, COUNTER)
    for field in COUNTER.names or ():
        result[field] = after[field] - before[field]
    return result


def measure(sim: Books) -> dict[str, float]:
    """Return the metrics of a run over its window, docs/metrics.md says what each one is.

    The run must have a window (`Simulation.run`, or `mark_window`) and be settled up to now.

    :param sim: a simulation, or its replay from an event log

    :raises RuntimeError: a run without a window
    """
    if sim.snapshot is None or sim.now_ns <= sim.snapshot["start_ns"]:
        raise RuntimeError("measure: the run has no window; call Simulation.run first")
    window_s = 1e-9 * (sim.now_ns - sim.snapshot["start_ns"])
    counts = counted(sim)
    sums = {field: float(counts[field].sum()) for field in COUNTER.names or ()}
    metrics: dict[str, float] = {}
    metrics |= _tokens(sums, window_s)
    metrics |= _sessions(sim)
    metrics |= _losses(sums)
    metrics |= _latency(sim, sums)
    metrics |= _server(sim, sums, window_s)
    metrics |= _per_class(sim, counts, window_s)
    metrics["window_s"] = window_s
    metrics["devices"] = float(sim.world.devices)
    metrics["refused"] = float(sim.world.refused)
    return {name: float(value) for name, value in metrics.items()}


def _tokens(sums: dict[str, float], window_s: float) -> dict[str, float]:
    return {
        "goodput_tps": sums["due_on_time"] / window_s,
        "demand_tps": sums["due"] / window_s,
        "delivered_goodput_tps": sums["delivered_on_time"] / window_s,
        "throughput_tps": sums["committed"] / window_s,
        "acceptance_rate": ratio(sums["accepted"], sums["verified"]),
        "draft_length": ratio(sums["verified"], sums["rounds"]),
        "tokens_per_round": ratio(sums["committed"], sums["rounds"]),
        "rounds": sums["rounds"],
    }


def _sessions(sim: Books) -> dict[str, float]:
    """Attainment, shares of sessions, stalls, time to first token, fairness."""
    assert sim.snapshot is not None
    world, state = sim.world.arrays, sim.state
    table = session_table(
        world.sessions,
        state.outcomes,
        world.devices,
        world.groups,
        sim.snapshot["start_ns"],
        sim.now_ns,
    )
    attainment = device_attainment(table, sim.world.devices)
    group = world.devices["group"]
    metrics = {"attainment": plain_mean(attainment)}
    for g in range(GROUPS):
        metrics[f"attainment_class_{g + 1}"] = plain_mean(attainment[group == g])
    classes = [metrics[f"attainment_class_{g + 1}"] for g in range(GROUPS)]
    there = [value for value in classes if not np.isnan(value)]
    metrics["attainment_worst"] = min(there) if there else NAN
    metrics["sessions"] = float(len(table["device"]))
    metrics["sessions_finished"] = float(table["finished"].sum())
    metrics["sessions_on_time_share"] = ratio(table["on_time"].sum(), len(table["device"]))
    metrics["sessions_last_token_share"] = ratio(table["last_on_time"].sum(), len(table["device"]))
    first = table["ttft_ns"][table["ttft_ns"] >= 0] * 1e-9
    metrics["ttft_p50_s"] = float(np.quantile(first, 0.5)) if len(first) else NAN
    metrics["ttft_p95_s"] = float(np.quantile(first, 0.95)) if len(first) else NAN
    metrics["waiting_share"] = ratio(table["waiting"].sum(), len(table["device"]))
    metrics["jain_fairness"] = jain_index(attainment)
    return metrics | _stalls(sim)


def _stalls(sim: Books) -> dict[str, float]:
    """The longest time without a token inside a session, sessions still waiting included."""
    assert sim.snapshot is not None
    devices = sim.state.devices
    if len(sim.state.outcomes) == 0:
        return {"longest_stall_s": 0.0, "stalled_30s_share": 0.0}
    row = np.maximum(devices["session"], 0)
    outcomes = sim.state.outcomes[row]
    waiting = (devices["session"] >= 0) & (outcomes["finished"] == 0) & (outcomes["start_ns"] <= sim.now_ns)
    waiting &= devices["phase"] != IDLE
    open_ns = np.where(waiting, sim.now_ns - devices["token_ns"], 0)
    stall_ns = np.maximum(devices["stall_ns"], open_ns)
    return {
        "longest_stall_s": float(stall_ns.max()) * 1e-9,
        "stalled_30s_share": float((stall_ns >= STALL_NS).mean()),
    }


def _losses(sums: dict[str, float]) -> dict[str, float]:
    """Wasted drafting time and verification interference: seconds, per committed token, and as a share."""
    committed = sums["committed"]
    metrics = {
        "wdt_s": sums["waste_ns"] * 1e-9,
        "wdt_per_token_s": ratio(sums["waste_ns"] * 1e-9, committed),
        "wdt_share": ratio(sums["waste_ns"], sums["draft_ns"]),
    }
    for name in ("raw", "mix", "queue"):
        total = sums[f"vi_{name}_ns"]
        metrics[f"vi_{name}_s"] = total * 1e-9
        metrics[f"vi_{name}_per_token_s"] = ratio(total * 1e-9, committed)
        of = sums["queue_ns"] if name == "queue" else sums["verify_ns"]
        metrics[f"vi_{name}_share"] = ratio(total, of)
    return metrics


def _latency(sim: Books, sums: dict[str, float]) -> dict[str, float]:
    assert sim.snapshot is not None
    tbt = (sim.state.tbt - sim.snapshot["tbt"]).sum(axis=0)
    waits = (sim.state.waits - sim.snapshot["waits"]).sum(axis=0)
    metrics = {f"tbt_p{q}_s": bin_quantile(tbt, q / 100) for q in (50, 95, 99)}
    metrics["queue_wait_mean_s"] = ratio(sums["queue_ns"] * 1e-9, sums["requests"])
    metrics["queue_wait_p95_s"] = bin_quantile(waits, 0.95)
    for name in ("draft", "network", "queue", "verify"):
        metrics[f"{name}_per_token_s"] = ratio(sums[f"{name}_ns"] * 1e-9, sums["committed"])
    return metrics


def _server(sim: Books, sums: dict[str, float], window_s: float) -> dict[str, float]:
    assert sim.snapshot is not None
    before, after = sim.snapshot["totals"][0], sim.state.totals[0]
    passes = float(after["passes"] - before["passes"])
    busy_ns = after["busy_ns"] - before["busy_ns"] + sim.snapshot["busy_left_ns"] - sim.busy_left_ns()
    kv_ns = after["kv_ns"] - before["kv_ns"]
    kv_ns += float(sim.state.clock[0]["kv_used"]) * (sim.now_ns - after["kv_since_ns"])
    kv_ns -= float(sim.snapshot["kv_used"]) * (sim.snapshot["start_ns"] - before["kv_since_ns"])
    capacity = float(sim.world.arrays.server[0]["kv_tokens"]) * window_s * 1e9
    return {
        "dispatches": passes,
        "batch_size_mean": ratio(after["members"] - before["members"], passes),
        "new_tokens_mean": ratio(after["new_tokens"] - before["new_tokens"], passes),
        "gpu_busy_share": busy_ns * 1e-9 / window_s,
        "cold_share": ratio(sums["cold"], sums["requests"]),
        "evictions": float(after["evictions"] - before["evictions"]),
        "kv_use_share": kv_ns / capacity,
        "energy_per_token_j": ratio(sums["energy_j"], sums["committed"]),
        "bytes_per_token": ratio(sums["bytes"], sums["committed"]),
    }


def _per_class(sim: Books, counts: npt.NDArray[Any], window_s: float) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for g in range(GROUPS):
        there = sim.world.arrays.groups[g]["devices"] > 0
        row = counts[g]
        name = f"class_{g + 1}"
        metrics[f"goodput_{name}"] = float(row["due_on_time"]) / window_s if there else NAN
        metrics[f"throughput_{name}"] = float(row["committed"]) / window_s if there else NAN
        metrics[f"acceptance_{name}"] = ratio(row["accepted"], row["verified"])
        metrics[f"wdt_share_{name}"] = ratio(row["waste_ns"], row["draft_ns"])
    return metrics
