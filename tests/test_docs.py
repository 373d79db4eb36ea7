"""The documentation follows the code."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from wisp_gym.envs import EdgeCloud
from wisp_gym.errors import InputError
from wisp_gym.metrics import measure
from wisp_gym.metrics.glossary import GLOSSARY, markdown_table
from wisp_gym.pipeline import Simulation

CLONE = Path(__file__).parents[1]
DOCS = CLONE / "docs"


def script(name: str) -> ModuleType:
    """Import a script of docs/."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    return script("generate")


def test_no_generated_page_is_stale(generate: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    code = generate.main(["--check"])
    assert code == 0, capsys.readouterr().out


def test_a_stale_page_is_named_and_mended(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "metrics.md").write_text(
        "# M\n\nBefore.\n\n<!-- generated: metrics -->\nold\n<!-- end -->\n\nAfter.\n"
    )
    monkeypatch.setattr(generate, "DOCS", docs)
    monkeypatch.setattr(generate, "pages", lambda pages=generate.pages: pages(docs))
    assert generate.main(["--check"]) == 1
    assert "stale: docs/metrics.md" in capsys.readouterr().out
    assert "old" in (docs / "metrics.md").read_text()
    assert not (docs / "environment.md").exists()
    assert generate.main([]) == 0
    page = (docs / "metrics.md").read_text()
    assert page.startswith("# M\n\nBefore.\n\n<!-- generated: metrics -->\n| name | unit")
    assert page.endswith("|\n<!-- end -->\n\nAfter.\n")
    capsys.readouterr()
    assert generate.main(["--check"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<!-- generated: metrics -->\n<!-- edn -->\n", "no line <!-- end -->"),
        ("<!-- generated: metrcs -->\n<!-- end -->\n", "did you mean 'metrics'?"),
    ],
)
def test_a_page_with_a_wrong_mark_is_refused(generate: ModuleType, text: str, told: str) -> None:
    with pytest.raises(InputError, match=re.escape(told)):
        generate.filled(DOCS / "page.md", text)


def test_the_glossary_has_every_metric_and_no_other(simulate: Callable[[str, str], Simulation]) -> None:
    assert GLOSSARY.keys() == measure(simulate("easy", "wisp-urgent")).keys()


def test_units_agree_with_names() -> None:
    endings = {"_tps": "tok/s", "_s": "s", "_share": "share", "_j": "J"}
    for name, metric in GLOSSARY.items():
        for ending, unit in endings.items():
            if name.endswith(ending):
                assert metric.unit == unit, name
        assert metric.meaning
        assert "|" not in metric.meaning


def test_every_metric_has_its_row() -> None:
    named = set(re.findall(r"`(\w+)`", markdown_table()))
    shown = {name for name in GLOSSARY if not re.search(r"_class_[234]$", name)}
    assert shown <= named


def test_the_environments_page_has_all_of_its_docstring(generate: ModuleType) -> None:
    page = (DOCS / "environment.md").read_text(encoding="utf-8")
    for heading in ("Description", "Action Space", "Observation Space", "Rewards", "Starting State"):
        assert f"\n## {heading}\n" in page
    for heading in ("Episode End", "Information", "Rendering", "Arguments", "Version History"):
        assert f"\n## {heading}\n" in page
    assert ":param" not in page
    listed = re.findall(r"^- `(\w+)`: ", page, re.MULTILINE)
    assert sorted(listed) == sorted(set(inspect.signature(EdgeCloud).parameters))


def test_links_and_pictures_lead_somewhere() -> None:
    for page in DOCS.rglob("*.md"):
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


# --- pictures


def test_curves_are_drawn_from_event_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from torch.utils.tensorboard import SummaryWriter

    curves = script("curves")
    with SummaryWriter(str(tmp_path / "run" / "tensorboard")) as writer:
        for step in range(10):
            writer.add_scalar("episode/goodput_tps", 100.0 + step, 1000 * step)
            writer.add_scalar("train/loss", float(step), 1000 * step)
    found = curves.read(tmp_path / "run")
    assert found["episode/goodput_tps"] == (
        [1000 * step for step in range(10)],
        [100.0 + step for step in range(10)],
    )
    figure = curves.draw(found, "a run")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["episode/goodput_tps"]
    lines = shown[0].get_lines()
    assert lines[0].get_ydata().tolist() == found["episode/goodput_tps"][1]
    assert curves.main([str(tmp_path / "run"), "--out", str(tmp_path / "x.png")]) == 0
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert curves.main([str(tmp_path / "none"), "--out", str(tmp_path / "y.png")]) == 2
    assert "no training curves there" in capsys.readouterr().err
    assert not (tmp_path / "y.png").exists()


def test_smoothing_is_tensorboards() -> None:
    smoothed = script("curves").smoothed
    assert smoothed([1.0, 1.0, 1.0]) == pytest.approx([1.0, 1.0, 1.0])
    assert smoothed([0.0, 1.0]) == pytest.approx([0.0, 0.4 / 0.64])


def test_a_frame_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    frame = script("frame")
    words = ["--scenario", "quickstart", "--set", "fleet.devices=5", "--policy", "sled"]
    out = tmp_path / "deep" / "x.png"
    assert frame.main([*words, "--at", "8", "--out", str(out)]) == 0
    with Image.open(out) as picture:
        assert picture.size[0] == 1200
    assert frame.main([*words, "--at", "1e9", "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith("error: --at 1e+09; allowed: ")
