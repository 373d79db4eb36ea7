"""Fit the token stream generator to the published figures of a profile, and say how close it comes.

    python benchmarks/calibrate_streams.py --profile qwen3-0.6b-qwen3-32b [--write]

First the law of agreement is searched for
(acceptance rates, survival by position, step correlation, spread of sessions), then the blur of the signals
(area under the curve), their calibration, and last the law off the path (WISP's operating point). The table
is measured on streams that the fit has not seen; the last line is JSON. A generator fitted anew needs a
predictor trained anew: python -m agents.predictor --pair NAME.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from stream_figures import (
    Floats,
    Generator,
    Sample,
    agreement_figures,
    area_under_curve,
    expected_accepted,
    false_accept,
    observed_logit,
    rates,
    sample,
    signal_figures,
    survival,
)
from stream_targets import WISP_FALSE_ACCEPT, Target, lengths, targets_of

from wisp_gym import profiles
from wisp_gym._parser import OneLineParser, whole
from wisp_gym.errors import InputError
from wisp_gym.profiles.load import path_of
from wisp_gym.world.streams import CONFIDENCE, PARAMETERS

FIT_SEED, CHECK_SEED = 1, 2

SEARCHED = {
    "easy_logit": (1.0, 8.0),
    "hard_logit": (-6.0, 1.0),
    "session_sd": (0.1, 1.2),
    "block_sd": (0.3, 3.0),
    "fast_sd": (0.3, 4.0),
    "easy_tokens": (3.0, 25.0),
    "hard_tokens": (1.0, 12.0),
    "block_spread": (0.0, 1.0),
}
"""Where the law of agreement is searched for."""
PLAIN: Generator = {
    "blur_sd": 0.0,
    "signal_offset": 0.0,
    "signal_scale": 1.0,
    "signal_noise": 0.3,
    "off_mean": 0.0,
    "off_sd": 1.0,
}
"""The signals' parameters before they are fitted; the noise is fixed."""
MEMBERS = 24
HEADROOM = Target("auc_unblurred", 0.93, 0.87, 0.99)
"""Without blur the signals must tell more than is measured, or no blur would give what is measured."""


def loss(figures: dict[str, float], targets: list[Target]) -> float:
    """Return the sum of eighth powers of the misses, in half bands: nearly the largest miss, but smooth."""
    misses = [(figures[t.name] - t.aim) / (t.high - t.low) * 2 for t in targets if t.name in figures]
    return float(sum(m**8 for m in misses))


def search_agreement(targets: list[Target], generations: int, sessions: int) -> Generator:
    """Search for the law of agreement by differential evolution (Storn, Price 1997).

    :param generations: of the search; :param sessions: streams that each candidate is judged by
    """
    rate_ks, table_ks = lengths(targets)
    low, high = np.array(list(SEARCHED.values())).T

    def value(point: Floats) -> float:
        drawn = sample(_named(point), FIT_SEED, sessions, 1500)
        clear = area_under_curve(drawn.accepts[:80].ravel(), drawn.signals[:80, CONFIDENCE].ravel())
        figures = agreement_figures(drawn.accepts, rate_ks, table_ks) | {HEADROOM.name: clear}
        return loss(figures, [*targets, HEADROOM])

    draws = np.random.default_rng(0)
    points = draws.uniform(low, high, (MEMBERS, len(low)))
    values = np.array([value(point) for point in points])
    for _ in range(generations):
        for i in range(MEMBERS):
            one, two = points[draws.choice(MEMBERS, 2, replace=False)]
            step = draws.uniform(0.4, 0.9) * (one - two + points[values.argmin()] - points[i])
            trial = np.clip(points[i] + np.where(draws.random(len(low)) < 0.8, step, 0.0), low, high)
            trial_value = value(trial)
            if trial_value < values[i]:
                points[i], values[i] = trial, trial_value
    return _named(points[values.argmin()])


def _named(point: Floats) -> Generator:
    return PLAIN | {name: float(x) for name, x in zip(SEARCHED, point, strict=True)}


def bisect(value: Callable[[float], float], target: float, low: float, high: float, steps: int) -> float:
    """Return where a rising function passes `target`, between `low` and `high`."""
    for _ in range(steps):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if value(middle) < target else (low, middle)
    return 0.5 * (low + high)


def calibrated(generator: Generator) -> Generator:
    """Return the generator with the offset and scale for which P(agree | x) is the logistic function of x."""
    plain = generator | {"signal_offset": 0.0, "signal_scale": 0.5, "signal_noise": 0.0}
    drawn = sample(plain, FIT_SEED, 300, 1000)
    x = 2.0 * np.concatenate([observed_logit(s) for s in drawn.signals]).astype(np.float64)
    offset, scale = logistic_regression(x, drawn.accepts.ravel().astype(np.float64))
    return generator | {"signal_offset": offset, "signal_scale": scale}


def logistic_regression(x: Floats, y: Floats) -> tuple[float, float]:
    """Return the likeliest intercept and slope of P(y = 1) = logistic(intercept + slope * x)."""
    design = np.stack([np.ones_like(x), x])
    beta = np.zeros(2)
    for _ in range(12):
        p = 1.0 / (1.0 + np.exp(-(beta @ design)))
        beta += np.linalg.solve((design * (p * (1.0 - p))) @ design.T, design @ (y - p))
    return float(beta[0]), float(beta[1])


