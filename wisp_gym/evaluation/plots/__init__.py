"""Plots of stored results: a pure function of a folder's files, the same bytes for the same files.

`draw` reads what evaluate.py wrote and adds PDF and PNG files in a folder `plots/`. Nothing else in wisp_gym
imports matplotlib.
"""

from wisp_gym.evaluation.plots.draw import FOLDER, draw, figures
from wisp_gym.evaluation.plots.results import Results, read_results

__all__ = ["FOLDER", "Results", "draw", "figures", "read_results"]
