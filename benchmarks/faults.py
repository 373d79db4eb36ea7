"""Faults that benchmarks/mutation.py seeds into a copy of the kernel, one at a time, by substitution."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """One wrong line.

    :param name: what the report calls it; :param what: the mistake in words
    :param file: inside the package; :param right: text that stands there exactly once; :param wrong: instead
    """

    name: str
    what: str
    file: str
    right: str
    wrong: str

    def seed(self, package: Path) -> None:
        """Put the fault into a copy of the package.

        :raises ValueError: where the text does not stand there exactly once
        """
        path = package / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.right) != 1:
            raise ValueError(
                f"fault {self.name}: {self.file} has its text {text.count(self.right)} times; allowed: once"
            )
        path.write_text(text.replace(self.right, self.wrong), encoding="utf-8")


FAULTS = (
    Fault(
        "acceptance",
        "the first rejected token counts as accepted",
        "pipeline/device.py",
        'mine["accepted"] = min(accepted, sent)',
        'mine["accepted"] = min(accepted + 1, sent)',
    ),
    Fault(
        "block",
        "the prefix cache keeps the block that the last token has just filled",
        "pipeline/verify.py",
        'mine["cached"] = (session["prompt"] + mine["committed"] - 1) // block * block',
        'mine["cached"] = (session["prompt"] + mine["committed"]) // block * block',
    ),
    Fault(
        "eviction",
        "an evicted session between two rounds still counts as cached",
        "pipeline/memory.py",
        '    hold(state, d, 0)\n    mine["cached"] = 0\n',
        "    hold(state, d, 0)\n",
    ),
    Fault(
        "tie",
        "equally ranked requests go by the higher device index",
        "rules/order.py",
        "    return a < b\n",
        "    return a > b\n",
    ),
    Fault(
        "order of a link",
        "a later result may overtake an earlier one on the downlink",
        "pipeline/device.py",
        'arrival = max(now_ns + world.down_ns[network, cell], mine["down_free_ns"])',
        "arrival = now_ns + world.down_ns[network, cell]",
    ),
    Fault(
        "reserve",
        "a pass reserves no memory for the drafts",
        "pipeline/queue.py",
        "    return context + k\n",
        "    return context\n",
    ),
    Fault(
        "noise",
        "a pass reads the next pass's noise",
        "pipeline/verify.py",
        'noise_factor(world, clock["batch_no"])',
        'noise_factor(world, clock["batch_no"] + 1)',
    ),
    Fault(
        "late",
        "late requests that go last do so by deadline, not by age",
        "rules/wisp.py",
        '    return 3, float(request["arrived_ns"])',
        '    return 3, request["deadline_ns"]',
    ),
    Fault(
        "lead",
        "a session leads its reader by one token more than it may",
        "pipeline/device.py",
        'return start_ns + tokens * group["period_ns"] - group["lead_ns"]',
        'return start_ns + (tokens - 1) * group["period_ns"] - group["lead_ns"]',
    ),
    Fault(
        "retry",
        "a device asks again once more often than it may",
        "pipeline/ahead.py",
        'if mine["retries"] < control["retries"]:',
        'if mine["retries"] <= control["retries"]:',
    ),
)
"""What simulators of this kind get wrong: steps left out, wrong ties, off by one."""

INSTANTS = (
    Fault(
        "pass end first",
        "a pass ends before the other events of its instant",
        "pipeline/advance.py",
        "    active = waits_actively(state)\n    while clock",
        '    active = waits_actively(state)\n    if clock["busy"] == 1 and clock["pass_end_ns"] == now_ns:\n'
        "        end_pass(world, state)\n    while clock",
    ),
    Fault(
        "time-out first",
        "a time-out comes before the requests that arrive at its instant",
        "pipeline/events.py",
        "ARRIVAL = 2  # a request reaches the server\nTIMEOUT = 3 ",
        "ARRIVAL = 3  # a request reaches the server\nTIMEOUT = 2 ",
    ),
    Fault(
        "horizon",
        "a session may start at the horizon",
        "pipeline/device.py",
        "    if start_ns < horizon_ns:\n",
        "    if start_ns <= horizon_ns:\n",
    ),
    Fault(
        "first token",
        "a first token at the window's first instant does not count",
        "metrics/sessions.py",
        "np.where(first_ns >= start_ns, first_ns",
        "np.where(first_ns > start_ns, first_ns",
    ),
    Fault(
        "overlap",
        "a session that ends as the window begins counts as one of its",
        "metrics/sessions.py",
        "inside = begun & (time_ns > 0)",
        "inside = begun & (time_ns >= 0)",
    ),
)
"""What comes first at one nanosecond, and what counts at the edges of window and horizon."""
