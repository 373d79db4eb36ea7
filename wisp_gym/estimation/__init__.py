"""WISP's verification time estimator: which batches are profiled, how four terms are fitted to them, how
well they do.

    python -m wisp_gym.estimation --csv FILE --out FILE     # from a server's own measurements

docs/estimator.md explains it and holds the figures.
"""

from wisp_gym.estimation.batches import Batches, fit_estimator, profiled, served_design, wide_design
from wisp_gym.estimation.fit import Errors, errors_of, fit, split

__all__ = [
    "Batches",
    "Errors",
    "errors_of",
    "fit",
    "fit_estimator",
    "profiled",
    "served_design",
    "split",
    "wide_design",
]
