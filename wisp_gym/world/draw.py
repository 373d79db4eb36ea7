"""Draw a world: one seed in, everything exogenous out."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from wisp_gym.errors import InputError
from wisp_gym.scenario import Scenario
from wisp_gym.scenario.schema import MAX_DEVICES
from wisp_gym.world.arrivals import Arrivals, first_lengths
from wisp_gym.world.fleet import Laws, assign_groups, cannot_hold, draw_devices, slowest_speeds
from wisp_gym.world.network import link_tables
from wisp_gym.world.ranges import Variant, draw_variant
from wisp_gym.world.rng import normal_quantile
from wisp_gym.world.server import pass_curve_ns, server_record
from wisp_gym.world.session_streams import draw_accepts
from wisp_gym.world.sessions import lognormal_parameters, plan_sessions
from wisp_gym.world.size import Needs, check_device_seconds, is_streamed
from wisp_gym.world.streams import shifted, stream_params
from wisp_gym.world.types import CELLS, DEVICE, GROUP, GROUPS, NO_LEAD_NS, SESSION, World, WorldArrays

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer[Any]]


def world_seed(split: Split, seed: int, environment: int = 0, episode: int = 0) -> int:
    """Return the seed of a world, unlike for unlike arguments: SeedSequence([split, seed, environment,
    episode]).

    :param split: which family of worlds; training, validation and test share none
    :param seed: the run's or the comparison's seed, 0 or more
    :param environment: which copy of a vector of environments
    :param episode: which episode of that copy
    :raises InputError: an unknown split or a negative number
    """
    if split not in SPLITS:
        raise InputError(f"split: {split!r}; allowed: {', '.join(SPLITS)}")
    for name, value in (("seed", seed), ("environment", environment), ("episode", episode)):
        if not isinstance(value, int | np.integer) or value < 0:
            raise InputError(f"{name}: {value!r}; allowed: an integer of 0 or more")
    words = [SPLITS.index(split), int(seed), int(environment), int(episode)]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])


def group_records(scenario: Scenario) -> npt.NDArray[Any]:
    """Return the SLO classes as GROUP records, loosest first.  # (4,)"""
    classes = scenario.classes
    records = np.zeros(GROUPS, GROUP)
    records["period_ns"] = 1
    for g, rate in enumerate(classes.rates_tps):
        records[g]["period_ns"] = round(1e9 / rate)
        records[g]["rate_tps"] = rate
    lead_s = scenario.workload.lead_s
    records["lead_ns"] = NO_LEAD_NS if lead_s is None else round(1e9 * lead_s)
    records["allowance_ns"] = round(1e9 * classes.allowance_s)
    records["on_time_share"] = classes.on_time_share
    return records


def noise_factors(cv: float) -> FloatArray:
    """Return equally likely factors on a pass's time: log-normal with this coefficient of variation, mean
    one.  # (4096,)"""
    sigma = np.sqrt(np.log1p(cv**2))
    z = np.array([normal_quantile((i + 0.5) / CELLS) for i in range(CELLS)])
    factors = np.exp(sigma * z)
    return np.asarray(factors / factors.mean(), np.float64)


class Template:
    """What all worlds of a scenario share: costs, laws, tables, and who can hold which class."""

    def __init__(self, scenario: Scenario) -> None:
        self.acceptance = scenario.profiles.acceptance
        profile, limits = scenario.profiles.server, scenario.server
        self.server = server_record(
            profile, limits.max_batch, limits.max_new_tokens, scenario.kv_tokens, limits.block
        )
        self.pass_ns = pass_curve_ns(profile, limits.max_new_tokens)
        self.noise = noise_factors(scenario.noise_cv)
        self.groups = group_records(scenario)
        self.laws = _laws(scenario, stream_params(self.acceptance.generator))
        tables = [link_tables(network) for network in self.laws.networks]
        self.up_ns = np.array([table[0] for table in tables])
        self.down_ns = np.array([table[1] for table in tables])
        self.refresh = np.array([table[2] for table in tables], np.uint64)
        self.slowest = slowest_speeds(scenario, self.laws, self.groups, self.server, self.pass_ns)
        self.expected = np.asarray(self.acceptance.expected_accepted, np.float64)
        self.estimator: FloatArray | None = None  # fitted when a scheduler plans with it
        self.spread = np.log([kind.speed_spread for kind in self.laws.kinds])
        self.arrivals = Arrivals(scenario) if scenario.workload.kind == "arrivals" else None

    def devices(self, scenario: Scenario, seed: np.uint64, count: int, drawn: Variant) -> npt.NDArray[Any]:
        """Draw a fleet with the shares that the world drew.  # (count,) DEVICE"""
        devices = np.zeros(count, DEVICE)
        groups = np.empty(count, np.int64)
        assign_groups(drawn.shares, groups)
        devices["group"] = groups
        laws = self.laws
        shares = (np.cumsum(drawn.mix), np.cumsum(drawn.networks))
        failed = draw_devices(seed, devices, *shares, self.spread, self.slowest)
        if failed >= 0:
            raise cannot_hold(scenario, int(groups[failed]))
        kind, speed = devices["kind"], devices["speed"]
        devices["draft_ns"] = np.rint(1e9 * laws.draft_s[kind] / speed)
        devices["prefill_ns"] = np.rint(1e9 * laws.prefill_s[kind] / speed)
        devices["check_ns"] = np.rint(1e9 * np.array([k.stop_check_s for k in laws.kinds])[kind])
        devices["power_w"] = np.array([k.power_w for k in laws.kinds])[kind]
        devices["back_ns"] = np.median(self.down_ns, axis=1).astype(np.int64)[devices["network"]]
        return devices


