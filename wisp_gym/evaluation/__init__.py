"""Evaluation: policies on shared worlds, a row a policy and seed, paired intervals, tables, files.

The unit is a pure function from a specification to a row (`evaluate_row`); `compare` spreads it over worlds
and processes; `render` and `save` show and keep what came out. `measure_capacity` and `sweep_loads` do
so over fleets of many sizes. Pictures are `wisp_gym.evaluation.plots`, which alone imports matplotlib.
"""

from wisp_gym.evaluation.best import Choice, choose
from wisp_gym.evaluation.bounds import BOUNDS, Bounds
from wisp_gym.evaluation.capacity import Capacity, CapacityStudy, measure_capacity
from wisp_gym.evaluation.compare import Comparison, compare
from wisp_gym.evaluation.event_log import EventLogs, event_logs
from wisp_gym.evaluation.event_log_rescore import EventLog, check_changes, read_logs, rescore
from wisp_gym.evaluation.event_log_save import save_rescored
from wisp_gym.evaluation.fleets import FleetKind, at_load, fleet_kinds
from wisp_gym.evaluation.grid import Grid, measure_grid
from wisp_gym.evaluation.grid_output import GRID_FILES, render_grid, save_grid
from wisp_gym.evaluation.hindsight import hindsight
from wisp_gym.evaluation.load_runner import Workplace
from wisp_gym.evaluation.load_save import save_capacity, save_loads
from wisp_gym.evaluation.load_sweep import LoadSweep, parse_loads, sweep_loads
from wisp_gym.evaluation.load_table import render_capacity, render_loads
from wisp_gym.evaluation.lock import held
from wisp_gym.evaluation.output import FILES, check_writable, default_folder
from wisp_gym.evaluation.record import TUNED_FOLDER, record_name, store, stored
from wisp_gym.evaluation.runner import evaluate_row, evaluate_world, evaluate_worlds, usable_cores
from wisp_gym.evaluation.save import save
from wisp_gym.evaluation.spec import Candidates, Progress, Resolve, Row, RowSpec, Split
from wisp_gym.evaluation.statistics import Estimate
from wisp_gym.evaluation.summary import PolicySummary, summarise
from wisp_gym.evaluation.table import render
from wisp_gym.evaluation.trace import check_trace, trace_file
from wisp_gym.evaluation.tune import TuneRecord, Tuning, default_tuning, tune
from wisp_gym.evaluation.tune_table import render_record

__all__ = [
    "BOUNDS",
    "FILES",
    "GRID_FILES",
    "TUNED_FOLDER",
    "Bounds",
    "Candidates",
    "Capacity",
    "CapacityStudy",
    "Choice",
    "Comparison",
    "Estimate",
    "EventLog",
    "EventLogs",
    "FleetKind",
    "Grid",
    "LoadSweep",
    "PolicySummary",
    "Progress",
    "Resolve",
    "Row",
    "RowSpec",
    "Split",
    "TuneRecord",
    "Tuning",
    "Workplace",
    "at_load",
    "check_changes",
    "check_trace",
    "check_writable",
    "choose",
    "compare",
    "default_folder",
    "default_tuning",
    "evaluate_row",
    "evaluate_world",
    "evaluate_worlds",
    "event_logs",
    "fleet_kinds",
    "held",
    "hindsight",
    "measure_capacity",
    "measure_grid",
    "parse_loads",
    "read_logs",
    "record_name",
    "render",
    "render_capacity",
    "render_grid",
    "render_loads",
    "render_record",
    "rescore",
    "save",
    "save_capacity",
    "save_grid",
    "save_loads",
    "save_rescored",
    "store",
    "stored",
    "summarise",
    "sweep_loads",
    "trace_file",
    "tune",
    "usable_cores",
]
