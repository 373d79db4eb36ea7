"""Random numbers by address: every draw is a pure function of (seed, cause, entity, index).

The generator is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014),
read at an index instead of stepped: number `i` of a key is `mix(key + (i + 1) * GAMMA)`, with Stafford's
variant 13 as the mixing function. So nothing is ever consumed, and what a controller asks for can change
nothing that another draw sees.

All integers here are 64-bit and unsigned, and stay so: unsigned with signed makes a float in Numba.
"""

from __future__ import annotations

import math

import numpy as np

from wisp_gym._jit import compiled

Unsigned = int | np.uint64
"""A whole number of 0 or more.

A compiled function hands a 64-bit result to Python as a plain int, and Numba takes a plain int for a signed
one. So Python code wraps a key before it passes it on: `np.uint64(key(...))`. Compiled callers need not.
"""

CAUSE_STREAM = 1  # token streams: entity = device, index = session
CAUSE_LENGTH = 2  # prompt and output lengths: entity = device, index = session
CAUSE_THINK = 3  # think times: entity = device, index = session
CAUSE_FLEET = 4  # device type, speed, network and class: entity = device
CAUSE_NETWORK = 5  # delay by time slot: entity = device, index = direction
CAUSE_SERVER = 6  # pass time noise: entity 0, numbers by batch
CAUSE_START = 7  # first starts: entity = device
CAUSE_POLICY = 8  # a controller's own randomness
CAUSE_ENVIRONMENT = 9  # an environment's own draws: length of its warm-up, place in an arrival profile
CAUSE_ARRIVAL = 10  # gaps of an arrival profile: entity 0, numbers by arrival
CAUSE_RANGES = 11  # what a world draws from its scenario's ranges: entity = what

GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_ONE = np.uint64(1)
_TWELVE = np.uint64(12)
_TWENTY_SEVEN = np.uint64(27)
_THIRTY = np.uint64(30)
_THIRTY_ONE = np.uint64(31)
_TO_UNIT = 2.0**-52


@compiled
def mix(z: Unsigned) -> np.uint64:
    """Return SplitMix64's mixing function of `z`: a bijection of the 64-bit integers (Stafford's variant 13).

    :param z: any 64-bit unsigned integer
    """
    word = np.uint64(z)
    word = (word ^ (word >> _THIRTY)) * _MIX_A
    word = (word ^ (word >> _TWENTY_SEVEN)) * _MIX_B
    return word ^ (word >> _THIRTY_ONE)


@compiled
def bits(key: Unsigned, i: Unsigned) -> np.uint64:
    """Return number `i` of a key: 64 random bits.

    :param key: what `key` made
    :param i: which number, 0 or more
    """
    return mix(np.uint64(key) + (np.uint64(i) + _ONE) * GAMMA)


@compiled
def key(seed: Unsigned, cause: Unsigned, entity: Unsigned, index: Unsigned) -> np.uint64:
    """Return the key of one stream of numbers: three chained mixes, so addresses form no pattern.

    :param seed: the world's seed, 0 to 2^64 - 1
    :param cause: one of the CAUSE_ constants
    :param entity: which device, or 0; 0 or more
    :param index: which session, direction and so on; 0 or more
    """
    return bits(bits(bits(np.uint64(seed), cause), entity), index)


@compiled
def uniform(key: Unsigned, i: Unsigned) -> float:
    """Return number `i` of a key, uniform on (0, 1): an odd multiple of 2^-53, never 0 or 1.

    :param key: what `key` made
    :param i: which number, 0 or more
    """
    return (np.float64(np.int64(bits(key, i) >> _TWELVE)) + 0.5) * _TO_UNIT


@compiled
def normal(key: Unsigned, i: Unsigned) -> float:
    """Return number `i` of a key, normal with mean 0 and variance 1: the quantile at `uniform(key, i)`.

    :param key: what `key` made
    :param i: which number, 0 or more
    """
    return normal_quantile(uniform(key, i))


@compiled
def normal_quantile(p: float) -> float:
    """Return the standard normal quantile at `p`, to about 16 digits (Wichura 1988, AS 241, PPND16).

    :param p: a probability, inside (0, 1)
    """
    q = p - 0.5
    if abs(q) <= 0.425:
        return q * _central(0.180625 - q * q)
    tail = p if q < 0.0 else 1.0 - p
    r = math.sqrt(-math.log(tail))
    value = _shoulder(r - 1.6) if r <= 5.0 else _tail(r - 5.0)
    return -value if q < 0.0 else value


# The three rational functions of AS 241, with its coefficients, in Horner's form.


@compiled
def _central(r: float) -> float:
    top = 2509.0809287301226727 * r + 33430.575583588128105
    top = ((top * r + 67265.770927008700853) * r + 45921.953931549871457) * r + 13731.693765509461125
    top = ((top * r + 1971.5909503065514427) * r + 133.14166789178437745) * r + 3.387132872796366608
    low = 5226.495278852545925 * r + 28729.085735721942674
    low = ((low * r + 39307.89580009271061) * r + 21213.794301586595867) * r + 5394.1960214247511077
    low = ((low * r + 687.1870074920579083) * r + 42.313330701600911252) * r + 1.0
    return top / low


@compiled
def _shoulder(r: float) -> float:
    top = 7.7454501427834140764e-4 * r + 0.0227238449892691845833
    top = ((top * r + 0.24178072517745061177) * r + 1.27045825245236838258) * r + 3.64784832476320460504
    top = ((top * r + 5.7694972214606914055) * r + 4.6303378461565452959) * r + 1.42343711074968357734
    low = 1.05075007164441684324e-9 * r + 5.475938084995344946e-4
    low = ((low * r + 0.0151986665636164571966) * r + 0.14810397642748007459) * r + 0.68976733498510000455
    low = ((low * r + 1.6763848301838038494) * r + 2.05319162663775882187) * r + 1.0
    return top / low


@compiled
def _tail(r: float) -> float:
    top = 2.01033439929228813265e-7 * r + 2.71155556874348757815e-5
    top = ((top * r + 0.0012426609473880784386) * r + 0.026532189526576123093) * r + 0.29656057182850489123
    top = ((top * r + 1.7848265399172913358) * r + 5.4637849111641143699) * r + 6.6579046435011037772
    low = 2.04426310338993978564e-15 * r + 1.4215117583164458887e-7
    low = ((low * r + 1.8463183175100546818e-5) * r + 7.868691311456132591e-4) * r + 0.0148753612908506148525
    low = ((low * r + 0.13692988092273580531) * r + 0.59983220655588793769) * r + 1.0
    return top / low
