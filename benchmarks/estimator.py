"""How well does WISP's verification time estimator do? For every server profile: on the batches held out
of its profile run, on passes that schedulers dispatched, and on a wide grid.

    python benchmarks/estimator.py

For each profile, in the paper's scenario with only the server changed, an estimator is fitted as the
scheduler's is: 173
profiled batches with the server's noise, 123 of them fitted. It then predicts passes dispatched under
`wisp` and under
`predictor+fcfs` at 0.7, 1.0 and 1.3 times the load that saturates the server. The wide table is for
comparison with the
paper's figures: 173 batches of 1 to 16 like requests, 1 to 128 new tokens each on 0 to 2,048 cached
ones; 123 fitted, 50
held out. Prints the tables and ends with one line of JSON; `--write` puts the tables into docs/estimator.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

import numpy as np
from page import fill
from saturation import mean_rate_tps, most_throughput_tps

from baselines import resolve
from wisp_gym import profiles, scenario
from wisp_gym._parser import OneLineParser, whole
from wisp_gym.estimation import (
    Batches,
    Errors,
    errors_of,
    fit,
    fit_estimator,
    profiled,
    served_design,
    split,
    wide_design,
)
from wisp_gym.pipeline import Simulation
from wisp_gym.pipeline.log import LOG_MEMBER, LOG_PASS
from wisp_gym.pipeline.simulation import typical_context
from wisp_gym.scenario import Scenario
from wisp_gym.world import draw_world, template_of, world_seed

SCENARIO = "paper-qwen3-32b-a100"
REFERENCE = "qwen3-32b-a100x1"
POLICIES = ("wisp", "predictor+fcfs")
LOADS = (0.7, 1.0, 1.3)
LIMITS = (16, 64)
BY_LOAD = ((REFERENCE, 16), ("qwen3-32b-h200x1", 64))
"""Servers and engine limits whose errors are also shown load by load."""
PAPER = {"mae_ms": 3.38, "mape": 0.0493, "r2": 0.992}
BAR_MAPE = 0.08
WARMUP_S, HORIZON_S = 60.0, 140.0


def on_server(name: str, limit: int, devices: int) -> Scenario:
    """Return the paper's scenario on another server, its draft pair and workload kept: only costs change."""
    changes = [f"fleet.devices={devices}", f"server.max_batch={limit}", f"horizon_s={HORIZON_S}"]
    spec = scenario.load(SCENARIO, [*changes, f"warmup_s={WARMUP_S}"])
    return dataclasses.replace(
        spec, profiles=dataclasses.replace(spec.profiles, server=profiles.server(name))
    )


def saturating_devices(name: str, limit: int) -> int:
    """Return how many devices ask for the most that the server commits at any load."""
    spec = on_server(name, limit, 8)
    return max(2, round(most_throughput_tps(spec) / mean_rate_tps(spec)))


def dispatched(spec: Scenario, policy: str, seed: int) -> Batches:
    """Return the passes of a run after its warm-up, as their times came out."""
    sim = Simulation(draw_world(spec, world_seed("test", seed)), resolve(policy), log=True).run()
    events = sim.events
    passes = events[(events[:, 1] == LOG_PASS) & (events[:, 0] >= WARMUP_S * 1e9)]
    first = int(passes[0, 4])
    members = events[(events[:, 1] == LOG_MEMBER) & (events[:, 4] >= first)]
    batch, new, cached = members[:, 4] - first, members[:, 6].astype(float), members[:, 7].astype(float)
    columns = [np.bincount(batch, weights) for weights in (new, new * (new + cached), cached)]
    return Batches(
        np.column_stack([np.ones(len(passes)), *columns]), (passes[:, 6] - passes[:, 0]).astype(float)
    )


def served(name: str, limit: int, seeds: int) -> Batches:
    """Return the dispatched passes under both schedulers at all loads."""
    devices = saturating_devices(name, limit)
    found = [
        dispatched(on_server(name, limit, max(1, round(load * devices))), policy, seed)
        for load in LOADS
        for policy in POLICIES
        for seed in range(seeds)
    ]
    return Batches(np.vstack([one.sums for one in found]), np.concatenate([one.times_ns for one in found]))


def by_load(name: str, limit: int, seeds: int) -> list[dict[str, Any]]:
    """Return, at every load under both schedulers, what a server's passes hold and how far their estimates
    are off: the mean of (estimate - time) / time, and MAPE."""
    spec = on_server(name, limit, 8)
    template = template_of(spec)
    context = round(typical_context(spec))
    coefficients, _ = fit_estimator(template.server[0], template.pass_ns, template.noise, context)
    devices, rows = saturating_devices(name, limit), []
    for load in LOADS:
        loaded = on_server(name, limit, max(1, round(load * devices)))
        for policy in POLICIES:
            runs = [dispatched(loaded, policy, seed) for seed in range(seeds)]
            sums = np.vstack([one.sums for one in runs])
            off = sums @ coefficients / np.concatenate([one.times_ns for one in runs]) - 1.0
            row = {"server": name, "limit": limit, "load": load, "policy": policy}
            row |= {"new_tokens": round(float(sums[:, 1].mean()), 1), "passes": len(off)}
            rows.append(row | {"bias": round(float(off.mean()), 4), "mape": round(float(abs(off).mean()), 4)})
    return rows


