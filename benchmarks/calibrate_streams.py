"""Fit the token stream generator to the published figures of a profile, and say how close it comes.

    python benchmarks/calibrate_streams.py --profile qwen3-0.6b-qwen3-32b [--write]

Fixed draft lengths run through the streams, as on a device: a round accepts its leading agreements, the
target fills the next position, the next round starts after it. First the law of agreement is searched for
(acceptance rates, survival by position, step correlation, spread of sessions), then the blur of the signals
(area under the curve), their calibration, and last the law off the path (WISP's operating point). The table
is measured on streams that the fit has not seen; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from wisp_gym import profiles
from wisp_gym._jit import compiled
from wisp_gym.errors import InputError
from wisp_gym.profiles.load import path_of
from wisp_gym.world import streams
from wisp_gym.world.rng import CAUSE_STREAM, key
from wisp_gym.world.streams import CONFIDENCE, ENTROPY, PARAMETERS, draw_stream, fixed_k_rounds

Floats = NDArray[np.float64]
Generator = dict[str, float]

RECALLS = (0.95, 0.9, 0.8, 0.65, 0.5)
WISP_RECALL = 0.801
WISP_FALSE_ACCEPT = 0.425
K = 5  # draft length of the correlation, the spread, the survival and the operating point
FIT_SEED, CHECK_SEED = 1, 2


class Target(NamedTuple):
    """A published figure: where to aim, and the band that counts as reached."""

    name: str
    aim: float
    low: float
    high: float


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
ACCEPTED, FIRST_REJECTED, AFTER_IT = 0, 1, 2


class Sample(NamedTuple):
    """Streams of many sessions of one length."""

    accepts: NDArray[np.uint8]  # (sessions, length)
    signals: NDArray[np.float32]  # (sessions, 4, length)
    off_signals: NDArray[np.float32]  # (sessions, 4, length)


@compiled
def _draw_all(
    seed: int,
    params: Floats,
    accepts: NDArray[np.uint8],
    signals: NDArray[np.float32],
    off_signals: NDArray[np.float32],
) -> None:
    for i in range(accepts.shape[0]):
        draw_stream(key(seed, CAUSE_STREAM, i, 0), params, accepts[i], signals[i], off_signals[i])


def _read_rounds(
    accepts: NDArray[np.uint8], on: NDArray[np.float32], off: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Return score and kind (accepted, first rejected, after it) of every token drafted over one session."""
    counts = fixed_k_rounds(accepts, k)[:, None]
    starts = np.concatenate([[0], np.cumsum(counts[:-1] + 1)])[: len(counts), None]
    j = np.arange(k)[None, :]
    scores = np.where(j <= counts, on[starts + j], off[starts + j])
    return scores.ravel(), (np.sign(j - counts) + 1).astype(np.int8).ravel()


def sample(generator: Generator, seed: int, sessions: int, length: int) -> Sample:
    """Draw the streams of `sessions` sessions of `length` tokens."""
    drawn = Sample(
        np.zeros((sessions, length), dtype=np.uint8),
        np.zeros((sessions, 4, length), dtype=np.float32),
        np.zeros((sessions, 4, length), dtype=np.float32),
    )
    _draw_all(seed, streams.stream_params(generator), *drawn)
    return drawn


def rates(accepts: NDArray[np.uint8], k: int) -> tuple[float, float]:
    """Return accepted / drafted at fixed `k`, a ratio of sums over sessions, and its standard error."""
    counts = [fixed_k_rounds(row, k) for row in accepts]
    taken = np.array([c.sum() for c in counts], dtype=np.float64)
    rounds = np.array([len(c) for c in counts], dtype=np.float64)
    ratio = taken.sum() / rounds.sum()
    error = np.sqrt(np.sum((taken - ratio * rounds) ** 2)) / rounds.sum()
    return float(ratio / k), float(error / k)


def step_correlation(accepts: NDArray[np.uint8], k: int) -> tuple[float, float]:
    """Return the correlation of consecutive rounds' accepted counts: about session means, and pooled."""
    counts = [fixed_k_rounds(row, k).astype(np.float64) for row in accepts]
    pooled = float(np.concatenate(counts).mean())
    return _lag_one(counts, [float(c.mean()) for c in counts]), _lag_one(counts, [pooled] * len(counts))


