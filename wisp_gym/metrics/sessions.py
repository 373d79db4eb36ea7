"""Attainment and what else is read off whole sessions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def session_table(
    sessions: Any, outcomes: Any, devices: Any, groups: Any, start_ns: int, end_ns: int
) -> dict[str, npt.NDArray[Any]]:
    """Return, for every session that overlaps the window, its device, time in the window and whether it
    was on time.

    A finished session is on time when enough of its tokens are (95 % in every shipped scenario); an
    unfinished one is judged by the tokens due so far, and its time counts from its start.

    :param start_ns: window's begin; :param end_ns: its end, up to which all tokens are settled
    :return: device, group, time_ns, on_time, last_on_time, finished, ttft_ns (so far, while it waits; -1
    before the
        window), waiting (no token yet), delivered  # (sessions in the
    window,) each
    """
    device = sessions["device"]
    group = devices["group"][device]
    law = groups[group]
    length, delivered = sessions["length"], outcomes["delivered"]
    finished = outcomes["finished"] == 1
    begun = (outcomes["start_ns"] >= 0) & (outcomes["start_ns"] < end_ns)
    last = np.where(finished, outcomes["last_ns"], end_ns)
    time_ns = np.minimum(last, end_ns) - np.maximum(outcomes["start_ns"], start_ns)
    unsettled = length - outcomes["settled"]
    good = outcomes["on_time"] + np.where(finished, unsettled, 0)
    judged = np.where(finished, length, outcomes["settled"])
    on_time = good >= law["on_time_share"] * judged
    last_due = outcomes["start_ns"] + law["allowance_ns"] + length * law["period_ns"]
    last_on_time = np.where(finished, outcomes["last_ns"], end_ns) <= last_due
    inside = begun & (time_ns > 0)
    waiting = outcomes["first_ns"] < 0
    first_ns = np.where(waiting, end_ns, outcomes["first_ns"])
    ttft = np.where(first_ns >= start_ns, first_ns - outcomes["start_ns"], -1)
    table = {
        "device": device,
        "group": group,
        "time_ns": time_ns,
        "on_time": on_time,
        "last_on_time": last_on_time,
        "finished": finished,
        "ttft_ns": ttft,
        "waiting": waiting,
        "delivered": delivered,
    }
    return {name: column[inside] for name, column in table.items()}


def device_attainment(table: dict[str, npt.NDArray[Any]], devices: int) -> FloatArray:
    """Return each device's attainment: time in on-time sessions over time in sessions; NaN without any.  #
    (devices,)"""
    total = np.bincount(table["device"], weights=table["time_ns"], minlength=devices)
    weights = table["time_ns"] * table["on_time"]
    good = np.bincount(table["device"], weights=weights, minlength=devices)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(total > 0, good / np.where(total > 0, total, 1.0), np.nan), np.float64)


def plain_mean(values: FloatArray) -> float:
    """Return the mean of the numbers that are there; NaN without any."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float("nan")


def jain_index(values: FloatArray) -> float:
    """Return Jain's fairness index of shares: 1 when all are equal, 1/n when one has everything; NaN
    without any."""
    there = values[~np.isnan(values)]
    squares = float((there**2).sum()) * len(there)
    return float(there.sum()) ** 2 / squares if squares > 0 else float("nan")
