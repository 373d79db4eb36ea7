"""Every metric once more, from the event log in plain Python."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from core import (
    SECOND,
    agreements,
    draft_token_ns,
    is_checked,
    link_ns,
    requests,
    rows,
    whole_output,
)

from wisp_gym.metrics import measure
from wisp_gym.pipeline import DrafterRule, SchedulerRule, Simulation

Simulate = Callable[[str, str], Simulation]

SOME = ("wisp-urgent", "sled", "centralized", "confidence-drop", "random")
every_run = pytest.mark.parametrize(
    ("setting", "policy"), [(setting, policy) for setting in ("easy", "tight") for policy in SOME]
)


class Recount:
    """Reads metrics off the log of a finished run."""

    def __init__(self, sim: Simulation) -> None:
        self.sim, self.world = sim, sim.world
        self.begin, self.end = sim.world.warmup_ns, sim.world.horizon_ns
        self.window_s = (self.end - self.begin) / SECOND
        self.starts = {row.session: row for row in rows(sim, "start") if row.a < self.end}
        self.times: dict[int, list[int]] = defaultdict(list)  # of delivery, by session, token by token
        for row in rows(sim, "deliver"):
            self.times[row.session] += [row.time] * row.a

    def inside(self, time: int) -> bool:
        return self.begin <= time < self.end

    def due(self, session: int) -> list[int]:
        """Due times of a session's tokens."""
        row = self.starts[session]
        group = self.world.arrays.groups[self.world.arrays.devices[row.device]["group"]]
        return [row.a + int(group["allowance_ns"]) + j * int(group["period_ns"]) for j in range(1, row.c + 1)]

    def on_time(self, session: int) -> list[bool]:
        """Whether each token was there when it fell due."""
        times = self.times[session]
        return [j < len(times) and times[j] <= due for j, due in enumerate(self.due(session))]

    def goodput(self) -> tuple[int, int]:
        """Tokens due in the window, and of them on time."""
        due = good = 0
        for session in self.starts:
            for when, there in zip(self.due(session), self.on_time(session), strict=True):
                due += self.inside(when)
                good += self.inside(when) and there
        return due, good

    def delivered_on_time(self) -> int:
        return sum(
            self.inside(time) and time <= due
            for session in self.starts
            for time, due in zip(self.times[session], self.due(session), strict=False)
        )

    def attainment(self) -> dict[int, float]:
        """By device: time in on-time sessions over time in sessions."""
        good: dict[int, int] = defaultdict(int)
        total: dict[int, int] = defaultdict(int)
        for session, row in self.starts.items():
            finished = len(self.times[session]) == row.c
            last = self.times[session][-1] if finished else self.end
            inside = min(last, self.end) - max(row.a, self.begin)
            if inside <= 0:
                continue
            judged = [
                there or (finished and due >= self.end)
                for there, due in zip(self.on_time(session), self.due(session), strict=True)
                if finished or due < self.end
            ]
            total[row.device] += inside
            good[row.device] += inside * (sum(judged) >= 0.95 * len(judged))
        return {device: good[device] / total[device] for device in total}

    def waste_ns(self) -> tuple[int, int]:
        """Drafting time of rounds begun in the window: wasted, in all."""
        committed: dict[int, int] = defaultdict(int)
        waste = total = 0
        for row in rows(self.sim, "draft", "verify"):
            if row.kind == "verify":
                committed[row.session] = row.c
            elif self.inside(row.time):
                token = draft_token_ns(self.world, row.device, is_checked(self.sim.policy))
                right = agreements(self.world, row.session, committed[row.session], row.a)
                waste += token * (max(0, row.b - right - 1) + row.a - row.b)
                total += token * row.a
        return waste, total


@every_run
def test_goodput_from_the_log(simulate: Simulate, setting: str, policy: str) -> None:
    sim = simulate(setting, policy)
    recount, metrics = Recount(sim), measure(sim)
    due, good = recount.goodput()
    assert metrics["window_s"] == pytest.approx(recount.window_s)
    assert metrics["demand_tps"] == pytest.approx(due / recount.window_s)
    assert metrics["goodput_tps"] == pytest.approx(good / recount.window_s)
    assert metrics["delivered_goodput_tps"] == pytest.approx(recount.delivered_on_time() / recount.window_s)
    assert 0 < good <= due
    classes = [metrics[f"goodput_class_{g}"] for g in range(1, 5)]
    assert sum(classes) == pytest.approx(metrics["goodput_tps"])


