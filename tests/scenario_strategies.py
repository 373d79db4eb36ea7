"""Random scenarios, as overrides of the shipped `quickstart`: small, valid by construction, loaded."""

from __future__ import annotations

import functools
import math
import tempfile
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from chooser import Draw, seeded

from wisp_gym import profiles
from wisp_gym.errors import InputError

RATES = (8, 4, 12, 20, 6, 40, 2, 100, 0.5)
SHARES: dict[int, tuple[tuple[float, ...], ...]] = {
    1: ((1,),),
    2: ((0.5, 0.5), (0.25, 0.75), (0.9, 0.1), (0, 1)),
    3: ((0.5, 0.25, 0.25), (0.2, 0.3, 0.5), (0.5, 0, 0.5)),
    4: ((0.25, 0.25, 0.25, 0.25), (0.1, 0.2, 0.3, 0.4), (0.5, 0.3, 0.2, 0), (0, 0.4, 0.3, 0.3)),
}
MOST_ARRIVALS = 5_000  # room for a profile's arrivals; none of them comes near


@dataclass(frozen=True)
class TraceRows:
    """A trace of random requests in the columns of a scenario's CSV.

    :param requests: how many; :param span_ms: they arrive within; :param step_ms: times are multiples of it
    :param prompt: longest, tokens; :param output: longest, tokens; :param seed: of all draws
    """

    requests: int
    span_ms: int
    step_ms: int
    prompt: int
    output: int
    seed: int

    def text(self) -> str:
        """Return the file."""
        draw = seeded(77, self.seed)
        lines = ["t_ms,input_tokens,output_tokens", "0,1,1"]  # a first row that always arrives and fits
        for _ in range(self.requests):
            time_ms = draw.integer(0, self.span_ms // self.step_ms) * self.step_ms
            lines.append(f"{time_ms},{draw.integer(1, self.prompt)},{draw.integer(1, self.output)}")
        return "\n".join(lines) + "\n"

    def path(self) -> Path:
        """Write the file where this process keeps such files, and return its path."""
        path = _folder() / f"{'-'.join(str(value) for value in astuple(self))}.csv"
        if not path.exists():
            path.write_text(self.text())
        return path


@functools.cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="wisp-gym-traces-"))


@functools.cache
def fitting() -> tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...]:
    """Return every draft/target pair and its draft with the servers of its target and the devices that run
    its draft."""
    servers = {name: profiles.server(name).model for name in profiles.names("server")}
    found = []
    for name in profiles.names("acceptance"):
        pair = profiles.acceptance(name)
        hosts = tuple(server for server, model in servers.items() if model == pair.target)
        kinds = tuple(kind for kind in profiles.names("device") if _runs(kind, pair.draft))
        if hosts and kinds:
            found.append((name, pair.draft, hosts, kinds))
    return tuple(found)


def _runs(kind: str, draft: str) -> bool:
    try:
        return profiles.device(kind).decode_tps(draft) > 0
    except InputError:
        return False


def _some(draw: Draw, names: Sequence[str], most: int) -> list[str]:
    """Some of the names, none twice."""
    left = list(names)
    return [left.pop(draw.integer(0, len(left) - 1)) for _ in range(draw.integer(1, min(most, len(left))))]


