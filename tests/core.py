"""What the tests of the core share: small scenarios, policies, and the event log read with plain Python."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from wisp_gym import scenario
from wisp_gym.pipeline import DrafterRule, Policy, SchedulerRule, Simulation
from wisp_gym.pipeline.log import KINDS
from wisp_gym.scenario import Scenario
from wisp_gym.world import World, draw_world, world_seed
from wisp_gym.world.network import link_cell
from wisp_gym.world.types import SESSION

SECOND = 10**9

BASE = (
    "fleet.allow_infeasible=true",  # no probe of who holds which class, which takes longest
    "horizon_s=25",
    "warmup_s=5",
    "workload.output_tokens={median: 30, sigma: 0.3, min: 8, max: 80}",
    "workload.prompt_tokens={median: 60, sigma: 0.5, min: 8, max: 200}",
)
EASY = (*BASE, "fleet.devices=8")
TIGHT = (  # prompts in chunks, evictions, paged cache, queues
    *BASE,
    "fleet.devices=24",
    "server.max_batch=6",
    "server.max_new_tokens=64",
    "server.kv_tokens=900",
    "server.block=16",
)
LED = (*TIGHT, "workload.lead_s=1", "fleet.devices=12")  # sessions wait for their readers


LITTLE = ["--devices", "5", "--horizon", "30", "--set", "warmup_s=8", "--seeds", "2", "--jobs", "1"]
"""Words of an evaluation that takes no time."""


def small(*overrides: str) -> Scenario:
    return scenario.load("quickstart", overrides)


def draw(overrides: tuple[str, ...] = EASY, seed: int = 1) -> World:
    return draw_world(small(*overrides), world_seed("test", seed))


def pair(name: str, drafter: Any, scheduler: Any = None) -> Policy:
    return Policy(name, drafter, SchedulerRule() if scheduler is None else scheduler)


def wisp(late: Any, deadline: Any = None) -> Policy:
    return pair(
        f"wisp-{late}", DrafterRule.predictor(), SchedulerRule("slo-aware", late=late, deadline=deadline)
    )


def waiting(rule: DrafterRule, timeout_s: float | None) -> DrafterRule:
    """Return a drafter that goes on while it waits."""
    return dataclasses.replace(rule, ahead=True, timeout_s=timeout_s)


def suspect() -> DrafterRule:
    return dataclasses.replace(DrafterRule.confidence(0.5), drop_suspect=True)


POLICIES: dict[str, Callable[[], Policy]] = {
    "wisp-literal": lambda: wisp("literal"),
    "wisp-urgent": lambda: wisp("urgent"),
    "wisp-last-timeline": lambda: wisp("last", "timeline"),
    "sled": lambda: pair(
        "sled", DrafterRule.fixed(5), SchedulerRule("static", static_size=4, static_limit_s=0.05, padded=True)
    ),
    "centralized": lambda: pair(
        "centralized", DrafterRule.none(server_loop=True), SchedulerRule("continuous")
    ),
    "centralized-rtc": lambda: pair(
        "centralized-rtc",
        DrafterRule.none(server_loop=True),
        SchedulerRule("continuous", run_to_completion=True, whole_output=False),
    ),
    "confidence-drop": lambda: pair("confidence-drop", suspect(), SchedulerRule("edf")),
    "density": lambda: pair("density", DrafterRule.fixed(3), SchedulerRule("density", token_budget=48)),
    "entropy": lambda: pair("entropy", DrafterRule.entropy(0.6)),
    "specdec": lambda: pair("specdec", DrafterRule.specdec(0.7), SchedulerRule("edf")),
    "table": lambda: pair("table", DrafterRule.by_batch(((2, 5), (4, 2)))),
    "goodput": lambda: pair("goodput", DrafterRule.goodput(), SchedulerRule("density")),
    "ucb": lambda: pair("ucb", DrafterRule.ucb(0.2), SchedulerRule("slo-aware")),
    "random": lambda: pair("random", DrafterRule.random(), SchedulerRule("random")),
    "sled-ahead": lambda: pair(
        "sled-ahead",
        waiting(DrafterRule.fixed(5), timeout_s=None),
        SchedulerRule("static", static_size=4, static_limit_s=0.05, padded=True),
    ),
    "confidence-retry": lambda: pair(
        "confidence-retry", waiting(DrafterRule.confidence(0.4), timeout_s=0.12)
    ),
    "predictor-ahead": lambda: pair(
        "predictor-ahead", waiting(DrafterRule.predictor(), timeout_s=0.3), SchedulerRule("slo-aware")
    ),
    "random-retry": lambda: pair(
        "random-retry", waiting(DrafterRule.random(), timeout_s=0.06), SchedulerRule("random")
    ),
    "retry-alone": lambda: pair("retry-alone", dataclasses.replace(DrafterRule.fixed(3), timeout_s=0.1)),
    "bayes-fair": lambda: pair(
        "bayes-fair", DrafterRule.bayes(0.3), SchedulerRule("proportional-fair", token_budget=48)
    ),
    "oracle": lambda: pair("oracle", DrafterRule.oracle(6), SchedulerRule("edf")),
}
WORK_CONSERVING = tuple(name for name in POLICIES if name not in ("sled", "sled-ahead"))


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A row of the event log; the four numbers are explained in wisp_gym/pipeline/log.py."""

    time: int
    kind: str
    device: int
    session: int
    a: int
    b: int
    c: int
    d: int


