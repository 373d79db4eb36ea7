"""The files of a comparison: rows as CSV, figures over seeds as JSON. The same rows give the same bytes."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from typing import Any

from wisp_gym.evaluation.compare import Comparison
from wisp_gym.evaluation.statistics import CONFIDENCE, Estimate
from wisp_gym.evaluation.summary import PolicySummary, summarise

KEYS = ("policy", "controller", "split", "seed")


def number(value: float) -> str:
    """Return a metric as the CSV has it: 12 significant digits, nothing where it is undefined."""
    return "" if math.isnan(value) else format(value, ".12g")


def metrics_csv(comparison: Comparison) -> bytes:
    """Return one line a policy and seed, policies in order, under a heading of metric names."""
    names = list(comparison.rows[0].metrics)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*KEYS, *names])
    for policy in comparison.policies:
        for row in comparison.rows:
            if row.policy == policy:
                keys = (row.policy, row.controller, comparison.split, row.seed)
                writer.writerow([*keys, *(number(row.metrics[name]) for name in names)])
    return text.getvalue().encode()


def summary_json(comparison: Comparison) -> bytes:
    """Return the figures over seeds, the choices made and what was compared."""
    first = comparison.policies[0]
    return json_bytes(
        {
            "scenario": comparison.scenario.name,
            "scenario_sha256": comparison.scenario.digest(),
            "split": comparison.split,
            "seeds": comparison.seeds,
            "window_s": comparison.rows[0].window_s,
            "compared_with": first,
            "confidence": CONFIDENCE,
            "policies": [_policy(summary) for summary in summarise(comparison)],
            "choices": [dataclasses.asdict(choice) for choice in comparison.choices],
        }
    )


def _policy(summary: PolicySummary) -> dict[str, Any]:
    """Return one policy's figures."""
    return {
        "policy": summary.policy,
        "controller": summary.controller,
        "verdict": summary.verdict,
        "goodput_tps": estimate_dict(summary.goodput),
        "goodput_difference_tps": estimate_dict(summary.difference),
        "goodput_ratio": estimate_dict(summary.ratio),
        "attainment_difference_by_class": [
            estimate_dict(change) for change in summary.class_changes.values()
        ],
        "metrics": dict(summary.metrics),
    }


def estimate_dict(estimate: Estimate) -> dict[str, float]:
    """Return a figure with its interval."""
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "seeds": estimate.seeds}


def json_bytes(content: dict[str, Any]) -> bytes:
    """Return JSON in which undefined numbers are null and others have 12 significant digits."""
    return (json.dumps(_jsonable(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(
        "utf-8", "backslashreplace"
    )


def _jsonable(value: Any) -> Any:
    """Return a value with its numbers made fit for JSON."""
    if isinstance(value, dict):
        return {str(key): _jsonable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(entry) for entry in value]
    if isinstance(value, float):
        return float(format(value, ".12g")) if math.isfinite(value) else None
    return value
