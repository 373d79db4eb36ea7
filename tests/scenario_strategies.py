"""Random scenarios, as overrides of the shipped `quickstart`: small, valid by construction, loaded."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from chooser import Draw, seeded
from remade import AS_DRAWN, Remade

from wisp_gym import profiles
from wisp_gym.errors import InputError

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


def shares(draw: Draw, count: int) -> tuple[float, ...]:
    """Shares of the whole to 4 decimals, some of them 0."""
    weights = [0 if draw.chance(12) else draw.integer(1, 100) for _ in range(count)]
    if not any(weights):
        weights[0] = 1
    parts = [10_000 * weight // sum(weights) for weight in weights]
    parts[parts.index(max(parts))] += 10_000 - sum(parts)
    return tuple(part / 10_000 for part in parts)


def _law(draw: Draw, median: int, least: int = 1) -> tuple[str, int]:
    """A law of lengths as YAML, and the longest, tokens."""
    low, high = draw.integer(least, median), draw.integer(median, 3 * median)
    sigma = draw.number(0, 1.5) if draw.chance(85) else 0
    return f"{{median: {median}, sigma: {sigma}, min: {low}, max: {high}}}", high


def _parts(key: str, names: Sequence[str], parts: Sequence[float]) -> str:
    listed = (f"{{{key}: {name}, share: {share:g}}}" for name, share in zip(names, parts, strict=True))
    return f"[{', '.join(listed)}]"


def _fleet(draw: Draw) -> tuple[list[str], int, int]:
    """Server, devices and networks; how many kinds and networks."""
    pair, draft, hosts, devices = draw.choice(fitting())
    kinds, networks = _some(draw, devices, 3), _some(draw, profiles.names("network"), 3)
    mix, links = shares(draw, len(kinds)), shares(draw, len(networks))
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
    rates = [draw.spread(0.5, 20)]
    while len(rates) < count:
        rates.append(round(rates[-1] * draw.number(1.05, 3), 6))
    parts = shares(draw, count)
    overrides = [
        f"classes.rates_tps={rates}",
        f"classes.shares={list(parts)}",
        f"classes.allowance_s={draw.number(0, 3) if draw.chance(75) else 0}",
        f"classes.on_time_share={draw.number(0.3, 1) if draw.chance(75) else 1}",
        f"classes.deadline={draw.choice(('round', 'timeline'))}",
    ]
    return overrides, rates, parts


def _engine(draw: Draw, needed: int) -> list[str]:
    """The engine's limits; `needed` KV tokens hold the longest session."""
    least = max(64, needed)
    room = draw.integer(least, 4 * least) if draw.chance(70) else draw.choice((least, 1000 * least))
    return [
        f"server.max_batch={draw.size(1, 16)}",
        f"server.max_new_tokens={draw.size(64, 2048)}",
        f"server.kv_tokens={room}",
        f"server.block={draw.size(1, 40)}",
        *([f"server.noise_cv={draw.number(0, 0.5)}"] if draw.chance(60) else []),
    ]


def _ranges(draw: Draw, closed: bool, arrivals: bool, given: Sequence[float], parts: tuple[int, int]) -> str:
    """What each world draws for itself, as YAML."""
    fields = []
    if closed and draw.chance(50):
        low = draw.integer(1, 8)
        fields.append(f"devices: [{low}, {low + draw.integer(0, 8)}]")
    if not arrivals and draw.chance(50):
        weights = [_weights(draw) if share > 0 else [0, 0] for share in given]
        fields.append(f"class_weights: {weights}")
    for name, count in zip(("mix_weights", "network_weights"), parts, strict=True):
        if draw.chance(50):
            fields.append(f"{name}: {[_weights(draw) for _ in range(count)]}")
    low_shift = draw.number(-5, 5)
    high_shift = min(5, low_shift + (draw.number(0, 2) if draw.chance(50) else 0))
    fields.append(f"acceptance_shift: [{low_shift:g}, {high_shift:g}]")
    return f"ranges={{{', '.join(fields)}}}"


def _weights(draw: Draw) -> list[float]:
    return [draw.number(0.05, 1), draw.number(1, 3)]


def _think(draw: Draw) -> str:
    median = draw.spread(0.01, 1.5) if draw.chance(85) else 0
    sigma = draw.number(0, 1)
    return f"{{median: {median}, sigma: {sigma}, min: {median / 4:g}, max: {median * 4:g}}}"


def _times_ms(draw: Draw, remade: Remade) -> tuple[int, int]:
    """Horizon and warm-up, multiples of the step where there is one; a very slow server runs for longer."""
    long = remade.slow > 20
    horizon = draw.integer(31_000, 90_000) if long else draw.integer(6_000, 25_000)
    step = max(1, remade.step_ms)
    warmup = draw.integer(step, 15_000 if long else 4_000) if draw.chance(80) else 0
    return horizon // step * step, warmup // step * step


def draw_scenario(draw: Draw, remade: Remade = AS_DRAWN) -> tuple[tuple[str, ...], TraceRows | None]:
    """Return the overrides of a random scenario, and its trace if it has one.

    :param remade: what is changed in its worlds
    """
    kind = draw.choice(("closed", "closed", "closed", "arrivals", "trace"))
    horizon_ms, warmup_ms = _times_ms(draw, remade)
    fleet, kinds, networks = _fleet(draw)
    classes, rates, parts = _classes(draw)
    prompt, longest_prompt = _law(draw, draw.size(1, 200))
    output, longest_output = _law(draw, draw.size(1, 80))
    overrides = [
        *fleet,
        *classes,
        *_engine(draw, longest_prompt + longest_output),
        f"horizon_s={horizon_ms / 1000}",
        f"warmup_s={warmup_ms / 1000}",
        f"workload.kind={kind}",
        f"workload.prompt_tokens={prompt}",
        f"workload.output_tokens={output}",
        f"workload.think_s={_think(draw)}",
        *([f"workload.lead_s={draw.number(0, 3) if draw.chance(80) else 0}"] if draw.chance(55) else []),
    ]
    trace = None
    if kind == "closed":
        overrides.append(f"fleet.devices={16 - min(draw.integer(0, 15), draw.integer(0, 15))}")
    elif kind == "arrivals":
        overrides += [f"fleet.devices={MOST_ARRIVALS}", *_profile(draw, rates, parts, longest_output)]
    else:
        overrides.append(f"fleet.devices={draw.integer(1, 20) if draw.chance(50) else 65536}")
        step_ms = draw.choice((1, draw.size(2, 2000)))  # coarse ones make requests arrive together
        size = (longest_prompt, longest_output)
        span_ms = draw.choice((horizon_ms, 2000))
        trace = TraceRows(draw.integer(1, 24), span_ms, step_ms, *size, draw.integer(0, 10**6))
    if draw.chance(40):
        overrides.append(_ranges(draw, kind == "closed", kind == "arrivals", parts, (kinds, networks)))
    return tuple(overrides), trace


def _profile(draw: Draw, rates: Sequence[float], parts: Sequence[float], longest: int) -> list[str]:
    """A profile that never falls, so that it can be met, with some 5 to 60 arrivals."""
    first, second = draw.number(1, 6), draw.number(0, 6)
    fastest = max(rate for rate, share in zip(rates, parts, strict=True) if share > 0)
    scale = min(1.0, 5 * longest / fastest / 8)  # short sessions: fewer at a time, or arrivals are too many
    points = [[0, 0], [draw.number(0.3, 3), first], [draw.number(3.5, 8), first + second]]
    return [f"workload.concurrency={points}", f"workload.scale={max(scale, 0.01):g}"]
