"""What the stop predictor reaches on streams it has not seen, beside the paper's figures and its tree models.

    pip install -e '.[trees]' && python benchmarks/predictor.py --plot docs/images/predictor.png

Rounds of eight (the longest draft) run through test streams of a pair; every drafted token counts, those
after a round's first mismatch too. Recall: share of the accepted tokens that pass; false accepts: share of
the rejected ones that do. All models learn from the same training streams; the thresholds of equal recall
come from validation streams. Intervals are 95 %, from leaving out one twentieth of the streams after the
other. Then one network for all pairs is held against each pair's own. Prints tables, draws ROC and
reliability, and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from predictor_models import Model, common_network, network_of, tree_models

from agents.predictor.figures import (
    area_under_curve,
    calibration_error,
    operating_point,
    reliability,
    thresholds,
)
from agents.predictor.fit import WISP_POINT, tokens_of
from agents.predictor.tokens import ACCEPTED, AFTER_IT, FIRST_REJECTED, Tokens
from agents.predictor.training import Settings
from wisp_gym import profiles
from wisp_gym._parser import OneLineParser
from wisp_gym.evaluation.statistics import student_quantile

PAPER_POINT = (0.801, 0.425)
"""Recall and false accepts of WISP's network."""
PAPER_TREES = ((0.93, 0.94), (0.80, 0.86))
"""Ranges of the same for its tree models, at an operating point that the paper does not name."""
TREES_RECALL = 0.935
PARTS = 20
STREAMS = 1000
"""Validation and test streams of the models' table."""
PAIR_STREAMS = 300
"""Test streams of each pair, own network against the common one."""

Floats = NDArray[np.float64]
Reading = Callable[[NDArray[np.int8], Floats], dict[str, float]]


def with_errors(reading: Reading, tokens: Tokens, chance: Floats) -> dict[str, list[float]]:
    """Return each figure and its 95 % interval's half width, by the jackknife over parts of the streams."""
    whole = reading(tokens.kind, chance)
    part = tokens.stream % PARTS
    left = [reading(tokens.kind[part != i], chance[part != i]) for i in range(PARTS)]
    factor = student_quantile(PARTS - 1) * np.sqrt((PARTS - 1) / PARTS)
    result = {}
    for name, value in whole.items():
        values = np.array([figures[name] for figures in left])
        half = float(factor * np.sqrt(np.sum((values - values.mean()) ** 2)))
        result[name] = [round(value, 4), round(half, 4)]
    return result


def reading_at(threshold: float) -> Reading:
    """Return a function that gives the figures of a model at a threshold on its probability."""

    def read(kind: NDArray[np.int8], chance: Floats) -> dict[str, float]:
        taken, on_path = kind == ACCEPTED, kind != AFTER_IT
        recall, false_accept = operating_point(chance, kind, threshold)
        half_recall, half_false = operating_point(chance, kind, 0.5)
        trees = float(np.quantile(chance[taken], 1.0 - TREES_RECALL))
        return {
            "recall": recall,
            "false_accept": false_accept,
            "false_accept_first": float((chance[kind == FIRST_REJECTED] >= threshold).mean()),
            "false_accept_after": float((chance[kind == AFTER_IT] >= threshold).mean()),
            "auc": area_under_curve(taken, chance),
            "auc_on_path": area_under_curve(taken[on_path], chance[on_path]),
            "calibration_error": calibration_error(taken, chance),
            "recall_at_half": half_recall,
            "false_accept_at_half": half_false,
            "false_accept_at_trees_recall": operating_point(chance, kind, trees)[1],
        }

    return read


def compared(models: dict[str, Model], pair: str, settings: Settings) -> dict[str, dict[str, list[float]]]:
    """Return the figures of each model on test streams, at the threshold of the paper's recall on validation
    streams."""
    kept = tokens_of(profiles.acceptance(pair), "validation", settings)
    unseen = tokens_of(profiles.acceptance(pair), "test", settings)
    figures = {}
    for name, model in models.items():
        at = float(thresholds(model(kept.signals), kept.kind, np.array([WISP_POINT]))[0])
        figures[name] = with_errors(reading_at(at), unseen, model(unseen.signals))
    return figures


def own_or_common(names: list[str], settings: Settings) -> dict[str, dict[str, float]]:
    """Return, for each pair, what its own network and the one for all reach."""
    common = common_network(names, settings)
    rows = {}
    for name in names:
        unseen = tokens_of(profiles.acceptance(name), "test", replace(settings, streams=PAIR_STREAMS))
        taken = unseen.kind == ACCEPTED
        chances = {"own": network_of(name)(unseen.signals), "common": common(unseen.signals)}
        rows[name] = {
            f"{figure}_{of}": round(function(taken, chance), 4)
            for of, chance in chances.items()
            for figure, function in (("auc", area_under_curve), ("calibration_error", calibration_error))
        }
    return rows


