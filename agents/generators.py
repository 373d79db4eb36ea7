"""The state of the global generators of Python, NumPy and torch, as arrays."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wisp_gym.errors import InputError

WORDS = 624
"""Of the Mersenne Twister's state."""

Arrays = dict[str, NDArray[Any]]


def capture() -> Arrays:
    """Return the state of all three."""
    _, words, spare = random.getstate()
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002 (the learners draw from it)
    return {
        "python": np.array(words, np.uint64),
        "python_spare": np.array([] if spare is None else [spare], np.float64),
        "numpy": np.array(keys, np.uint32),
        "numpy_position": np.array([position, has_gauss], np.int64),
        "numpy_gauss": np.array([gauss], np.float64),
        "torch": torch.get_rng_state().numpy().copy(),
    }


def restore(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Set all three to a captured state.

    :param arrays: as `capture` returned them
    :raises InputError: a place in NumPy's words, which NumPy does not check, is beyond them
    """
    spare = arrays["python_spare"]
    words = tuple(int(word) for word in arrays["python"])
    random.setstate((3, words, float(spare[0]) if spare.size else None))
    position, has_gauss = (int(value) for value in arrays["numpy_position"])
    if arrays["numpy"].shape != (WORDS,) or not 0 <= position <= WORDS or has_gauss not in (0, 1):
        raise InputError(f"generators/numpy_position: {position}, {has_gauss}; allowed: 0 to {WORDS}, 0 or 1")
    state = ("MT19937", arrays["numpy"], position, has_gauss, float(arrays["numpy_gauss"][0]))
    np.random.set_state(state)  # noqa: NPY002
    torch.set_rng_state(torch.from_numpy(arrays["torch"].copy()))