def _law(draw: Draw, median: int, spread: int, least: int = 1) -> tuple[str, int]:
    """A law of lengths as YAML, and the longest, tokens."""
    low, high = max(least, median // spread), median * spread
    sigma = draw.choice((0.4, 0, 0.8, 1.5))
    return f"{{median: {median}, sigma: {sigma}, min: {low}, max: {high}}}", high


def _parts(key: str, names: Sequence[str], shares: Sequence[float]) -> str:
    listed = (f"{{{key}: {name}, share: {share:g}}}" for name, share in zip(names, shares, strict=True))
    return f"[{', '.join(listed)}]"


def _fleet(draw: Draw) -> tuple[list[str], int, int]:
    """Server, devices and networks; how many kinds and networks."""
    pair, draft, hosts, devices = draw.choice(fitting())
    kinds, networks = _some(draw, devices, 3), _some(draw, profiles.names("network"), 3)
    mix, links = draw.choice(SHARES[len(kinds)]), draw.choice(SHARES[len(networks)])
    overrides = [
        f"server.profile={draw.choice(hosts)}",
        f"acceptance.profile={pair}",
        f"fleet.draft={draft}",
        f"fleet.mix={_parts('device', kinds, mix)}",
        f"fleet.networks={_parts('network', networks, links)}",
        "fleet.allow_infeasible=true",
    ]
    return overrides, len(kinds), len(networks)


def _classes(draw: Draw) -> tuple[list[str], list[float], tuple[float, ...]]:
    """SLO classes, their rates and shares."""
    count = draw.choice((4, 1, 2, 3))
    left = list(RATES)
    rates = sorted(left.pop(draw.integer(0, len(left) - 1)) for _ in range(count))
    shares = draw.choice(SHARES[count])
    overrides = [
        f"classes.rates_tps={rates}",
        f"classes.shares={list(shares)}",
        f"classes.allowance_s={draw.choice((1, 0, 0.2, 0.5, 3))}",
        f"classes.on_time_share={draw.choice((0.95, 0.5, 1))}",
        f"classes.deadline={draw.choice(('round', 'timeline'))}",
    ]
    return overrides, rates, shares


def _engine(draw: Draw, needed: int) -> list[str]:
    """The engine's limits; `needed` KV tokens hold the longest session."""
    least = max(64, needed)
    room = draw.choice((2, 1, 1.1, 1.3, 1.6, 2.5, 4, 1000))
    noise = draw.choice((None, 0, 0.1, 0.4))
    return [
        f"server.max_batch={draw.choice((3, 2, 4, 5, 8, 16, 1))}",
        f"server.max_new_tokens={draw.choice((128, 64, 80, 200, 512, 2048))}",
        f"server.kv_tokens={math.ceil(room * least)}",
        f"server.block={draw.choice((16, 1, 8))}",
        *([] if noise is None else [f"server.noise_cv={noise}"]),
    ]


def _ranges(draw: Draw, closed: bool, arrivals: bool, shares: Sequence[float], parts: tuple[int, int]) -> str:
    """What each world draws for itself, as YAML."""
    fields = []
    if closed and draw.chance(50):
        low = draw.integer(1, 8)
        fields.append(f"devices: [{low}, {low + draw.integer(0, 8)}]")
    if not arrivals and draw.chance(50):
        weights = [[0.2, 1] if share > 0 else [0, 0] for share in shares]
        fields.append(f"class_weights: {weights}")
    for name, count in zip(("mix_weights", "network_weights"), parts, strict=True):
        if draw.chance(50):
            fields.append(f"{name}: {[[0.1, 1]] * count}")
    low_shift = draw.number(-5, 5)
    fields.append(f"acceptance_shift: [{low_shift:g}, {min(5, low_shift + draw.choice((0, 1))):g}]")
    return f"ranges={{{', '.join(fields)}}}"


def draw_scenario(draw: Draw) -> tuple[tuple[str, ...], TraceRows | None]:
    """Return the overrides of a random scenario, and its trace if it has one."""
    kind = draw.choice(("closed", "closed", "closed", "arrivals", "trace"))
    horizon_s = draw.choice((10, 6, 8, 15, 20, 25))
    fleet, kinds, networks = _fleet(draw)
    classes, rates, shares = _classes(draw)
    prompt, longest_prompt = _law(draw, draw.choice((60, 8, 2, 30, 90, 200)), draw.choice((2, 3, 1)))
    output, longest_output = _law(draw, draw.choice((20, 1, 4, 10, 30, 40, 80)), draw.choice((2, 3, 1)))
    lead_s = draw.choice((None, None, None, 0, 0.2, 1, 3))
    think_s = draw.choice((0.2, 0, 0.05, 1))
    overrides = [
        *fleet,
        *classes,
        *_engine(draw, longest_prompt + longest_output),
        f"horizon_s={horizon_s}",
        f"warmup_s={draw.choice((0, 1, 2.5))}",
        f"workload.kind={kind}",
        f"workload.prompt_tokens={prompt}",
        f"workload.output_tokens={output}",
        f"workload.think_s={{median: {think_s}, sigma: 0.5, min: {think_s / 4:g}, max: {think_s * 4:g}}}",
        *([] if lead_s is None else [f"workload.lead_s={lead_s}"]),
    ]
    trace = None
    if kind == "closed":
        overrides.append(f"fleet.devices={16 - min(draw.integer(0, 15), draw.integer(0, 15))}")
    elif kind == "arrivals":
        overrides += [f"fleet.devices={MOST_ARRIVALS}", *_profile(draw, rates, shares, longest_output)]
    else:
        overrides.append(f"fleet.devices={draw.choice((65536, 8))}")
        step_ms = draw.choice((1, 250, 2000))  # coarse ones make requests arrive together
        size = (longest_prompt, longest_output)
        trace = TraceRows(
            draw.integer(1, 24), 1000 * draw.choice((horizon_s, 2)), step_ms, *size, draw.integer(0, 10**6)
        )
    if draw.chance(40):
        overrides.append(_ranges(draw, kind == "closed", kind == "arrivals", shares, (kinds, networks)))
    return tuple(overrides), trace


def _profile(draw: Draw, rates: Sequence[float], shares: Sequence[float], longest: int) -> list[str]:
    """A profile that never falls, so that it can be met, with some 5 to 60 arrivals."""
    first, second = draw.integer(1, 6), draw.integer(0, 6)
    fastest = max(rate for rate, share in zip(rates, shares, strict=True) if share > 0)
    scale = min(1.0, 5 * longest / fastest / 8)  # short sessions: fewer at a time, or arrivals are too many
    points = [[0, 0], [draw.choice((1, 0.5, 3)), first], [draw.choice((5, 4, 8)), first + second]]
    return [f"workload.concurrency={points}", f"workload.scale={max(scale, 0.01):g}"]