def rows(sim: Simulation, *kinds: str) -> list[Row]:
    """Return the log, or its rows of these kinds, in order."""
    state, listed = _read.get(sim, ((), []))
    if state != (sim.now_ns, len(sim.events)):
        listed = [Row(r[0], KINDS[r[1]], *r[2:]) for r in sim.events.tolist()]
        _read[sim] = (sim.now_ns, len(listed)), listed
    return [row for row in listed if not kinds or row.kind in kinds]


_read: WeakKeyDictionary[Simulation, tuple[tuple[int, ...], list[Row]]] = WeakKeyDictionary()


def log_hash(sim: Simulation) -> str:
    return hashlib.sha256(np.ascontiguousarray(sim.events).tobytes()).hexdigest()


def world_hash(world: World) -> str:
    digest = hashlib.sha256()
    for array in (*world.arrays, world.signals, world.off_signals):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def run(world: World, policy: Policy, seed: int = 0) -> Simulation:
    return Simulation(world, policy, seed, log=True).run()


def whole_output(sim: Simulation) -> bool:
    """Say whether sessions hold memory for their whole output from their admission on."""
    rule = sim.policy.scheduler
    return isinstance(rule, SchedulerRule) and rule.kind == "continuous" and rule.whole_output


# --- the world, read independently of the kernel


def link_ns(world: World, device: int, time_ns: int, up: bool) -> int:
    """Return a message's delay, from the tables and its slot."""
    arrays = world.arrays
    network = int(arrays.devices[device]["network"])
    cell = link_cell(arrays.seed[0], device, time_ns, arrays.refresh[network])
    return int((arrays.up_ns if up else arrays.down_ns)[network, cell])


def agreements(world: World, session: int, committed: int, k: int) -> int:
    """Return the leading run of agreements among the k tokens after `committed`."""
    begin = int(world.arrays.sessions[session]["offset"]) + committed
    stream = world.arrays.accepts[begin : begin + k]
    disagree = np.flatnonzero(stream == 0)
    return int(disagree[0]) if len(disagree) else k


def draft_token_ns(world: World, device: int, checked: bool) -> int:
    record = world.arrays.devices[device]
    return int(record["draft_ns"] + (record["check_ns"] if checked else 0))


def is_checked(policy: Policy) -> bool:
    """Say whether the drafter pays for a network's call at every token."""
    return isinstance(policy.drafter, DrafterRule) and policy.drafter.score in (
        "stop",
        "agreement",
        "observed",
    )


@dataclasses.dataclass
class Request:
    """One round of a session at the server, as the log and the world's tables tell it."""

    device: int
    session: int
    arrived: int
    k: int
    committed: int
    passes: list[int] = dataclasses.field(default_factory=list)  # numbers of the passes it was in
    queued: list[int] = dataclasses.field(default_factory=list)  # when it (re)joined the queue
    ended: int = -1  # when its last pass ended, -1 not in the log
    accepted: int = -1


def server_loop(policy: Policy) -> bool:
    """Say whether sessions stay on the server between rounds."""
    return isinstance(policy.drafter, DrafterRule) and policy.drafter.server_loop


def round_from_ns(world: World, session: int, start_ns: int, tokens: int) -> int:
    """Return from when a session with so many tokens may go on: when the reader is the lead behind."""
    group = world.arrays.groups[world.arrays.devices[world.arrays.sessions[session]["device"]]["group"]]
    return int(start_ns + tokens * group["period_ns"] - group["lead_ns"])


def requests(sim: Simulation) -> list[Request]:
    """Rebuild every request from the log; its arrival is computed here, from the world's tables."""
    state, listed = _rebuilt.get(sim, ((), []))
    if state != (sim.now_ns, len(sim.events)):
        listed = _rebuild(sim)
        _rebuilt[sim] = (sim.now_ns, len(sim.events)), listed
    return listed


_rebuilt: WeakKeyDictionary[Simulation, tuple[tuple[int, ...], list[Request]]] = WeakKeyDictionary()