def _lag_one(counts: list[Floats], means: list[float]) -> float:
    pairs = [(c[:-1] - m, c[1:] - m) for c, m in zip(counts, means, strict=True)]
    before, after = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return float(np.mean(before * after) / np.sqrt(np.mean(before**2) * np.mean(after**2)))


def session_spread(accepts: NDArray[np.uint8], k: int) -> float:
    """Return sd / mean of the sessions' acceptance beyond sampling noise: the covariance of their halves."""
    half = accepts.shape[1] // 2
    first, second = (
        np.array([fixed_k_rounds(row, k).mean() for row in part])
        for part in (accepts[:, :half], accepts[:, half:])
    )
    covariance = float(np.cov(first, second)[0, 1])
    return float(np.sqrt(max(covariance, 0.0)) / np.mean((first + second) / 2))


def area_under_curve(agrees: NDArray[np.uint8], values: NDArray[np.float32]) -> float:
    """Return P(a value at an agreement > one at a disagreement), by ranks. Ties are too few to matter."""
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values), dtype=np.float64)
    ranks[order] = np.arange(1, len(values) + 1)
    ones = int(np.count_nonzero(agrees))
    return float((ranks[agrees != 0].sum() - ones * (ones + 1) / 2) / (ones * (len(values) - ones)))