def _laws(scenario: Scenario, stream: FloatArray) -> Laws:
    """The laws of a scenario as numbers."""
    fleet, workload = scenario.fleet, scenario.workload
    kinds, networks = scenario.profiles.devices, scenario.profiles.networks
    return Laws(
        kinds=kinds,
        networks=networks,
        draft_s=np.array([1.0 / kind.decode_tps(fleet.draft) for kind in kinds]),
        prefill_s=np.array([1.0 / kind.prefill_tps(fleet.draft) for kind in kinds]),
        lengths=np.array(
            [
                lognormal_parameters(workload.prompt_tokens),
                lognormal_parameters(workload.output_tokens),
                lognormal_parameters(workload.think_s),
            ]
        ),
        stream=stream,
    )


_TEMPLATES: OrderedDict[str, Template] = OrderedDict()
_KEPT_TEMPLATES = 32


def template_of(scenario: Scenario) -> Template:
    """Return what all worlds of a scenario share, built once per process and scenario."""
    digest = scenario.digest()
    if digest not in _TEMPLATES:
        _TEMPLATES[digest] = Template(scenario)
        if len(_TEMPLATES) > _KEPT_TEMPLATES:
            _TEMPLATES.popitem(last=False)
    return _TEMPLATES[digest]


def session_cycle_ns(scenario: Scenario, groups: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return a class's session cycle: mean output length at the class's rate, and the mean pause.  # (4,)"""
    workload = scenario.workload
    tokens, think_s = workload.output_tokens.mean, workload.think_s.mean
    return np.rint(tokens * groups["period_ns"] + 1e9 * think_s).astype(np.int64)


def _closed_sessions(
    scenario: Scenario,
    template: Template,
    seed: np.uint64,
    devices: npt.NDArray[Any],
    horizon_ns: int,
    whole: bool | None,
) -> npt.NDArray[Any]:
    """Sessions of a closed loop."""
    check_device_seconds(1e-9 * horizon_ns * np.bincount(devices["group"]))
    cycle_ns = session_cycle_ns(scenario, template.groups)
    laws = template.laws.lengths
    plan = (seed, devices, template.groups, laws, cycle_ns, horizon_ns)
    count, positions = plan_sessions(*plan, np.empty(0, SESSION))
    longest = int(scenario.workload.output_tokens.max)
    under_way = positions / max(count, 1) * len(devices)
    needs = Needs(len(devices), count, positions, under_way, longest)
    streamed = is_streamed(needs, whole)
    sessions = np.zeros(count, SESSION)
    plan_sessions(*plan, sessions)
    if streamed:
        sessions["offset"] = -1
    return sessions


def _open_sessions(
    devices: npt.NDArray[Any],
    start_ns: IntArray,
    prompt: IntArray,
    length: IntArray,
    horizon_ns: int,
    whole: bool | None,
) -> npt.NDArray[Any]:
    """Sessions of an open loop, one for each device."""
    count = len(devices)
    ends = np.cumsum(length, dtype=np.int64)
    positions, longest = (int(ends[-1]), int(length.max())) if count else (0, 0)
    check_device_seconds(np.bincount(devices["group"], weights=1e-9 * (horizon_ns - start_ns)))
    streamed = is_streamed(Needs(count, count, positions, 0.0, longest), whole)
    sessions = np.zeros(count, SESSION)
    sessions["device"] = np.arange(count)
    sessions["prompt"], sessions["length"], sessions["start_ns"] = prompt, length, start_ns
    sessions["offset"] = -1 if streamed else ends - sessions["length"]
    devices["first_session"], devices["sessions"] = np.arange(count), 1
    return sessions


def _check_draw(scenario: Scenario, seed: int, devices: int | None) -> None:
    if not 0 <= seed < 2**64:
        raise InputError(f"world seed: {seed}; allowed: 0 to 2^64 - 1")
    if devices is None:
        return
    if scenario.open_loop:
        raise InputError(f"devices: {devices}; allowed: none, as each arrival has its own device")
    if not 1 <= devices <= MAX_DEVICES:
        raise InputError(f"devices: {devices}; allowed: 1 to {MAX_DEVICES}")


def _draw_fleet(
    scenario: Scenario,
    template: Template,
    seed: np.uint64,
    drawn: Variant,
    count: int,
    horizon_ns: int,
    begin_s: float,
    whole: bool | None,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Devices (`count` in a closed loop) and their sessions; refused where they would not fit."""
    if template.arrivals is not None:
        start_ns = template.arrivals.draw_ns(seed, begin_s, horizon_ns)
        prompt, length = np.empty_like(start_ns), np.empty_like(start_ns)
        first_lengths(seed, template.laws.lengths[0], template.laws.lengths[1], prompt, length)
        fleet = template.devices(scenario, seed, len(start_ns), drawn)
        return fleet, _open_sessions(fleet, start_ns, prompt, length, horizon_ns, whole)
    if scenario.requests is not None:
        requests = scenario.requests
        early = slice(int(np.searchsorted(requests.arrival_ns, horizon_ns)))
        fleet = template.devices(scenario, seed, early.stop, drawn)
        columns = (requests.arrival_ns[early], requests.prompt_tokens[early], requests.output_tokens[early])
        return fleet, _open_sessions(fleet, *columns, horizon_ns, whole)
    fleet = template.devices(scenario, seed, count, drawn)
    return fleet, _closed_sessions(scenario, template, seed, fleet, horizon_ns, whole)


def draw_world(
    scenario: Scenario,
    seed: int,
    devices: int | None = None,
    horizon_s: float | None = None,
    begin_s: float = 0.0,
    whole: bool | None = None,
) -> World:
    """Draw the world of a scenario: fleet, sessions, token streams; link delays and server noise by address.

    Worlds nest: the first N devices and T seconds of a larger world are the smaller world.

    :param scenario: what to draw from
    :param seed: from `world_seed`, 0 to 2^64 - 1
    :param devices: instead of the scenario's (closed loop only)
    :param horizon_s: instead of the scenario's, s
    :param begin_s: where in the arrival profile the world starts, s (0 without a profile)
    :param whole: hold all token streams (True), or none and draw them as they are needed (False); None: by
    their size. A run is the same in every number.
    :raises InputError: a class that no device can hold, a seed or number of devices out of range, a world
    that would not fit into memory
    """
    _check_draw(scenario, seed, devices)
    template = template_of(scenario)
    horizon_ns = round(1e9 * (scenario.horizon_s if horizon_s is None else horizon_s))
    world, drawn = np.uint64(seed), draw_variant(scenario, seed)
    count = drawn.devices if devices is None else devices
    fleet, sessions = _draw_fleet(scenario, template, world, drawn, count, horizon_ns, begin_s, whole)
    stream = shifted(template.laws.stream, drawn.acceptance_shift)
    groups = template.groups.copy()
    groups["devices"] = np.bincount(fleet["group"], minlength=GROUPS)
    if template.arrivals is not None:
        peak = template.arrivals.peak_devices()
        groups["devices"] = np.pad(peak, (0, GROUPS - len(peak)))
    arrays = WorldArrays(
        seed=np.array([world]),
        devices=fleet,
        sessions=sessions,
        groups=groups,
        server=template.server,
        pass_ns=template.pass_ns,
        noise=template.noise,
        up_ns=template.up_ns,
        down_ns=template.down_ns,
        refresh=template.refresh,
        accepts=np.empty(0, np.uint8),
        expected=template.expected,
    )
    if len(sessions) > 0 and sessions[0]["offset"] >= 0:
        arrays = arrays._replace(accepts=draw_accepts(arrays, stream, np.arange(len(sessions))))
    return World(
        scenario=scenario,
        seed=int(seed),
        horizon_ns=horizon_ns,
        warmup_ns=round(1e9 * scenario.warmup()),
        arrays=arrays,
        refused=scenario.refused,
        stream=stream,
    )