def roc(kind: NDArray[np.int8], chance: Floats) -> tuple[Floats, Floats]:
    """Return false accepts and recall over all thresholds, 400 points."""
    cuts = np.quantile(chance, np.linspace(0, 1, 400))
    low, high = np.sort(chance[kind != ACCEPTED]), np.sort(chance[kind == ACCEPTED])
    return 1 - np.searchsorted(low, cuts) / len(low), 1 - np.searchsorted(high, cuts) / len(high)


def drawn(
    models: dict[str, Model], figures: dict[str, dict[str, list[float]]], pair: str, settings: Settings
) -> Figure:
    """Return the picture: ROC with the operating points, and reliability."""
    from wisp_gym.evaluation.plots.style import COLOURS, LINES

    made = Figure(figsize=(6.8, 3.2))
    left, right = made.subplots(1, 2)
    unseen = tokens_of(profiles.acceptance(pair), "test", settings)
    for at, (name, model) in enumerate(models.items()):
        chance = model(unseen.signals)
        style = {"color": COLOURS[at], "linestyle": LINES[at % len(LINES)], "label": name}
        left.plot(*roc(unseen.kind, chance), **style)
        left.plot(figures[name]["false_accept"][0], figures[name]["recall"][0], "o", color=COLOURS[at])
        half = (figures[name]["false_accept_at_half"][0], figures[name]["recall_at_half"][0])
        left.plot(*half, "s", color=COLOURS[at], markerfacecolor="white")
        mean, seen, _ = reliability(unseen.kind == ACCEPTED, chance)
        right.plot(mean, seen, marker=".", **style)
    star = {"color": "black", "markersize": 11, "markerfacecolor": "none", "linestyle": "none"}
    left.plot(PAPER_POINT[1], PAPER_POINT[0], marker="*", label="paper, network", **star)
    (low, high), (near, far) = PAPER_TREES
    left.fill([near, far, far, near], [low, low, high, high], color="0.6", label="paper, trees", linewidth=2)
    left.plot([], [], "o", color="0.3", label="at recall 0.801")
    left.plot([], [], "s", color="0.3", markerfacecolor="white", label="at threshold 0.5")
    left.plot([0, 1], [0, 1], color="0.7", linewidth=0.6)
    left.set(xlabel="rejected tokens taken for accepted", ylabel="recall on accepted tokens")
    left.set(xlim=(0, 1), ylim=(0, 1.01))
    left.legend(loc="lower right")
    right.plot([0, 1], [0, 1], color="0.7", linewidth=0.6)
    right.set(xlabel="predicted chance of acceptance", ylabel="observed share", xlim=(0, 1), ylim=(0, 1))
    return made


def print_models(figures: dict[str, dict[str, list[float]]]) -> None:
    """Print the table of models."""
    names = list(next(iter(figures.values())))
    print(f"{'':22}" + "".join(f"{model:>20}" for model in figures))
    for name in names:
        cells = (f"{value[name][0]:.3f} ± {value[name][1]:.3f}" for value in figures.values())
        print(f"{name:22}" + "".join(f"{cell:>20}" for cell in cells))


def main() -> None:
    """Measure, draw and print."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="qwen3-0.6b-qwen3-32b", help="acceptance profile")
    parser.add_argument("--plot", type=Path, help="PNG file to draw")
    options = parser.parse_args()
    settings = Settings()
    fewer = replace(settings, streams=STREAMS)
    seen = tokens_of(profiles.acceptance(options.pair), "train", fewer)
    models = {"network": network_of(options.pair), **tree_models(seen, settings.seed)}
    figures = compared(models, options.pair, fewer)
    print(f"{options.pair}, rounds of {settings.k}; the paper's network: {PAPER_POINT}")
    print_models(figures)
    five = replace(fewer, k=5)
    shorter = compared({"network": models["network"]}, options.pair, five)["network"]
    print(
        f"\nthe network in rounds of 5: recall {shorter['recall']}, false accepts {shorter['false_accept']}\n"
    )
    rows = own_or_common(profiles.names("acceptance"), settings)
    print(f"{'':42}{'AUC, own':>10}{'common':>8}{'error, own':>12}{'common':>8}")
    for name, row in rows.items():
        print(
            f"{name:42}{row['auc_own']:10.4f}{row['auc_common']:8.4f}"
            f"{row['calibration_error_own']:12.4f}{row['calibration_error_common']:8.4f}"
        )
    if options.plot is not None:
        import matplotlib

        from wisp_gym.evaluation.plots.style import RC

        with matplotlib.rc_context(RC):
            drawn(models, figures, options.pair, replace(settings, streams=PAIR_STREAMS)).savefig(
                options.plot
            )
    result: dict[str, Any] = {"pair": options.pair, "k": settings.k, "models": figures}
    print(json.dumps(result | {"rounds_of_5": shorter, "own_or_common": rows}))


if __name__ == "__main__":
    main()