def fit_signals(generator: Generator) -> Generator:
    """Fit the blur to the area under the curve, calibrate, fit the law off the path."""

    def sharpness(blur: float) -> float:
        drawn = sample(calibrated(generator | {"blur_sd": blur}), FIT_SEED, 200, 1000)
        return -area_under_curve(drawn.accepts.ravel(), drawn.signals[:, CONFIDENCE].ravel())

    fitted = calibrated(generator | {"blur_sd": bisect(sharpness, -0.84, 0.0, 8.0, 12)})
    total = sum(fitted[name] ** 2 for name in ("session_sd", "block_sd", "fast_sd", "blur_sd"))
    fitted["off_sd"] = float(fitted["signal_scale"] * np.sqrt(total))  # as wide as on the path

    def passing(off_mean: float) -> float:
        return false_accept(sample(fitted | {"off_mean": off_mean}, FIT_SEED, 300, 1000))

    fitted["off_mean"] = bisect(passing, WISP_FALSE_ACCEPT, -6.0, 6.0, 14)
    return {name: round(fitted[name], 4) for name in PARAMETERS}


def table(
    reached: dict[str, float],
    profile: profiles.AcceptanceProfile,
    accepts: NDArray[np.uint8],
) -> Iterator[str]:
    """Yield the lines of the report: target, band and what was reached; then the survival by position."""
    yield f"{'figure':26}{'target':>8}{'low':>8}{'high':>8}{'reached':>9}"
    for t in targets_of(profile):
        value = reached[t.name]
        mark = "" if t.low <= value <= t.high else "  outside"
        yield f"{t.name:26}{t.aim:8.3f}{t.low:8.3f}{t.high:8.3f}{value:9.4f}{mark}"
    for entry in profile.survival:
        values = survival(accepts, entry.k)
        gap = float(np.max(np.abs(values - np.array(entry.values))))
        yield f"survival {entry.task} k={entry.k}: here {values.round(3).tolist()}, largest gap {gap:.3f}"


def gaps(profile: profiles.AcceptanceProfile, accepts: NDArray[np.uint8]) -> dict[str, float]:
    """Return the largest gap to each survival table that the streams were fitted to."""
    if profile.acceptance_rate:
        return {}
    return {
        f"survival_gap_k{entry.k}": float(np.max(np.abs(survival(accepts, entry.k) - np.array(entry.values))))
        for entry in profile.survival
    }


def fitted_block(generator: Generator, drawn: Sample, reached: dict[str, float], note: str) -> str:
    """Return the YAML text of a profile's `fitted` block."""
    block = {
        "source": "stream-calibration",
        "status": "estimated",
        "note": note,
        "generator": {"unit": "see wisp_gym/world/streams.py", "values": generator},
        "expected_accepted": {"unit": "tokens per round", "values": expected_accepted(drawn.accepts)},
        "reached": {"unit": "1", "values": {name: round(value, 4) for name, value in reached.items()}},
    }
    return yaml.safe_dump({"fitted": block}, sort_keys=False, default_flow_style=None, width=100)


def write_block(path: Path, block: str) -> None:
    """Replace the `fitted` block, the last of a profile file."""
    head, separator, _ = path.read_text(encoding="utf-8").partition("\nfitted:")
    if not separator:
        raise InputError(f"{path.name}: must hold a block 'fitted', its last")
    path.write_text(head + "\n" + block, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Fit, or with `--generations 0` check the committed fit; print the table and a line of JSON."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="qwen3-0.6b-qwen3-32b", help="acceptance profile to fit")
    parser.add_argument(
        "--generations", type=whole(0), default=60, help="of the search; 0 checks the committed fit"
    )
    parser.add_argument(
        "--sessions", type=whole(1), default=400, help="streams that each candidate is judged by"
    )
    parser.add_argument("--write", action="store_true", help="write the fit into the profile's file")
    options = parser.parse_args(arguments)
    try:
        profile = profiles.acceptance(options.profile)
        generator = profile.generator
        if options.generations > 0:
            generator = fit_signals(
                search_agreement(targets_of(profile), options.generations, options.sessions)
            )
        drawn = sample(generator, CHECK_SEED, 4000, 1000)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    rate_ks, table_ks = lengths(targets_of(profile))
    reached = agreement_figures(drawn.accepts, rate_ks, table_ks) | signal_figures(drawn)
    print("\n".join(table(reached, profile, drawn.accepts)))
    errors = (f"{rates(drawn.accepts, k)[1]:.4f}" for k in (*rate_ks, *table_ks))
    print(f"standard errors of the rates: {', '.join(errors)}")
    reached = {k: v for k, v in reached.items() if not k.startswith("survival_k")}
    reached |= gaps(profile, drawn.accepts)
    if options.write:
        settings = "".join(
            f" --{name} {getattr(options, name)}"
            for name in ("generations", "sessions")
            if getattr(options, name) != parser.get_default(name)
        )
        note = f"python benchmarks/calibrate_streams.py --profile {options.profile}{settings} --write"
        write_block(path_of("acceptance", options.profile), fitted_block(generator, drawn, reached, note))
    print(json.dumps({"profile": options.profile, "generator": generator, "reached": reached}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