def scored_tokens(drawn: Sample, k: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Return stop score and kind of every token drafted in rounds of `k`, over all sessions."""
    pairs = [
        _read_rounds(a, streams.stop_scores(on), streams.stop_scores(off), k)
        for a, on, off in zip(drawn.accepts, drawn.signals, drawn.off_signals, strict=True)
    ]
    return np.concatenate([s for s, _ in pairs]), np.concatenate([kind for _, kind in pairs])


def threshold(scores: NDArray[np.float32], kinds: NDArray[np.int8], recall: float) -> float:
    """Return the score that a share `recall` of the accepted tokens reaches."""
    return float(np.quantile(scores[kinds == ACCEPTED].astype(np.float64), 1.0 - recall))


def false_accept(drawn: Sample) -> float:
    """Return the share of all rejected tokens that pass the threshold of recall 0.801, in rounds of 5."""
    scores, kinds = scored_tokens(drawn, K)
    return float(np.mean(scores[kinds != ACCEPTED] >= threshold(scores, kinds, WISP_RECALL)))


def targets_of(profile: profiles.AcceptanceProfile) -> list[Target]:
    """Return the figures to reach: the profile's acceptance rates, and those that all pairs share."""
    rate_targets = [
        Target(f"alpha_{r.k}", r.value, r.value - 0.02, r.value + 0.02) for r in profile.acceptance_rate
    ]
    return [
        *rate_targets,
        *_survival_targets(profile),
        Target("step_correlation", 0.22, 0.16, 0.34),
        Target("step_correlation_pooled", 0.25, 0.16, 0.34),
        Target("session_spread", 0.14, 0.12, 0.16),
        Target("auc_confidence", 0.84, 0.82, 0.86),
        Target("auc_entropy", 0.84, 0.82, 0.86),
        Target("auc_stop_score", 0.84, 0.82, 0.87),
        Target("false_accept", WISP_FALSE_ACCEPT, WISP_FALSE_ACCEPT - 0.02, WISP_FALSE_ACCEPT + 0.02),
    ]


def _survival_targets(profile: profiles.AcceptanceProfile) -> list[Target]:
    """Return targets for survival at K: the mixture of the tasks that has the profile's rate at K."""
    measured = sorted((entry.values for entry in profile.survival if entry.k == K), key=sum)
    if len(measured) < 2:
        return []
    worst, best = np.array(measured[0]), np.array(measured[-1])
    weight = (profile.measured_rate(K) - worst.mean()) / (best.mean() - worst.mean())
    values = worst + float(np.clip(weight, 0.0, 1.0)) * (best - worst)
    return [Target(f"survival_{i + 1}", float(v), v - 0.03, v + 0.03) for i, v in enumerate(values)]


def agreement_figures(accepts: NDArray[np.uint8], ks: list[int]) -> dict[str, float]:
    """Return the figures that depend on agreement alone."""
    own, pooled = step_correlation(accepts, K)
    figures = {f"alpha_{k}": rates(accepts, k)[0] for k in ks}
    figures |= {f"survival_{i + 1}": float(v) for i, v in enumerate(survival(accepts, K))}
    return figures | {
        "step_correlation": own,
        "step_correlation_pooled": pooled,
        "session_spread": session_spread(accepts, K),
    }


def signal_figures(drawn: Sample) -> dict[str, float]:
    """Return the figures that depend on the signals."""
    agrees, scores = drawn.accepts.ravel(), np.concatenate([streams.stop_scores(s) for s in drawn.signals])
    return {
        "auc_confidence": area_under_curve(agrees, drawn.signals[:, CONFIDENCE].ravel()),
        "auc_entropy": area_under_curve(agrees, -drawn.signals[:, ENTROPY].ravel()),
        "auc_stop_score": area_under_curve(agrees, scores),
        "false_accept": false_accept(drawn),
    }


def loss(figures: dict[str, float], targets: list[Target]) -> float:
    """Return the sum of eighth powers of the misses, in half bands: nearly the largest miss, but smooth."""
    misses = [(figures[t.name] - t.aim) / (t.high - t.low) * 2 for t in targets if t.name in figures]
    return float(sum(m**8 for m in misses))


def search_agreement(targets: list[Target], generations: int) -> Generator:
    """Search for the law of agreement by differential evolution (Storn, Price 1997)."""
    ks = sorted(int(t.name.removeprefix("alpha_")) for t in targets if t.name.startswith("alpha_"))
    low, high = np.array(list(SEARCHED.values())).T

    def value(point: Floats) -> float:
        drawn = sample(_named(point), FIT_SEED, 400, 1500)
        clear = area_under_curve(drawn.accepts[:80].ravel(), drawn.signals[:80, CONFIDENCE].ravel())
        figures = agreement_figures(drawn.accepts, ks) | {HEADROOM.name: clear}
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
    x = 2.0 * np.concatenate([streams.stop_scores(s) for s in drawn.signals]).astype(np.float64)
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


def expected_accepted(accepts: NDArray[np.uint8]) -> list[float]:
    """Return the mean accepted tokens of rounds of k = 0 to 32."""
    means = [0.0, *(k * rates(accepts, k)[0] for k in range(1, 33))]
    return [round(float(m), 4) for m in np.maximum.accumulate(means)]


def survival(accepts: NDArray[np.uint8], k: int) -> Floats:
    """Return P(the first i + 1 tokens are accepted) in rounds of `k`.  # (k,)"""
    counts = np.concatenate([fixed_k_rounds(row, k) for row in accepts])
    return np.array([np.mean(counts > i) for i in range(k)])


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


def fitted_block(generator: Generator, drawn: Sample, reached: dict[str, float], note: str) -> str:
    """Return the YAML text of a profile's `fitted` block."""
    scores, kinds = scored_tokens(drawn, K)
    thresholds = {recall: round(threshold(scores, kinds, recall), 4) for recall in RECALLS}
    block = {
        "source": "stream-calibration",
        "status": "estimated",
        "note": note,
        "generator": {"unit": "see wisp_gym/world/streams.py", "values": generator},
        "stop_thresholds": {"unit": "stop score", "values": thresholds},
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", default="qwen3-0.6b-qwen3-32b", help="acceptance profile to fit")
    parser.add_argument(
        "--generations", type=int, default=60, help="of the search; 0 checks the committed fit"
    )
    parser.add_argument("--write", action="store_true", help="write the fit into the profile's file")
    options = parser.parse_args(arguments)
    try:
        profile = profiles.acceptance(options.profile)
        generator = profile.generator
        if options.generations > 0:
            generator = fit_signals(search_agreement(targets_of(profile), options.generations))
        drawn = sample(generator, CHECK_SEED, 4000, 1000)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    ks = [r.k for r in profile.acceptance_rate]
    reached = agreement_figures(drawn.accepts, ks) | signal_figures(drawn)
    print("\n".join(table(reached, profile, drawn.accepts)))
    print(f"standard errors of the rates: {', '.join(f'{rates(drawn.accepts, k)[1]:.4f}' for k in ks)}")
    if options.write:
        note = f"python benchmarks/calibrate_streams.py --profile {options.profile} --write"
        write_block(path_of("acceptance", options.profile), fitted_block(generator, drawn, reached, note))
    print(json.dumps({"profile": options.profile, "generator": generator, "reached": reached}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
