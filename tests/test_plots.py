"""Plots of stored results: what they show, that nothing is clipped, that bytes repeat."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import evaluate
from wisp_gym.errors import InputError
from wisp_gym.evaluation import plots
from wisp_gym.evaluation.plots import style
from wisp_gym.evaluation.plots.results import read_results

POLICIES = ("wisp", "wisp:late=urgent,deadline=timeline", "predictor+runs/some-long-name/patient.py:Patient")
NUMBERS = (1, 2, 3, 4)
PER_TOKEN = {"draft": 0.03, "wdt": 0.01, "network": 0.02, "queue": 0.04, "verify": 0.05}


def row(policy: str, seed: int, devices: int, fleet: str | None = None) -> dict[str, object]:
    """Return a stored row made by hand: a policy holds fewer devices the later it stands."""
    place = POLICIES.index(policy)
    holds = 40 - 10 * place + seed
    attained = min(1.0, holds / devices)
    metrics: dict[str, object] = {
        "goodput_tps": 5.0 * min(devices, holds),
        "throughput_tps": 5.0 * devices,
        "window_s": 60.0,
        "devices": float(devices),
        "wdt_per_token_s": PER_TOKEN["wdt"],
        **{f"attainment_class_{number}": attained ** (number / 2) for number in NUMBERS},
        **{f"{name}_per_token_s": value for name, value in PER_TOKEN.items()},
        **{f"vi_{name}_per_token_s": 0.001 * place for name in ("raw", "mix", "queue")},
        **{f"tbt_p{q}_s": 0.001 * q * (1 + place) for q in (50, 95, 99)},
    }
    if fleet is not None and fleet != "mix":
        metrics |= {f"attainment_class_{number}": np.nan for number in NUMBERS[:3]}
    keys: dict[str, object] = {"fleet": fleet} if fleet else {}
    return keys | {"policy": policy, "controller": policy, "split": "test", "seed": seed} | metrics


def manifest(folder: Path) -> None:
    """Seal the files that are there."""
    scenario = {"classes": {"rates_tps": [2.0, 4.0, 6.0, 8.0]}}
    sources = [path for path in folder.iterdir() if path.is_file() and path.name != "manifest.json"]
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sources}
    (folder / "manifest.json").write_text(json.dumps({"scenario": scenario, "sha256": hashes}))


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    rows = [row(policy, seed, 50) for policy in POLICIES for seed in (0, 1, 2)]
    pd.DataFrame(rows).to_csv(tmp_path / "metrics.csv", index=False)
    manifest(tmp_path)
    return tmp_path


@pytest.fixture
def capacity(tmp_path: Path) -> Path:
    fleets, sizes = ("6 tok/s", "8 tok/s", "mix"), (4, 10, 20, 40, 60)
    rows = [
        row(policy, seed, size, fleet)
        for fleet in fleets
        for policy in POLICIES
        for size in sizes
        for seed in (0, 1)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "capacity.csv", index=False)
    entries = [
        {
            "fleet": fleet,
            "policy": policy,
            "capacity_devices": 40 - 10 * at,
            "crossed": True,
            "low_devices": 39 - 10 * at,
            "high_devices": None if at == 2 else 41 - 10 * at,
        }
        for fleet in fleets
        for at, policy in enumerate(POLICIES)
    ]
    (tmp_path / "capacity.json").write_text(json.dumps({"capacities": entries}))
    manifest(tmp_path)
    return tmp_path


def texts(made: Figure) -> set[str]:
    """Return all labels of the axes and the figure."""
    found = {text for axes in made.axes for text in (axes.get_xlabel(), axes.get_ylabel())}
    return found | {made.get_supxlabel(), made.get_supylabel()} - {""}


def assert_nothing_is_clipped(made: Figure) -> None:
    """Everything that is shown lies inside the figure."""
    with matplotlib.rc_context(style.RC):
        canvas = FigureCanvasAgg(made)
        canvas.draw()
        box = made.get_tightbbox(canvas.get_renderer())
    width, height = made.get_size_inches()
    corners = [box.x0, box.y0, width - box.x1, height - box.y1]
    assert min(corners) >= -0.01, (corners, [axes.get_xlabel() for axes in made.axes])


def test_a_comparison_has_five_plots_with_units(comparison: Path) -> None:
    made = plots.figures(comparison)
    expected = {
        "goodput": "goodput [tok/s], 95 % CI, 3 seeds",
        "class-attainment": "attainment [%], 95 % CI, 3 seeds",
        "time-parts": "share of time per token [%]",
        "time-between-tokens": "time between tokens [ms]",
        "wdt-vi": "WDT [ms/token]",
    }
    assert set(made) == set(expected)
    for name, told in expected.items():
        assert told in texts(made[name])
        assert made[name].get_figwidth() == style.WIDTH_IN
        assert_nothing_is_clipped(made[name])


def test_bars_show_the_means(comparison: Path) -> None:
    (axes,) = plots.figures(comparison)["goodput"].axes
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == pytest.approx([5.0 * 41, 5.0 * 31, 5.0 * 21])


def test_time_goes_to_five_parts_that_sum_to_the_whole(comparison: Path) -> None:
    (axes,) = plots.figures(comparison)["time-parts"].axes
    bars = np.array([bar.get_width() for bar in axes.patches]).reshape(5, 3)
    assert bars.sum(axis=0) == pytest.approx(100)
    # Drafting holds the waste: 20 ms kept and 10 ms wasted of 140 ms.
    assert bars[:2, 0] == pytest.approx([100 * 0.02 / 0.14, 100 * 0.01 / 0.14])
    assert "140 ms" in [text.get_text() for text in axes.texts]


def test_plots_of_a_capacity_study(capacity: Path) -> None:
    made = plots.figures(capacity)
    assert {"capacity", "load-goodput-mix", "load-attainment-8-tok-s", "load-alone-attainment"} <= set(made)
    assert "capacity [devices]" in texts(made["capacity"])
    assert {"devices", "goodput [tok/s]"} <= texts(made["load-goodput-mix"])
    assert "attainment, worst class [%]" in texts(made["load-attainment-mix"])
    assert {"TBT, median [ms]", "TBT, p99 [ms]"} <= texts(made["load-time-between-tokens"])
    assert {"WDT [ms/token]", "VI, mix [ms/token]"} <= texts(made["load-wdt-vi"])
    for figure in made.values():
        assert figure.get_figwidth() == style.WIDTH_IN
        assert_nothing_is_clipped(figure)


def test_a_line_shows_the_worst_class_and_its_capacity(capacity: Path) -> None:
    (axes,) = plots.figures(capacity)["load-attainment-mix"].axes
    drawn = np.asarray(axes.lines[0].get_xydata())
    worst = [min(1.0, (40 + seed) / 60) ** 2 for seed in (0, 1)]
    assert drawn[-1] == pytest.approx([60, 100 * np.mean(worst)])
    marked = {float(line.get_xdata()[0]) for line in axes.lines if len(set(line.get_xdata())) == 1}
    assert marked == {40.0, 30.0, 20.0}


def test_classes_without_devices_have_no_panel(capacity: Path) -> None:
    frame = pd.read_csv(capacity / "capacity.csv")
    frame[frame["fleet"] == "8 tok/s"].to_csv(capacity / "loads.csv", index=False)
    (capacity / "capacity.csv").unlink()
    manifest(capacity)
    (results,) = read_results(capacity)
    assert results.classes() == [(4, "8 tok/s")]
    assert "load-class-attainment" not in plots.figures(capacity)


def test_files_repeat_themselves(comparison: Path) -> None:
    names = plots.draw(comparison)
    folder = comparison / plots.FOLDER
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(first) == {f"{name}.{form}" for name in names for form in ("pdf", "png")}
    assert all(len(content) > 1000 for content in first.values())
    assert all(b"CreationDate" not in content for content in first.values())
    plots.draw(comparison)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_one_seed_and_one_size_can_be_drawn(tmp_path: Path) -> None:
    pd.DataFrame([row("wisp", 0, 10, "mix")]).to_csv(tmp_path / "loads.csv", index=False)
    manifest(tmp_path)
    for figure in plots.figures(tmp_path).values():
        assert_nothing_is_clipped(figure)


@pytest.mark.parametrize("source", ["metrics.csv", "loads.csv"])
def test_a_policy_that_never_delivered_can_be_drawn(source: str, tmp_path: Path) -> None:
    nothing = {name: np.nan for name in row("wisp", 0, 10) if name.endswith("_s") and name != "window_s"}
    rows = [row("wisp", seed, size, "mix") | nothing for seed in (0, 1) for size in (10, 20)]
    rows += [row(POLICIES[1], seed, size, "mix") for seed in (0, 1) for size in (10, 20)]
    for kept in (rows, rows[:4]):
        pd.DataFrame(kept).to_csv(tmp_path / source, index=False)
        manifest(tmp_path)
        for figure in plots.figures(tmp_path).values():
            assert_nothing_is_clipped(figure)


@pytest.mark.parametrize(
    ("content", "told"),
    [("", "cannot be drawn"), ("a,b\n1,2\n", "no column"), ("\x00\xff", "cannot be drawn")],
)
def test_files_that_are_no_results(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(content, encoding="latin-1")
    manifest(tmp_path)
    with pytest.raises(InputError, match=told):
        plots.draw(tmp_path)
    assert not (tmp_path / plots.FOLDER).exists()


def test_plots_that_cannot_be_written_are_one_line(
    comparison: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (comparison / plots.FOLDER).write_text("in the way")
    assert evaluate.main(["--plot-from", str(comparison)]) == 2
    told = capsys.readouterr().err
    assert "plots cannot be written" in told
    assert told.count("\n") == 1


def test_no_two_of_28_lines_are_alike() -> None:
    styles = {tuple(style.line_style(at).values()) for at in range(28)}
    assert len(styles) == 28


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("wisp", "wisp"),
        ("runs/ppo-quickstart-s0", "ppo-quickstart-\ns0"),
        ("wisp:late=urgent,deadline=timeline", "wisp:\nlate=urgent,\ndeadline=timeline"),
        ("x" * 60, "x" * 16 + "…" + "x" * 16),
    ],
)
def test_names_are_broken_where_they_can_be(name: str, shown: str) -> None:
    assert style.label(name) == shown


def test_the_library_does_not_import_matplotlib() -> None:
    code = "import sys, wisp_gym, wisp_gym.evaluation, evaluate; print('matplotlib' in sys.modules)"
    folder = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=True
    )
    assert done.stdout.strip() == "False"
