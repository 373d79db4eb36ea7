"""The server's metrics once more, from the event log and the world's tables in plain Python."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict

from checks import Memory, padded
from core import SECOND, Row, requests, rows

from wisp_gym.pipeline import Simulation

NAN = float("nan")


def ratio(above: float, below: float) -> float:
    """A ratio of sums; NaN without anything below."""
    return above / below if below else NAN


def ranked(values: list[int], q: float) -> float:
    """The value of this rank, s, read from bins of 1 ms; NaN without any."""
    if not values:
        return NAN
    place = max(0, math.ceil(q * len(values)) - 1)
    return (min(sorted(values)[place] // 10**6, 19_999) + 0.5) / 1000


class Passes:
    """The passes of a run with their members, and who waited for which."""

    def __init__(self, sim: Simulation) -> None:
        self.sim, self.arrays = sim, sim.world.arrays
        self.begin, self.end = sim.world.warmup_ns, sim.world.horizon_ns
        self.passes = {row.a: row for row in rows(sim, "pass")}
        self.members: dict[int, list[Row]] = defaultdict(list)
        for row in rows(sim, "member"):
            self.members[row.a].append(row)
        self.waits = [  # when a request joined the queue, and the pass that took it
            (queued, request.passes[i] if i < len(request.passes) else None)
            for request in requests(sim)
            for i, queued in enumerate(request.queued)
        ]

    def inside(self, time: int) -> bool:
        return self.begin <= time < self.end

    def new_tokens(self, number: int) -> int:
        """New tokens of a pass, padding included."""
        members = self.members[number]
        longest = max(row.b for row in members)
        return sum(row.c + padded(self.sim) * (longest - row.b) for row in members)

    def exact_ns(self, new: int, members: list[tuple[int, int]]) -> float:
        """The noise-free time of a pass over (new, cached) with so many new tokens in all."""
        server, curve = self.arrays.server[0], self.arrays.pass_ns
        last = len(curve) - 1  # beyond the table its last value grows in proportion
        time = float(curve[new]) if new <= last else float(curve[last]) * (new / last)
        time += float(server["base_ns"]) + len(members) * float(server["request_ns"])
        time += float(server["cached_ns"]) * sum(cached for _, cached in members)
        return time + float(server["pair_ns"]) * sum(take * (cached + take / 2) for take, cached in members)

    def server(self) -> dict[str, float]:
        """Passes, batches, how busy the GPU was, what was cold."""
        begun = [row for row in self.passes.values() if self.inside(row.time)]
        members = [row for rows_of in self.members.values() for row in rows_of if self.inside(row.time)]
        overlap = (max(0, min(row.c, self.end) - max(row.time, self.begin)) for row in self.passes.values())
        return {
            "dispatches": len(begun),
            "batch_size_mean": ratio(sum(row.b for row in begun), len(begun)),
            "new_tokens_mean": ratio(sum(self.new_tokens(row.a) for row in begun), len(begun)),
            "gpu_busy_share": sum(overlap) / (self.end - self.begin),
            "cold_share": ratio(sum(row.d == 0 for row in members), len(members)),
            "evictions": sum(self.inside(row.time) for row in rows(self.sim, "evict")),
        }

    def memory(self) -> dict[str, float]:
        """The ledger's KV tokens, averaged over the window."""
        ledger = Memory(self.sim)
        integral, since = 0, self.begin
        for row in rows(self.sim, "member", "verify", "evict"):
            integral += ledger.used * max(0, row.time - since)
            since = max(since, row.time)
            ledger.apply(row)
        integral += ledger.used * (self.end - since)
        capacity = int(self.arrays.server[0]["kv_tokens"]) * (self.end - self.begin)
        return {"kv_use_share": integral / capacity}

    def queue(self, committed: float) -> tuple[dict[str, float], int, int]:
        """Waits in the queue and time in passes, booked as a pass begins; and their sums, ns."""
        waits, verify = [], 0
        for queued, number in self.waits:
            if number is not None and self.inside(self.passes[number].time):
                waits.append(self.passes[number].time - queued)
                verify += self.passes[number].c - self.passes[number].time
        found = {
            "queue_wait_mean_s": ratio(sum(waits) / SECOND, len(waits)),
            "queue_wait_p95_s": ranked(waits, 0.95),
            "queue_per_token_s": ratio(sum(waits) / SECOND, committed),
            "verify_per_token_s": ratio(verify / SECOND, committed),
        }
        return found, sum(waits), verify

    def interference(self) -> dict[str, float]:
        """T(batch) - T({i}); what unlike members cost; what was waited behind that, ns."""
        raw = mix = behind = 0.0
        excess: dict[int, float] = {}
        for number, row in self.passes.items():
            batch = [(member.c, member.d) for member in self.members[number]]
            exact = self.exact_ns(self.new_tokens(number), batch)
            over = [
                max(0.0, exact - self.exact_ns(len(batch) * take, [(take, cached)] * len(batch)))
                for take, cached in batch
            ]
            excess[number] = max(over)
            if self.inside(row.time):
                raw += sum(exact - self.exact_ns(take, [(take, cached)]) for take, cached in batch)
                mix += sum(over)
        ends = [row.c for row in self.passes.values()]
        for queued, number in self.waits:
            served = self.end if number is None else self.passes[number].time
            at = bisect_left(ends, queued)
            while at < len(ends) and ends[at] <= served:
                if self.inside(ends[at]):
                    behind += min(float(ends[at] - queued), excess[at])
                at += 1
        return {"raw": raw, "mix": mix, "queue": behind}


def server_metrics(sim: Simulation, committed: float) -> dict[str, float]:
    """Metrics of passes, queue, memory and interference.

    :param committed: tokens committed in the window
    """
    passes = Passes(sim)
    found, queue_ns, verify_ns = passes.queue(committed)
    found |= passes.server() | passes.memory()
    for name, total in passes.interference().items():
        found[f"vi_{name}_s"] = total / SECOND
        found[f"vi_{name}_per_token_s"] = ratio(total / SECOND, committed)
        found[f"vi_{name}_share"] = ratio(total, queue_ns if name == "queue" else verify_ns)
    return found
