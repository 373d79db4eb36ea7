"""The shipped profiles as a page of Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from wisp_gym.profiles import load
from wisp_gym.profiles.acceptance import AcceptanceProfile
from wisp_gym.profiles.device import DecodeSpeed, DeviceProfile
from wisp_gym.profiles.figures import Cited
from wisp_gym.profiles.network import NetworkProfile
from wisp_gym.profiles.server import ServerProfile

MARK = "†"
"""Follows a figure that is assembled from parts or estimated."""

NEW_TOKENS = (1, 64, 128, 160, 512)
"""Sizes of a pass that the table of servers shows."""

DRAFTS = ("qwen3-0.6b", "qwen3-1.7b", "qwen3-4b", "qwen3-8b", "llama-3.2-1b", "llama-3.2-3b")
"""Drafts with a column of their own: those of the acceptance profiles, and one more."""

INTRODUCTION = f"""\
# Profiles

What scenarios are made of. The files, with the source of every figure, are in
[wisp_gym/profiles/data](../wisp_gym/profiles/data); the sources' licences in
[ATTRIBUTION.md](../ATTRIBUTION.md). {MARK} marks a figure that is assembled from parts of several sources or
estimated; its file gives the reason. A scenario can also name a file of yours in place of any of these.
"""

SERVERS = f"""\
## Servers

A pass with S new tokens, C cached tokens and B requests takes g(S) + base + c C + e B, and the host's
time{MARK}, times noise{MARK}. g, c and the memory are, where unmarked, sums of
published kernel measurements, not measured systems; against the whole-system runs that exist they are good
to about 10 %. On A100 g is a staircase: a pass of 129 tokens costs what one of 160 does.
"""

DEVICES = f"""\
## Devices

Drafting speed in tok/s, as scenarios use it; a fleet's devices differ from it by a factor from the range
given{MARK}. Files hold further measurements, with other quantisations and runtimes. *Stop check* is one call
of a learned stop predictor. Where no speed on the prompt is published, it is the drafting speed times a
factor{MARK}.
"""

NETWORKS = f"""\
## Networks

Round-trip time in ms. *Lag 1* is its correlation with itself 50 ms later. How it is split between uplink and
downlink is not published: half each{MARK}.
"""

ACCEPTANCE = """\
## Acceptance

alpha(k) is accepted over drafted tokens when every round drafts k; *survival* is the probability that the
first 1, 2, ... of them are accepted. Streams are drawn by a generator fitted to these figures; *streams* says
what it gives, *gap* how far its survival is from the published one at the worst position of any k, and
*correlation* how the accepted counts of consecutive rounds of five correlate within a session. It, the
spread between sessions and what the signals tell are measured for one pair (correlation 0.16 to 0.34) and are
the aim for all; the survival of some tasks leaves room for less correlation. A pair fits a server with the
same target model. Every pair has a [stop predictor](predictor.md) of its name; a file of yours names one
under `predictor`.
"""


def catalogue() -> str:
    """Return the page: tables of servers, devices, networks and acceptance, ending in a newline."""
    parts = [
        INTRODUCTION,
        SERVERS,
        _table(
            ("server", "GPUs", "target", *(f"g({n}) ms" for n in NEW_TOKENS), "c ns", "KV tokens"),
            (_server_row(load.server(name)) for name in load.names("server")),
        ),
        DEVICES,
        _table(
            ("device", *DRAFTS, "other drafts", "range", "W", "stop check ms"),
            (_device_row(load.device(name)) for name in load.names("device")),
        ),
        NETWORKS,
        _table(
            ("network", "what", "p50", "p95", "p99", "longest", "lag 1"),
            (_network_row(load.network(name)) for name in load.names("network")),
        ),
        ACCEPTANCE,
        _table(
            ("pair", "published", "streams", "gap", "correlation"),
            (_acceptance_row(load.acceptance(name)) for name in load.names("acceptance")),
        ),
    ]
    return "\n".join(parts)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _figure(value: float, figure: Cited, digits: str = ".4g") -> str:
    return format(value, digits) + (MARK if figure.flagged else "")


def _server_row(server: ServerProfile) -> list[str]:
    pass_ms = np.interp(NEW_TOKENS, *server.pass_curve()) * 1e3
    return [
        f"`{server.name}`",
        f"{server.tensor_parallel} x {server.gpu}",
        f"`{server.model}`",
        *(_figure(value, server.pass_time, ".1f") for value in pass_ms),
        _figure(server.cached_token_s * 1e9, server.cached_token, ".0f"),
        _figure(server.kv_tokens, server.kv_memory, ",.0f"),
    ]


def _device_row(device: DeviceProfile) -> list[str]:
    first: dict[str, DecodeSpeed] = {}
    for entry in device.decode:
        first.setdefault(entry.draft, entry)
    own = [_figure(first[draft].value, first[draft]) if draft in first else "" for draft in DRAFTS]
    others = [
        f"{draft} {_figure(entry.value, entry)}" for draft, entry in first.items() if draft not in DRAFTS
    ]
    low, high = device.speed_spread
    return [
        f"`{device.name}`",
        *own,
        ", ".join(others),
        f"{low:g}-{high:g}",
        _figure(device.power_w, device.power),
        _figure(device.stop_check_s * 1e3, device.stop_check),
    ]


def _network_row(network: NetworkProfile) -> list[str]:
    rtt = network.rtt or network.rtt_by_distance
    assert rtt is not None
    points = np.interp([0.5, 0.95, 0.99, 1.0], network.probabilities, network.rtt_s) * 1e3
    return [
        f"`{network.name}`",
        network.description,
        *(_figure(point, rtt, ".0f") for point in points),
        _figure(network.lag1, network.autocorrelation),
    ]


def _acceptance_row(pair: AcceptanceProfile) -> list[str]:
    expected = pair.expected_accepted
    if pair.acceptance_rate:
        published = [f"alpha({rate.k}) {_figure(rate.value, rate)}" for rate in pair.acceptance_rate]
        streams = [f"alpha({rate.k}) {expected[rate.k] / rate.k:.3f}" for rate in pair.acceptance_rate]
    else:
        table = min(pair.survival, key=lambda entry: abs(entry.k - 5))
        values = " ".join(f"{value:.3f}" for value in table.values)
        published = [f"survival at k = {table.k}: {values}; alpha({table.k}) {np.mean(table.values):.3f}"]
        streams = [f"alpha({table.k}) {expected[table.k] / table.k:.3f}"]
    return [f"`{pair.name}`", ", ".join(published), ", ".join(streams), *_reached(pair)]


def _reached(pair: AcceptanceProfile) -> list[str]:
    """Return the largest miss of a survival table that the streams were fitted to, and their correlation."""
    reached = pair.fitted.reached.values if pair.fitted.reached else {}
    gaps = [value for name, value in reached.items() if name.startswith("survival_gap_")]
    correlation = reached.get("step_correlation")
    return [f"{max(gaps):.3f}" if gaps else "", "" if correlation is None else f"{correlation:.2f}"]
