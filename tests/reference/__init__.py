"""A second simulator, written from the definitions and not from the kernel: plain objects, an event heap, slow and obvious."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from reference.compare import Reference, difference, simulate

__all__ = ["Reference", "difference", "simulate"]
