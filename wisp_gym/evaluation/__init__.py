"""Evaluation: policies on shared worlds, a row a policy and seed, paired intervals, tables, files.

The unit is a pure function from a specification to a row (`evaluate_row`); `compare` spreads it over worlds
and processes; `render` and `save` show and keep what came out.
"""

from wisp_gym.evaluation.best import Choice, choose
from wisp_gym.evaluation.compare import Comparison, compare
from wisp_gym.evaluation.output import check_writable, default_folder
from wisp_gym.evaluation.runner import evaluate_row, evaluate_world, evaluate_worlds, usable_cores
from wisp_gym.evaluation.save import save
from wisp_gym.evaluation.spec import Candidates, Progress, Resolve, Row, RowSpec, Split
from wisp_gym.evaluation.statistics import Estimate
from wisp_gym.evaluation.summary import PolicySummary, summarise
from wisp_gym.evaluation.table import render
from wisp_gym.evaluation.trace import check_trace, trace_file

__all__ = [
    "Candidates",
    "Choice",
    "Comparison",
    "Estimate",
    "PolicySummary",
    "Progress",
    "Resolve",
    "Row",
    "RowSpec",
    "Split",
    "check_trace",
    "check_writable",
    "choose",
    "compare",
    "default_folder",
    "evaluate_row",
    "evaluate_world",
    "evaluate_worlds",
    "render",
    "save",
    "summarise",
    "trace_file",
    "usable_cores",
]
