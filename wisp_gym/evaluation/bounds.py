"""What a comparison needs to show the bounds `tuned` and `hindsight` as rows: which action runs in which
world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wisp_gym.evaluation.hindsight import hindsight
from wisp_gym.evaluation.record import TUNED_FOLDER, record_name, store, stored
from wisp_gym.evaluation.spec import Progress, Split
from wisp_gym.evaluation.tune import TuneRecord, Tuning, tune

if TYPE_CHECKING:
    from wisp_gym.scenario import Scenario

TUNED, HINDSIGHT = "tuned", "hindsight"
BOUNDS = (TUNED, HINDSIGHT)
"""Policy names that a comparison finds actions for."""


@dataclass(frozen=True)
class Bounds:
    """The actions behind the bounds of one comparison.

    :param record: of the search that found `tuned`
    :param best: for `hindsight`, the best action by seed, and how many were tried; empty if not asked for
    :param path: where the record belongs; None if it is not kept
    :param read: whether the record was read from there
    """

    record: TuneRecord
    best: Mapping[int, tuple[str, int]]
    path: Path | None
    read: bool

    def controller(self, policy: str, seed: int) -> str:
        """Return the name of the action that runs for a bound.

        :param policy: "tuned" or "hindsight"
        :param seed: of the world
        """
        return self.record.winner if policy == TUNED else self.best[seed][0]

    def keep(self) -> None:
        """Store the record if it is new and has a place.

        :raises OSError: it cannot be written
        """
        if self.path is not None and not self.read:
            store(self.record, self.path)

    def notes(self, policies: Sequence[str]) -> list[str]:
        """Return what a reader must know of these rows, a line each.

        :param policies: of the table
        """
        record = self.record
        lines = []
        if TUNED in policies:
            lines.append(f"{TUNED} = {record.winner}: {record.words}")
            lines.append(
                f"{TUNED}, a bound: the best of {len(record.tried)} constant actions on "
                f"{len(record.seeds)} + {len(record.fresh_seeds)} training worlds, "
                f"{record.simulated_s:,.0f} simulated seconds"
            )
        if HINDSIGHT in policies:
            most = max(tried for _, tried in self.best.values())
            actions = len({name for name, _ in self.best.values()})
            lines.append(
                f"{HINDSIGHT}, a bound, not a controller: in each world the best of up to {most} constant "
                f"actions tried on that very world ({actions} different)"
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return what the files of a comparison say of the bounds."""
        record = self.record
        return {
            TUNED: {
                "action": record.winner,
                "words": record.words,
                "tried": len(record.tried),
                "simulated_s": record.simulated_s,
                "seeds": record.seeds,
                "fresh_seeds": record.fresh_seeds,
            },
            HINDSIGHT: {str(seed): action for seed, (action, _) in self.best.items()},
        }


def find_bounds(
    scenario: Scenario,
    policies: Sequence[str],
    seeds: Sequence[int],
    split: Split,
    *,
    tuning: Tuning | None = None,
    folder: Path | None = TUNED_FOLDER,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Bounds | None:
    """Return the actions behind the bounds among some policies; None if there is no bound among them.

    :param scenario: at the load of the comparison
    :param policies: names
    :param seeds: of the worlds compared
    :param split: which worlds
    :param tuning: how to search where no record is stored
    :param folder: where records are kept; None: neither read nor kept
    :param jobs: processes at most
    :param progress: told how many runs are done, and of how many
    :raises InputError: a stored record is damaged
    """
    if not set(BOUNDS) & set(policies):
        return None
    record = None if folder is None else stored(scenario, folder)
    read = record is not None
    if record is None:
        record = tune(scenario, tuning, jobs, progress)
    best = hindsight(scenario, split, seeds, record, jobs, progress) if HINDSIGHT in policies else {}
    return Bounds(record, best, None if folder is None else folder / record_name(scenario), read)
