"""The verification time estimator: its fit, its batches, measurements from a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from core import EASY, draw, log_hash, run, small, wisp

from wisp_gym.errors import InputError
from wisp_gym.estimation import errors_of, fit, fit_estimator, profiled, served_design, split, wide_design
from wisp_gym.estimation.__main__ import main
from wisp_gym.estimation.measurements import read_measurements
from wisp_gym.pipeline.simulation import scenario_estimator
from wisp_gym.profiles import Estimator, read_estimator
from wisp_gym.world import template_of
from wisp_gym.world.server import pass_time_ns

LAW = np.array([40.0, 0.2, 1e-4, 2e-4])  # ms


def rows(random: np.random.Generator, batches: int, noise: float = 0.0) -> list[str]:
    lines = ["batch,new,cached,time_ms"]
    for b in range(batches):
        members = [
            (int(random.integers(1, 30)), int(random.integers(0, 900))) for _ in range(random.integers(1, 17))
        ]
        sums = (
            1,
            sum(n for n, _ in members),
            sum(n * (n + c) for n, c in members),
            sum(c for _, c in members),
        )
        time = float(LAW @ sums) * (1 + noise * random.standard_normal())
        lines += [f"b{b},{n},{c},{time!r}" for n, c in members]
    return lines


def test_a_linear_law_is_found_again() -> None:
    random = np.random.default_rng(1)
    sums = np.column_stack([np.ones(60), random.uniform(1, 200, (60, 3)) * [1, 500, 50]])
    found = fit(sums, sums @ (1e6 * LAW))
    assert np.allclose(found, 1e6 * LAW, rtol=1e-6)
    errors = errors_of(found, sums, sums @ (1e6 * LAW))
    assert errors.batches == 60
    assert errors.mape < 1e-8
    assert errors.r2 == pytest.approx(1)


def test_no_coefficient_is_negative_and_none_of_the_other_choices_is_better() -> None:
    """A law with a falling term: its coefficient becomes 0, and every other feasible point loses more."""
    random = np.random.default_rng(2)
    sums = np.column_stack([np.ones(80), random.uniform(1, 100, (80, 3))])
    times = sums @ np.array([50.0, 1.0, 0.3, -0.2])
    found = fit(sums, times)
    assert found.min() == 0
    assert found[3] == 0

    def loss(c: np.ndarray) -> float:
        return float((((sums @ c - times) / times) ** 2).sum())

    for _ in range(300):
        other = np.maximum(found + random.normal(0, [0.5, 0.01, 0.01, 0.01]), 0)
        assert loss(other) >= loss(found) - 1e-12


def test_errors_are_those_of_their_definitions() -> None:
    sums = np.array([[1.0, 0, 0, 0], [1, 10, 0, 0]])
    errors = errors_of(np.array([1e6, 1e5, 0, 0]), sums, np.array([2e6, 4e6]))
    assert errors.mae_ms == pytest.approx(1.5)
    assert errors.mape == pytest.approx(0.5)
    assert errors.r2 == pytest.approx(1 - (1 + 4) / 2)


def test_the_split_is_seeded_and_parts_the_batches() -> None:
    ours, held_out = split(173)
    assert (len(ours), len(held_out)) == (123, 50)
    assert sorted([*ours, *held_out]) == list(range(173))
    assert np.array_equal(ours, split(173)[0])
    assert not np.array_equal(ours, np.arange(123))


def test_served_batches_keep_to_the_engines_limits() -> None:
    design = served_design(16, 300, 400)
    sizes = [len(members) for members in design]
    assert len(design) == 173
    assert min(sizes) >= 1
    assert max(sizes) <= 16
    assert max(sum(n for n, _ in members) for members in design) <= 300
    flat = [member for members in design for member in members]
    cold = [n for n, c in flat if c == 0]
    assert 0 < len(cold) < len(flat) / 5
    assert max(cold) > 100
    assert {n for n, c in flat if c > 0} == set(range(1, 10))


def test_a_profile_run_holds_the_servers_noise() -> None:
    template = template_of(small(*EASY, "server.noise_cv=0.05"))
    server, curve = template.server[0], template.pass_ns
    design = wide_design(16, 2048)
    exact = profiled(server, curve, np.ones(1), design)
    noisy = profiled(server, curve, template.noise, design)
    assert 0.03 < float(np.std(noisy.times_ns / exact.times_ns)) < 0.07
    new, cached = design[0][0]
    many = len(design[0])
    pairs = many * new * (cached + new / 2)
    assert exact.times_ns[0] == pytest.approx(
        pass_time_ns(server, curve, many * new, many * cached, pairs, many)
    )


def test_the_errors_reported_are_those_of_batches_not_fitted() -> None:
    template = template_of(small(*EASY))
    coefficients, errors = fit_estimator(template.server[0], template.pass_ns, template.noise, 80)
    assert errors.batches == 50
    limits = template.server[0]
    design = served_design(int(limits["max_batch"]), int(limits["max_new"]), 80)
    batches = profiled(limits, template.pass_ns, template.noise, design)
    ours = split(173, 123)[0]
    assert np.array_equal(coefficients, fit(batches.sums[ours], batches.times_ns[ours]))


def test_a_users_measurements_become_what_the_scheduler_plans_with(tmp_path: Path) -> None:
    csv, out = tmp_path / "measured.csv", tmp_path / "estimator.json"
    csv.write_text("\n".join(rows(np.random.default_rng(3), 80, noise=0.01)))
    assert main(["--csv", str(csv), "--out", str(out)]) == 0
    found = read_estimator(out)
    assert [found.c0, found.c1] == pytest.approx([40, 0.2], rel=0.05)
    override = f"server.estimator={out}"
    world = draw((*EASY, override))
    assert scenario_estimator(world) == pytest.approx(found.coefficients_ns())
    assert scenario_estimator(draw()) != pytest.approx(found.coefficients_ns())


def test_a_wrong_estimator_changes_what_the_scheduler_does_and_not_the_passes(tmp_path: Path) -> None:
    file = tmp_path / "slow.json"
    file.write_text(Estimator(c0=200, c1=0, c2=0, c3=0).text())
    crowded = (*EASY, "fleet.devices=32")
    plain, slow = draw(crowded), draw((*crowded, f"server.estimator={file}"))
    assert log_hash(run(plain, wisp("last"))) != log_hash(run(slow, wisp("last")))
    from core import POLICIES  # a rule that does not plan is not moved by it

    assert log_hash(run(plain, POLICIES["sled"]())) == log_hash(run(slow, POLICIES["sled"]()))


def test_a_scenario_is_known_by_its_estimators_content(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.json", "b.json", "c.json")]
    for path, c0 in zip(paths, (40.0, 40.0, 41.0), strict=True):
        path.write_text(json.dumps({"c0": c0, "c1": 0.2, "c2": 0, "c3": 0}))
    digests = [small(f"server.estimator={path}").digest() for path in paths]
    assert digests[0] == digests[1] != digests[2]
    assert small().digest() != digests[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "c0 is missing"),
        ('{"c0": 1, "c1": 0, "c2": 0, "c3": -1}', "c3"),
        ('{"c0": 0, "c1": 0, "c2": 0, "c3": 0}', "must take some time"),
        ('{"c0": 1, "c1": 0, "c2": 0, "c3": 0, "unit": "s"}', "unit"),
        ('{"c0": 1, "c1": 0, "c2": 0, "c4": 0}', "unknown key 'c4'"),
        ("not json: [", "line 1, column"),
    ],
)
def test_a_bad_estimator_gives_one_line(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "e.json"
    file.write_text(text)
    with pytest.raises(InputError, match=says) as error:
        small(f"server.estimator={file}")
    assert str(error.value).startswith("server.estimator: ")
    assert "\n" not in str(error.value)


def test_a_missing_estimator_is_named() -> None:
    with pytest.raises(InputError, match=r"server\.estimator: .*nowhere\.json: no such file"):
        small("server.estimator=nowhere.json")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: lines[:1], "holds 0 batches"),
        (lambda lines: ["a,b,c"], "line 1: columns a, b, c"),
        (lambda lines: [*lines, "b0,5,10,1"], "time_ms = '1': batch 'b0' has"),
        (lambda lines: [*lines, "x,0,10,1"], "new = '0': must be a whole number, 1"),
        (lambda lines: [*lines, "x,1,-3,1"], "cached = '-3'"),
        (lambda lines: [*lines, "x,1,3,nan"], "time_ms = 'nan'"),
        (lambda lines: [*lines, "x,1,3,0"], "time_ms = '0'"),
        (lambda lines: [*lines, "x,1,3"], "must have 4 fields"),
        (lambda lines: lines[:30], "must hold at least 20"),
    ],
)
def test_bad_measurements_give_one_line_and_write_nothing(
    change: object, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv, out = tmp_path / "measured.csv", tmp_path / "estimator.json"
    assert callable(change)
    csv.write_text("\n".join(change(rows(np.random.default_rng(4), 40))))
    assert main(["--csv", str(csv), "--out", str(out)]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == [csv]


def test_column_order_spaces_and_blank_lines_do_not_matter(tmp_path: Path) -> None:
    lines = rows(np.random.default_rng(5), 30)
    straight, turned = tmp_path / "a.csv", tmp_path / "b.csv"
    straight.write_text("\n".join(lines))
    parts = [line.split(",") for line in lines]
    turned.write_text("\n\n".join(f"{t}, {c} ,gpu,{b},{n}" for b, n, c, t in parts).replace("gpu", "note", 1))
    one, two = read_measurements(straight), read_measurements(turned)
    assert np.array_equal(one.sums, two.sums)
    assert np.array_equal(one.times_ns, two.times_ns)


def test_output_that_cannot_be_written_gives_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = tmp_path / "measured.csv"
    csv.write_text("\n".join(rows(np.random.default_rng(6), 30)))
    assert main(["--csv", str(csv), "--out", str(tmp_path / "no" / "e.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err
