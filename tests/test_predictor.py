"""The stop predictor: what it reaches on streams it has not seen, its bits, its files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from core import EASY, draw, pair, run, small

from agents.predictor.__main__ import main
from agents.predictor.figures import area_under_curve, calibration_error, operating_point, reliability
from agents.predictor.files import generator_hash, weights_bytes
from agents.predictor.fit import figures, fit_predictor, tokens_of
from agents.predictor.tokens import OWN_COPY, Streams, Tokens, drafted, stream_keys
from agents.predictor.training import Settings, network
from wisp_gym import profiles, scenario
from wisp_gym.errors import InputError
from wisp_gym.pipeline import DrafterRule
from wisp_gym.profiles.predictor import FOLDER, predictor_names, read_predictor
from wisp_gym.world import world_seed
from wisp_gym.world.predictor import BLOCK, stop_scores

PAIR = "qwen3-0.6b-qwen3-32b"
TINY = Settings(streams=20, length=60, epochs=2, batch=512)

UNCOMPILED = """
import numpy as np, sys
from wisp_gym import profiles
from wisp_gym.world.predictor import stop_scores
signals = np.load(sys.argv[1])
np.save(sys.argv[2], stop_scores(profiles.predictor("qwen3-0.6b-qwen3-32b").network, signals))
"""


@pytest.fixture(scope="module")
def unseen() -> Tokens:
    """Drafted tokens of test streams, rounds of eight."""
    return tokens_of(profiles.acceptance(PAIR), "test", Settings(streams=700))


def test_the_operating_point_is_the_papers(unseen: Tokens) -> None:
    """Recall 0.801 on accepted tokens, 0.425 of the rejected taken for accepted."""
    reached = figures(profiles.predictor(PAIR), unseen)
    assert reached["recall"] == pytest.approx(0.80, abs=0.03)
    assert reached["false_accept"] == pytest.approx(0.425, abs=0.05)
    assert 0.82 <= reached["auc_on_path"] <= 0.86


def test_rounds_of_five_give_the_same_point() -> None:
    """The length that the streams were calibrated at."""
    tokens = tokens_of(profiles.acceptance(PAIR), "test", Settings(streams=700), k=5)
    reached = figures(profiles.predictor(PAIR), tokens)
    assert reached["recall"] == pytest.approx(0.80, abs=0.03)
    assert reached["false_accept"] == pytest.approx(0.425, abs=0.03)


def test_a_score_is_a_logit_that_can_be_believed(unseen: Tokens) -> None:
    assert figures(profiles.predictor(PAIR), unseen)["calibration_error"] < 0.02


def test_thresholds_have_their_recall(unseen: Tokens) -> None:
    predictor = profiles.predictor(PAIR)
    scores = stop_scores(predictor.network, unseen.signals)
    for recall in (0.95, 0.9, 0.8, 0.65, 0.5, 0.333):
        reached = operating_point(scores, unseen.kind, predictor.threshold(recall))[0]
        assert reached == pytest.approx(recall, abs=0.015)
    assert predictor.threshold(0.8) < predictor.threshold(0.795) < predictor.threshold(0.79)
    with pytest.raises(InputError, match=r"recall of predictor .* 0\.999; allowed: 0\.01 to 0\.99"):
        predictor.threshold(0.999)


def test_splits_share_no_stream() -> None:
    keys = {split: set(stream_keys(split, 3000).tolist()) for split in ("train", "validation", "test")}
    assert all(len(keys[split]) == 3000 for split in keys)
    assert not keys["train"] & keys["validation"]
    assert not keys["test"] & (keys["train"] | keys["validation"])
    worlds = {
        world_seed(split, 0, copy, episode) for split in keys for copy in range(50) for episode in (0, 1)
    }
    assert world_seed("train", 0, OWN_COPY) not in worlds


def test_training_twice_gives_the_same_bytes() -> None:
    acceptance = profiles.acceptance(PAIR)
    made = [fit_predictor(acceptance, TINY, "") for _ in range(2)]
    assert made[0][0] == made[1][0]
    assert weights_bytes(made[0][1]) == weights_bytes(made[1][1])
    other = fit_predictor(acceptance, Settings(**vars(TINY) | {"seed": 1}), "")
    assert weights_bytes(other[1]) != weights_bytes(made[0][1])


def test_scores_are_those_of_torch(unseen: Tokens) -> None:
    """The same weights in torch, on normalised signals, in float64."""
    predictor = profiles.predictor(PAIR)
    record, some = predictor.record, unseen.signals[:, :5000].astype(np.float64)
    tensors = {name: torch.from_numpy(value) for name, value in _tensors(FOLDER / PAIR).items()}
    model = network(record.hidden[1])
    model.load_state_dict(tensors)
    inputs = (some - np.array(record.mean)[:, None]) / np.array(record.scale)[:, None]
    with torch.no_grad():
        expected = model.double()(torch.from_numpy(inputs.T))[:, 0].numpy()
    scores = stop_scores(predictor.network, some.astype(np.float32))
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)


def _tensors(stem: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return dict(load_file(f"{stem}.safetensors"))


def test_compiled_and_plain_give_the_same_bits(unseen: Tokens, tmp_path: Path) -> None:
    signals = unseen.signals[:, : 2 * BLOCK + 7].copy()
    signals[:, 0], signals[:, 1] = (1.0, 0.0, 1.0, 30.0), (0.0, 12.0, 0.0, 0.0)
    np.save(tmp_path / "signals.npy", signals)
    subprocess.run(
        [sys.executable, "-c", UNCOMPILED, str(tmp_path / "signals.npy"), str(tmp_path / "scores.npy")],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        check=True,
    )
    scores = stop_scores(profiles.predictor(PAIR).network, signals)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores, np.load(tmp_path / "scores.npy"))


def test_a_score_depends_on_its_own_position_only(unseen: Tokens) -> None:
    weights, signals = profiles.predictor(PAIR).network, unseen.signals[:, :1000]
    whole = stop_scores(weights, signals)
    for end in (1, BLOCK - 1, BLOCK, BLOCK + 1, 777):
        np.testing.assert_array_equal(stop_scores(weights, signals[:, :end]), whole[:end])
    np.testing.assert_array_equal(stop_scores(weights, signals[:, ::-1]), whole[::-1])
    assert stop_scores(weights, signals[:, :0]).shape == (0,)


def test_drafted_tokens_by_hand() -> None:
    """Rounds of two over 1 0 1 1 0 1: 0 agrees and 1 does not; from 2 both agree; from 5 no round fits."""
    accepts = np.array([[1, 0, 1, 1, 0, 1]], np.uint8)
    on = np.arange(24, dtype=np.float32).reshape(1, 4, 6)
    tokens = drafted(Streams(accepts, on, 100 + on), 2)
    assert tokens.kind.tolist() == [0, 1, 0, 0]
    assert tokens.signals[0].tolist() == [0, 1, 2, 3]
    tokens = drafted(Streams(accepts[:, 1:], on[:, :, 1:], 100 + on[:, :, 1:]), 3)
    assert tokens.kind.tolist() == [1, 2, 2, 0, 0, 1][: len(tokens.kind)]
    assert tokens.signals[0, :3].tolist() == [1, 102, 103]


def test_figures_by_hand() -> None:
    scores, kinds = np.array([3, 1, 2, 0], np.float32), np.array([0, 0, 1, 2], np.int8)
    assert operating_point(scores, kinds, 1.0) == (1.0, 0.5)
    assert area_under_curve(kinds == 0, scores) == 0.75
    agrees, chance = np.array([True, False, True, True]), np.array([0.1, 0.1, 0.9, 0.9])
    mean, seen, share = reliability(agrees, chance, bins=2)
    assert (mean.tolist(), seen.tolist(), share.tolist()) == ([0.1, 0.9], [0.5, 1.0], [0.5, 0.5])
    assert calibration_error(agrees, chance, bins=2) == pytest.approx(0.25)


def test_dropping_the_suspect_sends_one_less() -> None:
    """What is sent is more often accepted; a dropped token is counted as drafted, not as sent."""
    world = draw(EASY)
    sums = {}
    for drop in (False, True):
        counters = run(world, pair("x", DrafterRule.predictor(drop_suspect=drop))).state.counters
        names = ("drafted", "sent", "dropped", "verified", "accepted")
        sums[drop] = {name: int(counters[name].sum()) for name in names}
    assert sums[False]["dropped"] == 0
    assert sums[True]["dropped"] > 50
    assert sums[True]["drafted"] == sums[True]["sent"] + sums[True]["dropped"]
    shares = {drop: counted["accepted"] / counted["verified"] for drop, counted in sums.items()}
    assert shares[True] > 1.1 * shares[False]


def test_every_pair_has_a_predictor_of_its_present_streams() -> None:
    assert predictor_names() == profiles.names("acceptance")
    for name in predictor_names():
        record = profiles.predictor(name).record
        assert record.generator_sha256 == generator_hash(profiles.acceptance(name).generator)
        assert record.held_out["recall"] == pytest.approx(0.80, abs=0.03)
        assert record.held_out["false_accept"] == pytest.approx(0.425, abs=0.05)
        assert all((FOLDER / f"{name}{end}").stat().st_size < 4000 for end in (".json", ".safetensors"))


def test_a_pair_of_ones_own_needs_a_predictor(tmp_path: Path) -> None:
    text = profiles.path_of("acceptance", PAIR).read_text().replace(f"name: {PAIR}", "name: mine")
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=r"acceptance\.profile = 'mine': predictor: .*agents\.predictor"):
        small(f"acceptance.profile={tmp_path / 'mine.yaml'}")
    for end in (".json", ".safetensors"):
        shutil.copy(FOLDER / f"{PAIR}{end}", tmp_path / f"own{end}")
    (tmp_path / "mine.yaml").write_text(f"predictor: own.json\n{text}")
    loaded = small(f"acceptance.profile={tmp_path / 'mine.yaml'}")
    assert loaded.profiles.predictor.name == "own"
    assert {"name": "own", "sha256": loaded.profiles.predictor.sha256} in loaded.to_dict()["profiles"]
    (tmp_path / "mine.yaml").write_text(f"predictor: qwen3-1.7b-qwen3-32b\n{text}")
    assert small(f"acceptance.profile={tmp_path / 'mine.yaml'}").digest() != loaded.digest()
    assert scenario.load("quickstart").profiles.predictor.name == PAIR


BROKEN = [
    ('"format": 1', '"format": 2', "format 2 is not known"),
    ('"format": 1,', '"format": 1', "cannot be read"),
    ('"hidden": [8, 8]', '"hidden": [8, 9]', r"2\.weight must be float32 of \(9, 8\)"),
    ('"hidden": [8, 8]', '"hidden": [4, 8]', "hidden"),
    ('"recalls": [0.01,', '"recalls": [0.0,', "recalls must rise"),
    ('"thresholds": [', '"thresholds": [-9.0, ', "must be equal"),
    ('"scale": [', '"scale": [-', "scale must be above 0"),
    ('"weights_sha256": "', '"weights_sha256": "0', "damaged"),
    ('"pair"', '"pear"', "did you mean 'pair'"),
]


@pytest.mark.parametrize(("old", "new", "message"), BROKEN)
def test_a_broken_record_is_one_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = (FOLDER / f"{PAIR}.json").read_text()
    assert old in text
    (tmp_path / "x.json").write_text(text.replace(old, new, 1))
    shutil.copy(FOLDER / f"{PAIR}.safetensors", tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=message):
        read_predictor(tmp_path / "x.json")


def test_damaged_or_missing_weights(tmp_path: Path) -> None:
    shutil.copy(FOLDER / f"{PAIR}.json", tmp_path / "x.json")
    with pytest.raises(InputError, match=r"x\.safetensors: no such file"):
        read_predictor(tmp_path / "x.json")
    content = bytearray((FOLDER / f"{PAIR}.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_predictor(tmp_path / "x.json")


def test_the_command_writes_both_files_or_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = ["--streams", "10", "--length", "40", "--epochs", "1", "--out", str(tmp_path / "made")]
    assert main(["--pair", PAIR, *tiny]) == 0
    made = read_predictor(tmp_path / "made" / f"{PAIR}.json")
    assert (
        made.record.command == f"python -m agents.predictor --pair {PAIR} --streams 10 --length 40 --epochs 1"
    )
    assert main(["--pair", PAIR, *tiny, "--units", "65", "--out", str(tmp_path / "none")]) == 2
    assert main(["--pair", "qwen3-0.6b-qwen3-32", "--out", str(tmp_path / "none")]) == 2
    assert "--units 65: allowed: 1 to 64" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
