"""Token streams: what the calibration promises on fresh keys, purity, ranges, same bits uncompiled.

The figures are computed here anew, not with the calibration's code. Each band is that of the published
figure. The sample's standard error of an acceptance rate is at most 0.002, a tenth of the band's half width.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from wisp_gym import profiles
from wisp_gym.errors import InputError
from wisp_gym.world import streams
from wisp_gym.world.rng import CAUSE_STREAM, key

SEED = 20_260_101  # no seed of the fit
SESSIONS, LENGTH = 1500, 800
NAMES = ("qwen3-0.6b-qwen3-32b", "qwen3-1.7b-qwen3-32b")

DIGEST = """
import hashlib
import numpy as np
from wisp_gym import profiles
from wisp_gym.world import streams
params = streams.stream_params(profiles.acceptance("qwen3-0.6b-qwen3-32b").generator)
digest = hashlib.sha256()
for word in (1, 2**64 - 5):
    accepts = np.zeros(400, np.uint8)
    signals, off_signals = np.zeros((2, 4, 400), np.float32)
    streams.draw_stream(np.uint64(word), params, accepts, signals, off_signals)
    counts = streams.fixed_k_rounds(accepts, 5)
    for array in (accepts, signals, off_signals, counts):
        digest.update(np.ascontiguousarray(array).tobytes())
print(digest.hexdigest())
"""


class Drawn(NamedTuple):
    accepts: NDArray[np.uint8]  # (sessions, length)
    signals: NDArray[np.float32]  # (sessions, 4, length)
    off_signals: NDArray[np.float32]  # (sessions, 4, length)


def draw(name: str, sessions: int, length: int, seed: int = SEED) -> Drawn:
    params = streams.stream_params(profiles.acceptance(name).generator)
    drawn = Drawn(
        np.zeros((sessions, length), np.uint8),
        np.zeros((sessions, 4, length), np.float32),
        np.zeros((sessions, 4, length), np.float32),
    )
    for i in range(sessions):
        word = np.uint64(key(seed, CAUSE_STREAM, i, 0))
        streams.draw_stream(word, params, drawn.accepts[i], drawn.signals[i], drawn.off_signals[i])
    return drawn


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def drawn(name: str) -> Drawn:
    return draw(name, SESSIONS, LENGTH)


def area(agrees: NDArray[np.uint8], values: NDArray[np.float32]) -> float:
    """Mann-Whitney: P(value at an agreement > value at a disagreement)."""
    low = np.sort(values[agrees == 0])
    high = values[agrees != 0]
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.mean() / 2 / len(low))


def test_rounds_by_hand() -> None:
    accepts = np.array([1, 1, 1, 0, 1, 0, 0, 1, 1, 1], np.uint8)
    # from 0: 2 of 2; from 3: 0; from 4: 1; from 6: 0; from 7: 2 of 2; from 10 nothing is left
    assert streams.fixed_k_rounds(accepts, 2).tolist() == [2, 0, 1, 0, 2]
    assert streams.fixed_k_rounds(accepts, 9).tolist() == [3]
    assert streams.fixed_k_rounds(accepts, 10).tolist() == []


def test_acceptance_rates(name: str, drawn: Drawn) -> None:
    """Within 0.02 of each published rate."""
    for rate in profiles.acceptance(name).acceptance_rate:
        counts = np.concatenate([streams.fixed_k_rounds(row, rate.k) for row in drawn.accepts])
        assert counts.mean() / rate.k == pytest.approx(rate.value, abs=0.02), f"k = {rate.k}"


def test_expected_accepted_is_what_streams_give(name: str, drawn: Drawn) -> None:
    expected = profiles.acceptance(name).expected_accepted
    for k in (1, 3, 5, 8, 16, 32):
        counts = np.concatenate([streams.fixed_k_rounds(row, k) for row in drawn.accepts])
        assert counts.mean() == pytest.approx(expected[k], rel=0.025), f"k = {k}"


def test_survival_of_the_larger_draft() -> None:
    """At k = 5 between the two tasks measured for Qwen3-1.7B, give or take 0.03."""
    profile = profiles.acceptance(NAMES[1])
    accepts = draw(NAMES[1], SESSIONS, LENGTH).accepts
    counts = np.concatenate([streams.fixed_k_rounds(row, 5) for row in accepts])
    ours = np.array([np.mean(counts > i) for i in range(5)])
    assert np.all(ours > profile.measured_survival(5, "InstructCoder") - 0.03)
    assert np.all(ours < profile.measured_survival(5, "mt-bench") + 0.03)


def test_step_correlation(drawn: Drawn) -> None:
    """Accepted counts of consecutive rounds, K = 5: 0.16 to 0.34 about the session's mean and pooled."""
    counts = [streams.fixed_k_rounds(row, 5).astype(np.float64) for row in drawn.accepts]
    for middle in ([c.mean() for c in counts], [np.concatenate(counts).mean()] * len(counts)):
        centred = [c - m for c, m in zip(counts, middle, strict=True)]
        before = np.concatenate([c[:-1] for c in centred])
        after = np.concatenate([c[1:] for c in centred])
        assert 0.16 <= np.corrcoef(before, after)[0, 1] <= 0.34


