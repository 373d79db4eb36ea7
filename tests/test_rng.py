"""Random numbers by address: known values, laws, and the same bits without compilation."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

import numpy as np

from wisp_gym.world import rng

NUMBERS = 20_000

DIGEST = """
import hashlib
import numpy as np
from wisp_gym.world import rng
from wisp_gym.world.rng import key
word = np.uint64(key(7, rng.CAUSE_STREAM, 3, 1))
numbers = [f(word, i) for f in (rng.uniform, rng.normal) for i in range(500)]
tails = [rng.normal_quantile(10.0**-e) for e in range(1, 17)]
print(int(word), hashlib.sha256(np.array(numbers + tails).tobytes()).hexdigest())
"""


def test_bits_are_splitmix64() -> None:
    """The first outputs of the published generator for seed 0 and for seed 1234567."""
    assert [int(rng.bits(0, i)) for i in range(3)] == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]
    assert [int(rng.bits(1234567, i)) for i in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_every_part_of_an_address_changes_the_key() -> None:
    addresses = {(s, c, e, i) for s in range(4) for c in range(4) for e in range(8) for i in range(8)}
    assert len({int(rng.key(*address)) for address in addresses}) == len(addresses)


def test_uniform_lies_inside_and_is_uniform() -> None:
    word = np.uint64(rng.key(5, rng.CAUSE_LENGTH, 0, 0))
    drawn = np.sort([rng.uniform(word, i) for i in range(NUMBERS)])
    assert drawn[0] > 0.0
    assert drawn[-1] < 1.0
    distance = np.max(np.abs(drawn - (np.arange(NUMBERS) + 0.5) / NUMBERS))
    assert distance < 1.95 / np.sqrt(NUMBERS)  # Kolmogorov-Smirnov, 0.1 %


def test_extreme_bits_stay_inside_the_open_interval() -> None:
    lowest, highest = 0.5 * 2.0**-52, (2.0**52 - 0.5) * 2.0**-52
    assert 0.0 < lowest < highest < 1.0
    assert np.isfinite(rng.normal_quantile(lowest))
    assert np.isfinite(rng.normal_quantile(highest))


def test_neighbouring_numbers_and_keys_are_uncorrelated() -> None:
    one, two = (np.uint64(rng.key(5, rng.CAUSE_LENGTH, device, 0)) for device in (0, 1))
    a, b = (np.array([rng.normal(word, i) for i in range(NUMBERS)]) for word in (one, two))
    bound = 3.3 / np.sqrt(NUMBERS)
    assert abs(np.corrcoef(a, b)[0, 1]) < bound
    assert abs(np.corrcoef(a[:-1], a[1:])[0, 1]) < bound
    assert abs(a.mean()) < bound
    assert abs(a.std() - 1.0) < bound


def test_normal_quantile_against_the_standard_library() -> None:
    normal = statistics.NormalDist()
    for p in [*np.linspace(0.001, 0.999, 777), *(10.0**-e for e in range(1, 17))]:
        exact = normal.inv_cdf(float(p))
        assert abs(rng.normal_quantile(float(p)) - exact) <= 1e-14 * max(1.0, abs(exact))


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