@every_run
def test_attainment_from_the_log(simulate: Simulate, setting: str, policy: str) -> None:
    sim = simulate(setting, policy)
    metrics, devices = measure(sim), Recount(sim).attainment()
    assert metrics["attainment"] == pytest.approx(np.mean(list(devices.values())))
    groups = sim.world.arrays.devices["group"]
    classes = [[share for d, share in devices.items() if groups[d] == g] for g in range(4)]
    for g, shares in enumerate(classes):
        assert metrics[f"attainment_class_{g + 1}"] == pytest.approx(np.mean(shares))
    assert metrics["attainment_worst"] == pytest.approx(min(np.mean(shares) for shares in classes))
    values = np.array(list(devices.values()))
    jain = values.sum() ** 2 / (len(values) * (values**2).sum())
    assert metrics["jain_fairness"] == pytest.approx(jain)


@every_run
def test_rates_from_the_log(simulate: Simulate, setting: str, policy: str) -> None:
    sim = simulate(setting, policy)
    recount, metrics = Recount(sim), measure(sim)
    done = [r for r in requests(sim) if r.accepted >= 0 and recount.inside(r.ended)]
    committed = sum(r.accepted + 1 for r in done)
    verified, accepted = sum(r.k for r in done), sum(r.accepted for r in done)
    assert metrics["rounds"] == len(done)
    assert metrics["throughput_tps"] == pytest.approx(committed / recount.window_s)
    assert metrics["tokens_per_round"] == pytest.approx(committed / len(done))
    assert metrics["draft_length"] == pytest.approx(verified / len(done))
    if verified:
        assert metrics["acceptance_rate"] == pytest.approx(accepted / verified)
    else:
        assert math.isnan(metrics["acceptance_rate"])


@every_run
def test_wasted_drafting_from_the_log(simulate: Simulate, setting: str, policy: str) -> None:
    sim = simulate(setting, policy)
    metrics = measure(sim)
    waste, total = Recount(sim).waste_ns()
    assert metrics["wdt_s"] == pytest.approx(waste / SECOND)
    if total:
        assert 0 < metrics["wdt_share"] == pytest.approx(waste / total)
        committed = metrics["throughput_tps"] * metrics["window_s"]
        assert metrics["wdt_per_token_s"] == pytest.approx(waste / SECOND / committed)
    else:
        assert policy == "centralized"
        assert math.isnan(metrics["wdt_share"])


@every_run
def test_the_servers_metrics_from_the_log(simulate: Simulate, setting: str, policy: str) -> None:
    sim = simulate(setting, policy)
    recount, metrics = Recount(sim), measure(sim)
    passes = rows(sim, "pass")
    begun = [row for row in passes if recount.inside(row.time)]
    assert metrics["dispatches"] == len(begun)
    assert metrics["batch_size_mean"] == pytest.approx(sum(row.b for row in begun) / len(begun))
    busy = sum(max(0, min(row.c, recount.end) - max(row.time, recount.begin)) for row in passes)
    assert metrics["gpu_busy_share"] == pytest.approx(busy / SECOND / recount.window_s)
    members = [row for row in rows(sim, "member") if recount.inside(row.time)]
    assert metrics["cold_share"] == pytest.approx(sum(row.d == 0 for row in members) / len(members))
    assert metrics["evictions"] == sum(recount.inside(row.time) for row in rows(sim, "evict"))
    times = {row.a: row.time for row in passes}
    waits = [
        times[number] - queued
        for request in requests(sim)
        for queued, number in zip(request.queued, request.passes, strict=False)
        if recount.inside(times[number])
    ]
    assert metrics["queue_wait_mean_s"] == pytest.approx(np.mean(waits) / SECOND)
    ranked = float(np.quantile(waits, 0.95, method="inverted_cdf")) / SECOND
    assert metrics["queue_wait_p95_s"] == pytest.approx(ranked, abs=0.00051)


