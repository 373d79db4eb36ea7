"""The record of a search as text for a terminal: the best ten and the winner."""

from __future__ import annotations

from collections.abc import Sequence

from wisp_gym.envs.constant import describe
from wisp_gym.evaluation.trials import Trial
from wisp_gym.evaluation.tune import TuneRecord

SHOWN = 10


def render_record(record: TuneRecord) -> str:
    """Return the best ten of a search, the finalists in the fresh worlds, and what won.

    :param record: of a finished search
    """
    searched = f"{len(record.seeds)} training worlds of {record.horizon_s:g} s"
    fresh = f"{len(record.fresh_seeds)} fresh training worlds of {record.fresh_horizon_s:g} s"
    return "\n".join(
        [
            f"{record.scenario}: {len(record.tried)} constant actions in {searched}; the best {SHOWN}",
            *_lines(record.ranked()[:SHOWN]),
            "",
            f"the best {len(record.finalists)} in {fresh}",
            *_lines(sorted(record.finalists, key=Trial.worth, reverse=True)),
            "",
            f"tuned = {record.winner}: {record.words}",
            f"{record.simulated_s:,.0f} simulated seconds, warm-ups not counted; "
            f"WISP's reading of deadlines is the scenario's, {record.deadline}",
        ]
    )


def _lines(trials: Sequence[Trial]) -> list[str]:
    """Return a heading and a line a trial."""
    heading = "  goodput tok/s  worst class %  action"
    return [heading, *(_line(trial) for trial in trials)]


def _line(trial: Trial) -> str:
    """Return what an action did."""
    worst = 100 * trial.worst_attainment()
    return f"  {trial.mean_goodput_tps():13.2f}  {worst:13.1f}  {describe(trial.values)}"
