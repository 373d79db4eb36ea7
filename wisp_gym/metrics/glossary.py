"""Every metric of `measure`: unit and definition, once. docs/metrics.md's table is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wisp_gym.world.types import GROUPS


@dataclass(frozen=True)
class Metric:
    """What a metric is.

    :param name: the key in `measure`
    :param unit: "" of a pure number without one
    :param meaning: its definition
    """

    name: str
    unit: str
    meaning: str


_CLASS = "{class}"
"""Stands for each SLO class's number, loosest first."""

_TABLE: tuple[tuple[str, str, str], ...] = (
    (
        "goodput_tps",
        "tok/s",
        "tokens that fell due in the window and had been delivered by then; never more than demand",
    ),
    ("demand_tps", "tok/s", "tokens that fell due in the window, of the sessions that had started"),
    ("delivered_goodput_tps", "tok/s", "tokens delivered in the window, not after their due time"),
    ("throughput_tps", "tok/s", "tokens committed by the target in the window"),
    (
        "attainment",
        "share",
        "mean over devices of: time in on-time sessions / time in sessions. A session is on time when at "
        "least 95 % of its tokens are; an unfinished one is judged by the tokens due so far, and its time "
        "counts from its start",
    ),
    ("attainment_class_{class}", "share", "the same over one SLO class, loosest first"),
    ("attainment_worst", "share", "the least of the classes"),
    ("sessions", "count", "sessions that overlap the window"),
    ("sessions_finished", "count", "of them complete"),
    (
        "sessions_on_time_share",
        "share",
        "of those sessions, on time (counts sessions, so it rewards starving some devices; reported beside "
        "attainment)",
    ),
    ("sessions_last_token_share", "share", "of those sessions, last token on time"),
    (
        "longest_stall_s",
        "s",
        "longest time without a token inside a session, over all devices, sessions still waiting included",
    ),
    ("stalled_30s_share", "share", "devices that met a stall of 30 s or more"),
    ("jain_fairness", "share", "Jain's index of the devices' attainment"),
    ("acceptance_rate", "share", "accepted / verified draft tokens"),
    (
        "draft_length",
        "tokens",
        "verified draft tokens per verified round (prompts are rounds with none)",
    ),
    ("tokens_per_round", "tokens", "committed tokens per verified round"),
    ("rounds", "count", "verified rounds"),
    ("dispatches", "count", "passes"),
    (
        "wdt_s",
        "s",
        "wasted drafting time: device time on tokens after the first rejected one, and on tokens dropped, "
        "superseded or discarded ahead. The rejected token itself is not counted",
    ),
    ("wdt_per_token_s", "s", "wasted drafting time per committed token"),
    ("wdt_share", "share", "wasted drafting time over all drafting time"),
    (
        "vi_raw_s",
        "s",
        "verification interference: T(batch) - T({i}), summed over members; below 0 where the measured pass "
        "time falls with more tokens, as it does by 3 % up to 8 on the A100",
    ),
    ("vi_raw_per_token_s", "s", "raw interference per committed token"),
    ("vi_raw_share", "share", "raw interference over time in passes"),
    ("vi_mix_s", "s", "T(batch) - T(as many copies of i), without noise, not below 0"),
    ("vi_mix_per_token_s", "s", "mix interference per committed token"),
    ("vi_mix_share", "share", "mix interference over time in passes"),
    (
        "vi_queue_s",
        "s",
        "time waited behind a running pass's mix excess: the last part of the pass, what its heaviest member "
        "adds for its lightest",
    ),
    ("vi_queue_per_token_s", "s", "queue interference per committed token"),
    ("vi_queue_share", "share", "queue interference over time in the queue"),
    (
        "ttft_p50_s",
        "s",
        "time to first token, from the session's start to its delivery, median; a session still without one "
        "counts with the time it has waited",
    ),
    ("ttft_p95_s", "s", "the same, 95th percentile"),
    ("waiting_share", "share", "of the sessions that overlap the window, without a first token at its end"),
    (
        "tbt_p50_s",
        "s",
        "time between tokens: the gap between deliveries, shared evenly by the tokens of the later one, "
        "median; read from bins of 1 ms",
    ),
    ("tbt_p95_s", "s", "the same, 95th percentile"),
    ("tbt_p99_s", "s", "the same, 99th percentile"),
    ("queue_wait_mean_s", "s", "time in the server's queue per request"),
    ("queue_wait_p95_s", "s", "the same, 95th percentile; read from bins of 1 ms"),
    ("draft_per_token_s", "s", "where the time goes: drafting on devices, per committed token"),
    ("network_per_token_s", "s", "time on links, both ways, per committed token"),
    ("queue_per_token_s", "s", "time in the server's queue, per committed token"),
    ("verify_per_token_s", "s", "time of requests in passes, per committed token"),
    ("batch_size_mean", "count", "members of a pass"),
    ("new_tokens_mean", "count", "new tokens of a pass"),
    ("gpu_busy_share", "share", "of the window in passes"),
    ("cold_share", "share", "of requests served with nothing cached"),
    ("evictions", "count", "sessions that lost their KV memory"),
    ("kv_use_share", "share", "of the KV memory held, averaged over time"),
    ("energy_per_token_j", "J", "of drafting and prefilling on devices, per committed token"),
    ("bytes_per_token", "bytes", "on links, both ways, per committed token; message sizes are estimates"),
    ("goodput_class_{class}", "tok/s", "goodput of one SLO class"),
    ("throughput_class_{class}", "tok/s", "throughput of one SLO class"),
    ("acceptance_class_{class}", "share", "acceptance rate of one SLO class"),
    ("wdt_share_class_{class}", "share", "wasted drafting time of one SLO class over its drafting time"),
    ("devices", "count", "fleet size"),
    ("refused", "count", "requests of a trace that could never fit the KV memory"),
    ("window_s", "s", "length of the window"),
)


def _spelt_out() -> Iterator[Metric]:
    for name, unit, meaning in _TABLE:
        for g in range(1, GROUPS + 1 if _CLASS in name else 2):
            yield Metric(name.replace(_CLASS, str(g)), unit, meaning)


GLOSSARY: dict[str, Metric] = {metric.name: metric for metric in _spelt_out()}
"""Every key of `measure`."""


def markdown_table() -> str:
    """Return the glossary as a table, a line per metric; the four of a class metric share one."""
    lines = ["| name | unit | meaning |", "|---|---|---|"]
    for name, unit, meaning in _TABLE:
        shown = f"`{name}`"
        if _CLASS in name:
            shown = f"`{name.replace(_CLASS, '1')}` to `_{GROUPS}`"
        lines.append(f"| {shown} | {unit} | {meaning} |")
    return "\n".join(lines)
