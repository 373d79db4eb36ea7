"""Reading weights that strangers wrote: a safetensors file of arrays that NumPy has, or one line of error."""

from __future__ import annotations

from typing import Any

import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from wisp_gym.errors import InputError


def load_tensors(content: bytes, origin: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a safetensors file by name.

    :param content: of the file
    :param origin: what to call it in an error
    :raises InputError: it is none, or holds numbers of a kind that NumPy does not have (BF16, F8)
    """
    try:
        tensors: dict[str, NDArray[Any]] = safetensors.numpy.load(content)
    except KeyError as error:
        kind = str(error.args[0])[:20] if error.args else ""
        raise InputError(f"{origin}: holds numbers of kind {kind}; allowed: F32") from None
    except (SafetensorError, ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{origin}: no safetensors file ({str(error)[:200]})") from None
    return tensors