def _rebuild(sim: Simulation) -> list[Request]:
    world, policy = sim.world, sim.policy
    loop = server_loop(policy)
    done: list[Request] = []
    now: dict[int, Request] = {}
    tokens: dict[int, int] = {}  # that a device's session has after its last verified round
    last_arrival: dict[int, int] = {}
    repeated: dict[int, list[tuple[int, int, int]]] = defaultdict(
        list
    )  # arrival, session, tokens asked again
    ends: dict[int, int] = {}
    starts: dict[int, Row] = {}

    def send(device: int, session: int, sent: int, k: int, committed: int) -> None:
        arrived = max(sent + link_ns(world, device, sent, up=True), last_arrival.get(device, 0))
        last_arrival[device] = arrived
        now[device] = Request(device, session, arrived, k, committed, queued=[arrived])

    for row in rows(sim):
        if row.kind == "start":
            starts[row.session] = row
            send(row.device, row.session, row.a, 0, 0)
        elif row.kind == "draft":
            sent = row.time + row.a * draft_token_ns(world, row.device, row.c == 1) - row.d
            send(row.device, row.session, sent, row.b, tokens[row.device])
        elif row.kind == "retry":
            again = row.time + link_ns(world, row.device, row.time, up=True)
            last_arrival[row.device] = max(again, last_arrival[row.device] + 1)
            repeated[row.device].append((last_arrival[row.device], row.session, row.a))
        elif row.kind == "supersede":
            time, session, k = repeated[row.device].pop(0)
            assert time == row.time
            if row.b == 1:
                request = now[row.device]
                assert request.session == session
                assert request.k == row.a < k
                request.k = k
            else:
                assert row.a == k
        elif row.kind == "pass":
            ends[row.a] = row.c
        elif row.kind == "member":
            request = now[row.device]
            if request.passes:
                request.queued.append(ends[request.passes[-1]])
            request.passes.append(row.a)
        elif row.kind == "verify":
            request = now.pop(row.device)
            request.ended, request.accepted = row.time, row.b
            done.append(request)
            tokens[row.device] = request.committed + request.accepted + 1
            if loop and row.c < starts[row.session].c:
                joins = max(row.time, round_from_ns(world, row.session, starts[row.session].a, row.c))
                now[row.device] = Request(row.device, row.session, joins, 0, row.c, queued=[joins])
    for request in now.values():  # prompts in part, back in the queue
        if len(request.passes) == len(request.queued) and ends[request.passes[-1]] < sim.now_ns:
            request.queued.append(ends[request.passes[-1]])
    return done + list(now.values())


# --- worlds made by hand


def with_arrays(world: World, **changes: Any) -> World:
    return dataclasses.replace(world, arrays=world.arrays._replace(**changes))


def constant_links(world: World, up_ns: int, down_ns: int) -> World:
    arrays = world.arrays
    devices = arrays.devices.copy()
    devices["back_ns"] = down_ns
    return with_arrays(
        world,
        devices=devices,
        up_ns=np.full_like(arrays.up_ns, up_ns),
        down_ns=np.full_like(arrays.down_ns, down_ns),
    )


def without_noise(world: World) -> World:
    return with_arrays(world, noise=np.ones_like(world.arrays.noise))


def server_like(world: World, **fields: float) -> NDArray[Any]:
    record = world.arrays.server.copy()
    for name, value in fields.items():
        record[name] = value
    return record


def hand_made(
    world: World, prompt: int, lengths: list[int], starts_ns: list[int], accepts: list[int]
) -> World:
    """Return an open loop: session i belongs to device i."""
    count = len(lengths)
    sessions = np.zeros(count, SESSION)
    sessions["device"] = np.arange(count)
    sessions["prompt"], sessions["length"], sessions["start_ns"] = prompt, lengths, starts_ns
    sessions["offset"] = np.cumsum(lengths) - lengths
    devices = world.arrays.devices[:count].copy()
    devices["first_session"], devices["sessions"] = np.arange(count), 1
    open_loop = with_arrays(world, devices=devices, sessions=sessions, accepts=np.array(accepts, np.uint8))
    return dataclasses.replace(open_loop, horizon_ns=max(starts_ns) + 1)


TOKEN = 10_000_000  # ns to draft a token in an even world
UP, DOWN = 3_000_000, 4_000_000  # ns on its links
PASS = 40_000_000  # ns of its passes


def even_world(
    accepts: list[int],
    pass_ns: int = PASS,
    devices: int = 1,
    starts: list[int] | None = None,
    **server: float,
) -> World:
    """Return devices with one session each, all with this stream and a prompt of 4 tokens, where everything
    takes a round number of ns."""
    base = constant_links(draw_world(small(*BASE), 0, devices=devices, horizon_s=0.01), UP, DOWN)
    base = without_noise(with_arrays(base, pass_ns=np.full_like(base.arrays.pass_ns, pass_ns)))
    free = {"base_ns": 0, "cached_ns": 0, "request_ns": 0, "pair_ns": 0, "block": 1}
    base = with_arrays(base, server=server_like(base, **(free | server)))
    world = hand_made(base, 4, [len(accepts)] * devices, starts or [0] * devices, accepts * devices)
    record = world.arrays.devices
    record["draft_ns"], record["check_ns"], record["prefill_ns"], record["power_w"] = TOKEN, 0, 0, 2.0
    return world
