"""Every metric once more, from the event log and the world's tables in plain Python (docs/metrics.md)."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import fmean

import numpy as np
from core import (
    SECOND,
    Row,
    agreements,
    draft_token_ns,
    is_checked,
    link_ns,
    rows,
    server_loop,
)
from recount_server import NAN, ranked, ratio, server_metrics

from wisp_gym.pipeline import Simulation

HEADER_BYTES, DRAFT_BYTES, TOKEN_BYTES = 40, 12, 4


class Recount:
    """Reads metrics off the log of a finished run."""

    def __init__(self, sim: Simulation) -> None:
        self.sim, self.world, self.arrays = sim, sim.world, sim.world.arrays
        self.begin, self.end = sim.world.warmup_ns, sim.world.horizon_ns
        self.window_s = (self.end - self.begin) / SECOND
        self.starts = {row.session: row for row in rows(sim, "start") if row.a < self.end}
        self.times: dict[int, list[int]] = defaultdict(list)  # of delivery, by session, token by token
        for row in rows(sim, "deliver"):
            self.times[row.session] += [row.time] * row.a
        self.groups = [int(g) for g in self.arrays.devices["group"]]

    def inside(self, time: int) -> bool:
        return self.begin <= time < self.end

    def metrics(self) -> dict[str, float]:
        """All of them, by name."""
        found = self.timeline() | self.sessions() | self.rounds() | self.gaps() | self.device_time()
        found |= server_metrics(self.sim, found["throughput_tps"] * self.window_s)
        found |= {"window_s": self.window_s, "devices": self.world.devices, "refused": self.world.refused}
        return {name: float(value) for name, value in found.items()}

    def by_class(self, name: str, values: list[float], always: bool = False) -> dict[str, float]:
        """A value for each class; NaN for one without devices, unless it says so itself."""
        there = [int(group["devices"]) > 0 for group in self.arrays.groups]
        return {f"{name}_class_{g + 1}": values[g] if there[g] or always else NAN for g in range(4)}

    # --- tokens against their timeline

    def due(self, session: int) -> list[int]:
        """Due times of a session's tokens."""
        row = self.starts[session]
        group = self.arrays.groups[self.groups[row.device]]
        first, period = row.a + int(group["allowance_ns"]), int(group["period_ns"])
        return [first + j * period for j in range(1, row.c + 1)]

    def on_time(self, session: int) -> list[bool]:
        """Whether each token was there when it fell due."""
        times = self.times[session]
        return [j < len(times) and times[j] <= due for j, due in enumerate(self.due(session))]

    def timeline(self) -> dict[str, float]:
        """Goodput, demand, on-time tokens by their delivery."""
        demand, delivered, good = 0, 0, [0] * 4
        for session, row in self.starts.items():
            due = self.due(session)
            for when, there in zip(due, self.on_time(session), strict=True):
                demand += self.inside(when)
                good[self.groups[row.device]] += self.inside(when) and there
            times = self.times[session]
            delivered += sum(self.inside(t) and t <= d for t, d in zip(times, due, strict=False))
        found = {
            "goodput_tps": sum(good) / self.window_s,
            "demand_tps": demand / self.window_s,
            "delivered_goodput_tps": delivered / self.window_s,
        }
        return found | self.by_class("goodput", [tokens / self.window_s for tokens in good])

    # --- sessions and devices

    def sessions(self) -> dict[str, float]:
        """Attainment, shares of the sessions that overlap the window, time to the first token."""
        good: dict[int, int] = defaultdict(int)
        total: dict[int, int] = defaultdict(int)
        count = finished = on_time = last_in_time = waiting = 0
        first: list[float] = []
        for session, row in self.starts.items():
            times, due = self.times[session], self.due(session)
            done = len(times) == row.c
            last = times[-1] if done else self.end
            inside = min(last, self.end) - max(row.a, self.begin)
            if inside <= 0:
                continue
            judged = [
                there or when >= self.end  # all there, so what has not fallen due is on time
                for there, when in zip(self.on_time(session), due, strict=True)
                if done or when < self.end
            ]
            share = float(self.arrays.groups[self.groups[row.device]]["on_time_share"])
            kept = sum(judged) >= share * len(judged)
            total[row.device] += inside
            good[row.device] += inside * kept
            count, finished, on_time = count + 1, finished + done, on_time + kept
            last_in_time += last <= due[-1]
            waiting += not times
            begun = times[0] if times else self.end
            first += [(begun - row.a) / SECOND] if begun >= self.begin else []
        devices = {device: good[device] / total[device] for device in total}
        found = {
            "sessions": count,
            "sessions_finished": finished,
            "sessions_on_time_share": ratio(on_time, count),
            "sessions_last_token_share": ratio(last_in_time, count),
            "waiting_share": ratio(waiting, count),
            "ttft_p50_s": float(np.quantile(first, 0.5)) if first else NAN,
            "ttft_p95_s": float(np.quantile(first, 0.95)) if first else NAN,
        }
        return found | self.attainment(devices)

    def attainment(self, devices: dict[int, float]) -> dict[str, float]:
        """Plain means over devices, and their fairness."""
        classes = []
        for g in range(4):
            shares = [share for device, share in devices.items() if self.groups[device] == g]
            classes.append(fmean(shares) if shares else NAN)
        values = list(devices.values())
        squares = len(values) * sum(value**2 for value in values)
        found = {
            "attainment": fmean(values) if values else NAN,
            "attainment_worst": min((c for c in classes if not math.isnan(c)), default=NAN),
            "jain_fairness": ratio(sum(values) ** 2, squares),
        }
        return found | self.by_class("attainment", classes, always=True)

    def gaps(self) -> dict[str, float]:
        """Time between tokens, and the longest time without one inside a session."""
        last: dict[int, int] = {}
        gaps: list[int] = []
        longest: dict[int, int] = defaultdict(int)
        for row in rows(self.sim, "deliver"):
            gap = row.time - last.get(row.session, self.starts[row.session].a)
            if self.inside(row.time):
                longest[row.device] = max(longest[row.device], gap)
                if row.session in last:
                    gaps += [gap // row.a] * row.a
            last[row.session] = row.time
        for session, row in self.starts.items():
            if len(self.times[session]) < row.c:
                stall = self.end - last.get(session, row.a)
                longest[row.device] = max(longest[row.device], stall)
        found = {f"tbt_p{q}_s": ranked(gaps, q / 100) for q in (50, 95, 99)}
        stalled = sum(stall >= 30 * SECOND for stall in longest.values())
        found["longest_stall_s"] = max(longest.values(), default=0) / SECOND
        found["stalled_30s_share"] = stalled / self.world.devices if self.world.devices else 0.0
        return found

    # --- rounds

    def rounds(self) -> dict[str, float]:
        """What was verified, accepted and committed."""
        verified, accepted, number = [0] * 4, [0] * 4, [0] * 4
        k: dict[int, int] = {}
        for row in rows(self.sim, "member", "verify"):
            g = self.groups[row.device]
            if row.kind == "member":
                k[row.device] = row.b
            elif self.inside(row.time):
                verified[g] += k[row.device]
                accepted[g] += row.b
                number[g] += 1
        committed = [a + n for a, n in zip(accepted, number, strict=True)]
        found = {
            "rounds": sum(number),
            "throughput_tps": sum(committed) / self.window_s,
            "tokens_per_round": ratio(sum(committed), sum(number)),
            "draft_length": ratio(sum(verified), sum(number)),
            "acceptance_rate": ratio(sum(accepted), sum(verified)),
        }
        shares = [ratio(a, v) for a, v in zip(accepted, verified, strict=True)]
        found |= self.by_class("acceptance", shares, always=True)
        return found | self.by_class("throughput", [c / self.window_s for c in committed])

    # --- devices and links

    def device_time(self) -> dict[str, float]:
        """Drafting time and what of it was wasted, links, energy, bytes; each booked when it begins or, of
        drafting ahead, when it ends."""
        book = DeviceBook(self)
        for row in rows(self.sim):
            book.apply(row)
        committed = sum(row.b + 1 for row in rows(self.sim, "verify") if self.inside(row.time))
        waste, draft = sum(book.waste), sum(book.draft)
        found = {
            "wdt_s": waste / SECOND,
            "wdt_per_token_s": ratio(waste / SECOND, committed),
            "wdt_share": ratio(waste, draft),
            "draft_per_token_s": ratio(draft / SECOND, committed),
            "network_per_token_s": ratio(book.network / SECOND, committed),
            "energy_per_token_j": ratio(book.energy, committed),
            "bytes_per_token": ratio(book.bytes, committed),
        }
        shares = [ratio(w, d) for w, d in zip(book.waste, book.draft, strict=True)]
        return found | self.by_class("wdt_share", shares, always=True)


class DeviceBook:
    """Follows every device through the log."""

    def __init__(self, recount: Recount) -> None:
        self.recount, self.world = recount, recount.world
        self.checked, self.loop = is_checked(recount.sim.policy), server_loop(recount.sim.policy)
        self.draft, self.waste = [0] * 4, [0] * 4  # ns, by class
        self.network = self.bytes = 0
        self.energy = 0.0
        self.committed: dict[int, int] = {}  # tokens, by device
        self.k: dict[int, int] = {}  # tokens of the request at the server
        self.asked: dict[int, int] = {}  # tokens of the newest request
        self.repeated: dict[int, list[int]] = defaultdict(list)  # tokens of requests on their way
        self.head_ns: dict[int, int] = {}  # time spent on a draft before its round
        self.last: dict[tuple[int, bool], int] = defaultdict(int)  # arrival on a link

    def apply(self, row: Row) -> None:
        """Book a row."""
        book = getattr(self, f"_{row.kind}", None)
        if book is not None:
            book(row, row.device, self.recount.inside(row.time))

    def _cross(self, device: int, sent: int, up: bool, counts: bool, size: int) -> None:
        arrived = max(sent + link_ns(self.world, device, sent, up), self.last[device, up])
        self.last[device, up] = arrived
        self.network += counts * (arrived - sent)
        self.bytes += counts * size

    def _spend(self, device: int, spent_ns: int, wasted_ns: int, counts: bool) -> None:
        """Device time on drafting, and what of it was or turned out to be wasted."""
        group = self.recount.groups[device]
        self.draft[group] += counts * spent_ns
        self.waste[group] += counts * wasted_ns
        self.energy += counts * spent_ns / SECOND * float(self.world.arrays.devices[device]["power_w"])

    def _token_ns(self, device: int) -> int:
        return draft_token_ns(self.world, device, self.checked)

    def _after_mismatch(self, device: int, session: int, k: int) -> int:
        """Tokens of a request after the first rejected one."""
        return max(0, k - agreements(self.world, session, self.committed[device], k) - 1)

    def _start(self, row: Row, device: int, counts: bool) -> None:
        # The first sessions are laid out before time begins, so they are in no window.
        counts &= row.session != self.world.arrays.devices[device]["first_session"]
        if not self.loop:
            record = self.world.arrays.devices[device]
            self.energy += counts * row.b * int(record["prefill_ns"]) / SECOND * float(record["power_w"])
        self._cross(device, row.a, True, counts, HEADER_BYTES + TOKEN_BYTES * row.b)

    def _draft(self, row: Row, device: int, counts: bool) -> None:
        token = draft_token_ns(self.world, device, row.c == 1)
        self.k[device] = self.asked[device] = row.b
        wasted = self._after_mismatch(device, row.session, row.b) + row.a - row.b
        unused = self.head_ns.pop(device, 0) - row.d  # drafted ahead beyond what the draft needs
        self._spend(device, row.a * token - row.d, wasted * token + unused, counts)
        sent = row.time + row.a * token - row.d
        self._cross(device, sent, True, counts, HEADER_BYTES + DRAFT_BYTES * row.b)

    def _retry(self, row: Row, device: int, counts: bool) -> None:
        self.asked[device] = row.a
        self.repeated[device].append(row.a)
        self._spend(device, row.b * self._token_ns(device), 0, counts)
        self.last[device, True] += 1  # requests of one round never arrive at the same instant
        self._cross(device, row.time, True, counts, HEADER_BYTES + DRAFT_BYTES * row.a)

    def _supersede(self, row: Row, device: int, counts: bool) -> None:
        k = self.repeated[device].pop(0)
        if row.b == 1:
            more = self._after_mismatch(device, row.session, k)
            more -= self._after_mismatch(device, row.session, row.a)
            self._spend(device, 0, more * self._token_ns(device), counts)
            self.k[device] = k

    def _ahead(self, row: Row, device: int, counts: bool) -> None:
        token = self._token_ns(device)
        late = self.asked[device] - self.k[device]  # merged into requests that came too late
        if row.c >= 0:  # all but the guess of the target's token is kept
            self.head_ns[device] = (late - 1) * token + row.d
            self._spend(device, row.d, token, counts)
        else:
            self._spend(device, row.d, late * token + row.d, counts)

    def _verify(self, row: Row, device: int, counts: bool) -> None:
        self.committed[device] = row.c
        self._cross(device, row.time, False, counts, HEADER_BYTES + TOKEN_BYTES * (row.b + 1))