def load_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return them as Markdown."""
    lines = [
        "| server, limit | load | scheduler | new tokens a pass | off by, % | MAPE % |",
        "|---|---|---|---|---|---|",
    ]
    for r in rows:
        where = f"{r['server']}, {r['limit']} | {r['load']} | `{r['policy']}`"
        lines.append(f"| {where} | {r['new_tokens']:.0f} | {100 * r['bias']:+.1f} | {100 * r['mape']:.1f} |")
    return lines


def ordinary(batches: Batches) -> np.ndarray:
    """Return plain least squares, signs free: the alternative to the fit that is used."""
    return np.asarray(np.linalg.lstsq(batches.sums, batches.times_ns, rcond=None)[0])


def relative(batches: Batches) -> np.ndarray:
    """Return least squares of relative errors, signs free."""
    rows = batches.sums / batches.times_ns[:, None]
    return np.asarray(np.linalg.lstsq(rows, np.ones(len(rows)), rcond=None)[0])


def measure_server(name: str, limit: int, seeds: int) -> dict[str, Errors]:
    """Return the errors of one server's estimator: held out, served, wide, and of two other fits when
    served."""
    spec = on_server(name, limit, 8)
    template = template_of(spec)
    server, curve, noise = template.server[0], template.pass_ns, template.noise
    context = round(typical_context(spec))
    coefficients, held_out = fit_estimator(server, curve, noise, context)
    passes = served(name, limit, seeds)
    design = profiled(server, curve, noise, served_design(limit, int(server["max_new"]), context)).part(
        split(173, 123)[0]
    )
    wide = profiled(server, curve, noise, wide_design(16, int(server["max_new"])))
    found = {
        "held out": held_out,
        "served": errors_of(coefficients, passes.sums, passes.times_ns),
        "served, signs free": errors_of(relative(design), passes.sums, passes.times_ns),
        "served, plain": errors_of(ordinary(design), passes.sums, passes.times_ns),
        "served, best line": errors_of(fit(passes.sums, passes.times_ns), passes.sums, passes.times_ns),
        "wide": wide.fit_and_test(123)[1],
    }
    return found


def rows_of(results: dict[str, dict[str, Errors]], kind: str) -> list[str]:
    """Return a table of one kind of batches, a line per server."""
    lines = ["| server | MAPE % | MAE ms | p95 % | R2 |", "|---|---|---|---|---|"]
    for name, row in results.items():
        e = row[kind]
        lines.append(f"| {name} | {100 * e.mape:.1f} | {e.mae_ms:.2f} | {100 * e.p95:.1f} | {e.r2:.3f} |")
    return lines


def alternatives(results: dict[int, dict[str, dict[str, Errors]]]) -> list[str]:
    """Return how three fits do on dispatched passes, over all servers: mean and worst MAPE."""
    names = {
        "served": "relative, none negative (used)",
        "served, signs free": "relative, signs free",
        "served, plain": "plain, signs free",
        "served, best line": "fitted to those very passes",
    }
    lines = ["| fit | " + " | ".join(f"limit {n}: mean, worst MAPE %" for n in results) + " |"]
    lines.append("|---|" + "---|" * len(results))
    for key, label in names.items():
        cells = []
        for rows in results.values():
            values = [100 * row[key].mape for row in rows.values()]
            cells.append(f"{np.mean(values):.1f}, {max(values):.1f}")
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Measure and print."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=whole(1), default=2, help="test worlds per load and scheduler")
    parser.add_argument("--servers", nargs="+", default=profiles.names("server"), metavar="NAME")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/estimator.md")
    options = parser.parse_args()
    results = {
        limit: {name: measure_server(name, limit, options.seeds) for name in options.servers}
        for limit in LIMITS
    }
    first = results[LIMITS[0]]
    loads = [row for name, limit in BY_LOAD for row in by_load(name, limit, options.seeds)]
    blocks = {
        "served": rows_of(first, "served"),
        "held-out": rows_of(first, "held out"),
        "served-64": rows_of(results[LIMITS[1]], "served"),
        "wide": rows_of(first, "wide"),
        "fits": alternatives(results),
        "loads": load_lines(loads),
    }
    for name, lines in blocks.items():
        print(f"\n{name}", *lines, sep="\n")
    if options.write:
        fill("estimator.md", blocks)
    summary: dict[str, Any] = {
        str(limit): {name: {kind: e.as_dict() for kind, e in row.items()} for name, row in rows.items()}
        for limit, rows in results.items()
    }
    worst = max(row["served"].mape for rows in results.values() for row in rows.values())
    summary |= {"by_load": loads, "paper": PAPER, "bar_mape": BAR_MAPE, "worst_served_mape": round(worst, 4)}
    if REFERENCE in first:
        summary["reference_mape"] = round(first[REFERENCE]["served"].mape, 4)
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
