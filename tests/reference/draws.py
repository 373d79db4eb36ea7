"""The world's draws by address, in plain integers: SplitMix64 as wisp_gym/world/rng.py defines it."""

from __future__ import annotations

WORD = 2**64 - 1
GAMMA = 0x9E3779B97F4A7C15
CAUSE_NETWORK, CAUSE_SERVER, CAUSE_POLICY = 5, 6, 8
SLOT_NS = 50_000_000
LOOKBACK = 64


def mix(z: int) -> int:
    """SplitMix64's mixing function."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & WORD
    return z ^ (z >> 31)


def bits(key: int, i: int) -> int:
    """Number `i` of a key: 64 random bits."""
    return mix((key + (i + 1) * GAMMA) & WORD)


def uniform(key: int, i: int) -> float:
    """Number `i` of a key, uniform on (0, 1)."""
    return ((bits(key, i) >> 12) + 0.5) * 2.0**-52


def address(seed: int, cause: int, entity: int, index: int) -> int:
    """The key of one stream of numbers."""
    return bits(bits(bits(seed, cause), entity), index)


def cell(word: int) -> int:
    """A cell of a table of 4,096 quantiles, by the word's upper 12 bits."""
    return word >> 52


def link_cell(link: int, time_ns: int, refresh: int) -> int:
    """The quantile cell of a link at a time: of the last slot that drew anew."""
    slot = time_ns // SLOT_NS
    while slot % LOOKBACK != 0 and bits(link, 2 * slot) >= refresh:
        slot -= 1
    return cell(bits(link, 2 * slot + 1))
