"""Rows by policy, fleet, size and seed, kept in a file, so that an interrupted run goes on where it was."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wisp_gym._files import read_bytes
from wisp_gym.evaluation.output import write_together
from wisp_gym.evaluation.spec import Row, Split
from wisp_gym.evaluation.writers import number
from wisp_gym.metrics.glossary import GLOSSARY

KEYS = ("fleet", "policy", "controller", "split", "seed", "provenance")
SPLIT: Split = "test"
MAX_BYTES = 256 << 20


@dataclass(frozen=True)
class Key:
    """Which row.

    :param fleet: name of the fleet's kind
    :param policy: what the row is called
    :param devices: size of the fleet
    :param seed: of the test world
    """

    fleet: str
    policy: str
    devices: int
    seed: int


def rounded(row: Row) -> Row:
    """Return a row with its metrics as a file gives them back, so that figures do not depend on whether a row
    was just run or read."""
    metrics = {name: float(number(value) or "nan") for name, value in row.metrics.items()}
    return Row(row.policy, row.controller, row.seed, row.window_s, metrics)


class LoadRows:
    """The rows, and the file in which unfinished work is kept.

    :param folder: of the results; nothing is written before `keep`
    :param finished: name of the file of a finished run; its rows are taken over too
    :param provenance: what the rows rest on, by (fleet, policy); others in the files are left aside
    :param take_over: whether rows that are there already are taken over
    """

    def __init__(
        self,
        folder: Path,
        finished: str,
        provenance: Mapping[tuple[str, str], str],
        take_over: bool = True,
    ) -> None:
        self.folder, self.finished = folder, finished
        self.unfinished = f"{Path(finished).stem}.partial.csv"
        self.provenance = provenance
        self.rows: dict[Key, Row] = {}
        for name in (finished, self.unfinished) if take_over else ():
            self.rows |= self._read(folder / name)
        self.taken_over = len(self.rows)

    def _read(self, path: Path) -> dict[Key, Row]:
        """Return the rows of a file that rest on the same; none where it is not there or not such a file."""
        found: dict[Key, Row] = {}
        try:
            content = read_bytes(path, MAX_BYTES, "a CSV file").decode("utf-8")
            with io.StringIO(content, newline="") as file:
                for line in csv.DictReader(file):
                    kind = line.pop("fleet"), line.pop("policy")
                    controller, split = line.pop("controller"), line.pop("split")
                    seed, same = int(line.pop("seed")), line.pop("provenance") == self.provenance.get(kind)
                    metrics = {name: float(value or "nan") for name, value in line.items()}
                    if metrics.keys() != GLOSSARY.keys():
                        raise ValueError("other metrics than this version's")
                    if same and split == SPLIT:
                        found[self.key(kind, metrics["devices"], seed)] = Row(
                            kind[1], controller, seed, (0.0, metrics["window_s"]), metrics
                        )
        except (ValueError, KeyError, TypeError, ArithmeticError, AttributeError, csv.Error):
            return {}
        return found

    def key(self, kind: tuple[str, str], devices: float, seed: int) -> Key:
        """Return the key of a row that was read.

        :param kind: name of the fleet's kind, and policy
        """
        return Key(*kind, round(devices), seed)

    def add(self, fleet: str, devices: int, row: Row) -> None:
        """Take a row in."""
        self.rows[Key(fleet, row.policy, devices, row.seed)] = rounded(row)

    def of(self, fleet: str, policy: str, devices: int, seeds: Sequence[int]) -> list[Row]:
        """Return the rows of one policy at one size, in the seeds' order.

        :raises KeyError: one has not been run
        """
        return [self.rows[Key(fleet, policy, devices, seed)] for seed in seeds]

    def missing(self, fleet: str, policy: str, devices: int, seeds: Sequence[int]) -> list[int]:
        """Return the seeds whose rows have not been run."""
        return [seed for seed in seeds if Key(fleet, policy, devices, seed) not in self.rows]

    def sizes(self, fleet: str, policy: str, seeds: Sequence[int]) -> list[int]:
        """Return the sizes at which all seeds have been run, ascending."""
        found = {key.devices for key in self.rows if (key.fleet, key.policy) == (fleet, policy)}
        return sorted(size for size in found if not self.missing(fleet, policy, size, seeds))

    def csv(self, keys: Sequence[Key] | None = None) -> bytes:
        """Return rows as CSV: by fleet, policy and size in the order of the keys, or of running.

        :param keys: which; all by default
        """
        shown = list(self.rows) if keys is None else list(keys)
        if not shown:
            return b""
        names = list(self.rows[shown[0]].metrics)
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*KEYS, *names])
        for key in shown:
            row = self.rows[key]
            rests_on = self.provenance[key.fleet, key.policy]
            head = (key.fleet, key.policy, row.controller, SPLIT, key.seed, rests_on)
            writer.writerow([*head, *(number(row.metrics[name]) for name in names)])
        return text.getvalue().encode("utf-8", "backslashreplace")

    def keep(self) -> None:
        """Write all rows into the file of unfinished work, whole or not at all."""
        if self.rows:
            write_together(self.folder, {self.unfinished: self.csv()})

    def drop(self) -> None:
        """Remove the file of unfinished work: a finished run's files stand."""
        (self.folder / self.unfinished).unlink(missing_ok=True)