def test_sessions_differ_as_measured(drawn: Drawn) -> None:
    """Standard deviation of a session's acceptance about 14 % of its mean, sampling noise taken out."""
    means = np.array(
        [[streams.fixed_k_rounds(half, 5).mean() for half in np.split(row, 2)] for row in drawn.accepts]
    )
    spread = np.sqrt(np.cov(means.T)[0, 1]) / means.mean()
    assert spread == pytest.approx(0.14, abs=0.03)


def test_signals_tell_as_much_as_measured(drawn: Drawn) -> None:
    agrees = drawn.accepts.ravel()
    assert 0.82 <= area(agrees, drawn.signals[:, streams.CONFIDENCE].ravel()) <= 0.86
    assert 0.82 <= area(agrees, -drawn.signals[:, streams.ENTROPY].ravel()) <= 0.86


def test_entropy_predicts_as_in_the_logs(drawn: Drawn) -> None:
    """P(agree | H) is near 1 / (1 + (H / 3.30 bits)^1.61) where most tokens are."""
    bits = drawn.signals[:, streams.ENTROPY].ravel() / np.log(2.0)
    edges = np.quantile(bits, np.linspace(0.1, 0.9, 9))
    for low, high in itertools.pairwise(edges):
        inside = (bits >= low) & (bits < high)
        law = np.mean(1.0 / (1.0 + (bits[inside] / 3.30) ** 1.61))
        assert drawn.accepts.ravel()[inside].mean() == pytest.approx(law, abs=0.1)


def test_signals_stay_in_their_ranges(drawn: Drawn) -> None:
    for signals in (drawn.signals, drawn.off_signals):
        confidence, entropy, margin, spread = (signals[:, i] for i in range(4))
        assert np.all((confidence > 0.0) & (confidence <= 1.0))
        assert np.all((entropy >= 0.0) & (entropy <= np.float32(streams.MAX_ENTROPY)))
        assert np.all((margin >= 0.0) & (margin <= confidence))
        assert np.all(spread > 0.0)


def test_off_path_signals_know_nothing_of_agreement(drawn: Drawn) -> None:
    values = drawn.off_signals[:, streams.CONFIDENCE].ravel()
    assert area(drawn.accepts.ravel(), values) == pytest.approx(0.5, abs=0.005)


def test_a_longer_stream_begins_with_the_shorter_one() -> None:
    short, long = draw(NAMES[0], 3, 150), draw(NAMES[0], 3, 400)
    np.testing.assert_array_equal(short.accepts, long.accepts[:, :150])
    np.testing.assert_array_equal(short.signals, long.signals[:, :, :150])
    np.testing.assert_array_equal(short.off_signals, long.off_signals[:, :, :150])


def test_drawing_twice_is_the_same_and_keys_differ() -> None:
    one, two, other = draw(NAMES[0], 2, 300), draw(NAMES[0], 2, 300), draw(NAMES[0], 2, 300, SEED + 1)
    np.testing.assert_array_equal(one.signals, two.signals)
    assert not np.array_equal(one.accepts[0], one.accepts[1])
    assert not np.array_equal(one.accepts, other.accepts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"easy_logits": 1.0}, "unknown parameter"),
        ({"easy_tokens": 0.5}, "easy_tokens"),
        ({"block_sd": float("nan")}, "block_sd"),
        ({"signal_noise": 0.5}, "signal_noise"),
    ],
)
def test_unusable_parameters_are_named(change: dict[str, float], message: str) -> None:
    generator = profiles.acceptance(NAMES[0]).generator | change
    with pytest.raises(InputError, match=message):
        streams.stream_params(generator)


def test_a_missing_parameter_is_named() -> None:
    generator = profiles.acceptance(NAMES[0]).generator
    del generator["blur_sd"]
    with pytest.raises(InputError, match="blur_sd: missing"):
        streams.stream_params(generator)


def test_compiled_and_plain_give_the_same_bits() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-W", "error", "-c", DIGEST],
            env=os.environ | {"NUMBA_DISABLE_JIT": switch},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for switch in ("0", "1")
    }
    assert len(outputs) == 1