@every_run
def test_kv_use_from_the_log(simulate: Simulate, setting: str, policy: str) -> None:
    sim = simulate(setting, policy)
    recount, metrics = Recount(sim), measure(sim)
    server, sessions = sim.world.arrays.server[0], sim.world.arrays.sessions
    drafter = sim.policy.drafter
    stays = isinstance(drafter, DrafterRule) and drafter.server_loop  # a running session keeps every token
    block = 1 if stays else int(server["block"])
    held: dict[int, int] = defaultdict(int)
    committed: dict[int, int] = defaultdict(int)
    integral, since = 0, 0
    for row in [*rows(sim, "member", "verify", "evict"), None]:
        now = recount.end if row is None else row.time
        integral += sum(held.values()) * max(0, now - max(since, recount.begin))
        since = now
        if row is None:
            break
        context = int(sessions[row.session]["prompt"]) + committed[row.session]
        if row.kind == "evict":
            held[row.device] = 0
        elif row.kind == "member":
            held[row.device] = context + row.b
        else:
            committed[row.session] = row.c
            context = int(sessions[row.session]["prompt"]) + row.c
            done = row.c == sessions[row.session]["length"]
            held[row.device] = 0 if done else (context - 1) // block * block
        if whole_output(sim) and held[row.device] > 0:
            held[row.device] = int(sessions[row.session]["prompt"] + sessions[row.session]["length"])
    capacity = int(server["kv_tokens"]) * (recount.end - recount.begin)
    assert metrics["kv_use_share"] == pytest.approx(integral / capacity)


@every_run
def test_delays_of_tokens_from_the_log(simulate: Simulate, setting: str, policy: str) -> None:
    sim = simulate(setting, policy)
    recount, metrics = Recount(sim), measure(sim)
    first = [times[0] - recount.starts[s].a for s, times in recount.times.items() if recount.inside(times[0])]
    begun = {s: row.a for s, row in recount.starts.items() if row.a < recount.end}
    first += [recount.end - start for s, start in begun.items() if not recount.times.get(s)]  # still waiting
    assert metrics["ttft_p50_s"] == pytest.approx(np.quantile(first, 0.5) / SECOND)
    assert metrics["ttft_p95_s"] == pytest.approx(np.quantile(first, 0.95) / SECOND)
    last: dict[int, int] = {}
    gaps: list[int] = []
    longest: dict[int, int] = defaultdict(int)
    for row in rows(sim, "deliver"):
        gap = row.time - last.get(row.session, recount.starts[row.session].a)
        if recount.inside(row.time):
            longest[row.device] = max(longest[row.device], gap)
            if row.session in last:
                gaps += [gap // row.a] * row.a
        last[row.session] = row.time
    for session, row in recount.starts.items():
        if len(recount.times[session]) < row.c:
            longest[row.device] = max(longest[row.device], recount.end - last.get(session, row.a))
    assert metrics["longest_stall_s"] == pytest.approx(max(longest.values()) / SECOND)
    for q in (50, 95, 99):
        expected = float(np.quantile(gaps, q / 100, method="inverted_cdf")) / SECOND
        assert metrics[f"tbt_p{q}_s"] == pytest.approx(expected, abs=0.00051)


@every_run
def test_sessions_from_the_log(simulate: Simulate, setting: str, policy: str) -> None:
    sim = simulate(setting, policy)
    recount, metrics = Recount(sim), measure(sim)
    listed = [
        (session, len(recount.times[session]) == row.c)
        for session, row in recount.starts.items()
        if len(recount.times[session]) < row.c or recount.times[session][-1] > recount.begin
    ]
    assert metrics["sessions"] == len(listed)
    assert metrics["sessions_finished"] == sum(finished for _, finished in listed)
    in_time = sum(
        (recount.times[session][-1] if finished else recount.end) <= recount.due(session)[-1]
        for session, finished in listed
    )
    assert metrics["sessions_last_token_share"] == pytest.approx(in_time / len(listed))


def test_ratios_are_ratios_of_sums(simulate: Simulate) -> None:
    """A class's acceptance, weighed by its verified tokens, gives the fleet's."""
    sim = simulate("tight", "wisp-urgent")
    metrics = measure(sim)
    assert sim.snapshot is not None
    verified = (sim.state.counters["verified"] - sim.snapshot["counters"]["verified"]).tolist()
    classes = [metrics[f"acceptance_class_{g}"] for g in range(1, 5)]
    assert metrics["acceptance_rate"] == pytest.approx(np.average(classes, weights=verified))


def exact_pass_ns(sim: Simulation, members: list[tuple[int, int]], new: int | None = None) -> float:
    """The noise-free time of a pass over (new, cached), `new` tokens in all where it is padded."""
    server = sim.world.arrays.server[0]
    total = sum(take for take, _ in members) if new is None else new
    pairs = sum(take * (cached + take / 2) for take, cached in members)
    fixed = server["base_ns"] + len(members) * server["request_ns"]
    cached_ns = server["cached_ns"] * sum(cached for _, cached in members)
    assert total < len(sim.world.arrays.pass_ns)
    return float(sim.world.arrays.pass_ns[total] + fixed + cached_ns + server["pair_ns"] * pairs)


def copies_ns(sim: Simulation, member: tuple[int, int], count: int) -> float:
    """A pass over as many copies of a member; beyond the table its last value grows in proportion."""
    last = len(sim.world.arrays.pass_ns) - 1
    if count * member[0] <= last:
        return exact_pass_ns(sim, [member] * count)
    without = exact_pass_ns(sim, [member] * count, 0) - float(sim.world.arrays.pass_ns[0])
    return without + float(sim.world.arrays.pass_ns[last]) * count * member[0] / last


@every_run
def test_interference_from_the_log(simulate: Simulate, setting: str, policy: str) -> None:
    sim = simulate(setting, policy)
    recount, metrics = Recount(sim), measure(sim)
    scheduler = sim.policy.scheduler
    assert isinstance(scheduler, SchedulerRule)
    members: dict[int, list[tuple[int, int]]] = defaultdict(list)
    drafts: dict[int, list[int]] = defaultdict(list)
    for row in rows(sim, "member"):
        members[row.a].append((row.c, row.d))
        drafts[row.a].append(row.b)
    raw = mix = behind = 0.0
    passes = {row.a: row for row in rows(sim, "pass")}
    spans = [
        (queued, passes[request.passes[i]].time if i < len(request.passes) else sim.now_ns)
        for request in requests(sim)
        for i, queued in enumerate(request.queued)
    ]
    for number, row in passes.items():
        batch = members[number]
        padding = sum(max(drafts[number]) - k for k in drafts[number])
        padded = sum(take for take, _ in batch) + padding if scheduler.padded else None
        exact = exact_pass_ns(sim, batch, padded)
        excess = [max(0.0, exact - copies_ns(sim, member, len(batch))) for member in batch]
        if recount.inside(row.time):
            raw += sum(exact - exact_pass_ns(sim, [member]) for member in batch)
            mix += sum(excess)
        if recount.inside(row.c):
            waited = [row.c - queued for queued, served in spans if queued < row.c <= served]
            behind += sum(min(time, max(excess)) for time in waited)
    assert metrics["vi_raw_s"] == pytest.approx(raw / SECOND)
    assert metrics["vi_mix_s"] == pytest.approx(mix / SECOND)
    assert metrics["vi_queue_s"] == pytest.approx(behind / SECOND)
    assert raw != 0  # either sign: the measured curve is not monotone


@every_run
def test_where_the_time_goes_from_the_log(simulate: Simulate, setting: str, policy: str) -> None:
    """Shares of a token's time: drafting, links, queue, passes; each booked when it begins."""
    sim = simulate(setting, policy)
    recount, metrics = Recount(sim), measure(sim)
    world, arrays = sim.world, sim.world.arrays
    loop = isinstance(sim.policy.drafter, DrafterRule) and sim.policy.drafter.server_loop
    draft = network = verify = size = 0
    energy = 0.0
    last: dict[tuple[int, bool], int] = defaultdict(int)

    def cross(device: int, sent: int, up: bool) -> int:
        arrived = max(sent + link_ns(world, device, sent, up), last[device, up])
        last[device, up] = arrived
        return arrived - sent

    ends = {row.a: row for row in rows(sim, "pass")}
    for row in rows(sim, "start", "draft", "verify", "member"):
        device, counts = row.device, recount.inside(row.time)
        power = float(arrays.devices[device]["power_w"])
        if row.kind == "start":  # booked when it is laid out
            took = cross(device, row.a, up=True)
            prefill = 0 if loop else row.b * int(arrays.devices[device]["prefill_ns"])
            network += counts * took
            energy += counts * prefill * power / SECOND
            size += counts * (40 + 4 * row.b)
        elif row.kind == "draft":
            spent = row.a * draft_token_ns(world, device, is_checked(sim.policy))
            draft += counts * spent
            energy += counts * spent * power / SECOND
            network += counts * cross(device, row.time + spent, up=True)
            size += counts * (40 + 12 * row.b)
        elif row.kind == "verify":
            network += counts * cross(device, row.time, up=False)
            size += counts * (40 + 4 * (row.b + 1))
        else:
            verify += counts * (ends[row.a].c - row.time)
    committed = metrics["throughput_tps"] * metrics["window_s"]
    assert metrics["draft_per_token_s"] == pytest.approx(draft / SECOND / committed)
    assert metrics["network_per_token_s"] == pytest.approx(network / SECOND / committed)
    assert metrics["verify_per_token_s"] == pytest.approx(verify / SECOND / committed)
    assert metrics["energy_per_token_j"] == pytest.approx(energy / committed)
    assert metrics["bytes_per_token"] == pytest.approx(size / committed)
