"""EdgeCloud-v0: WISP is one constant action, decision points, what an action does, the reward."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import gymnasium
import numpy as np
import pytest
from core import BASE, EASY, SECOND, TIGHT, agreements, draw, log_hash, pair, rows, run, wisp
from edge import CROWD, SMALL, Action, action_of, make, play, simulation_of

from wisp_gym.envs import AgentScheduler, wisp_action
from wisp_gym.envs.action import BUDGETS, MAX_WAIT_NS, RECALLS, REQUESTS, SIZES, WAIT_NS
from wisp_gym.envs.features import ACTION_AT, GROUP_SIZE
from wisp_gym.metrics import measure
from wisp_gym.pipeline import DrafterRule, SchedulerRule, Simulation
from wisp_gym.world.predictor import stop_scores

# --- WISP is a constant action


@pytest.mark.parametrize("late", ["urgent", "last"])
@pytest.mark.parametrize("deadline", ["round", "timeline"])
@pytest.mark.parametrize("setting", [EASY, TIGHT, (*BASE, "fleet.devices=50")])
def test_wisps_action_is_the_compiled_wisp_event_for_event(
    late: Any, deadline: str, setting: tuple[str, ...]
) -> None:
    world = draw((*setting, f"classes.deadline={deadline}"), seed=12)
    action = wisp_action(late)
    agent = run(world, AgentScheduler(lambda observation: action, "agent").policy())
    compiled = run(world, wisp(late))
    assert np.array_equal(agent.events, compiled.events)
    assert len(agent.events) > 1000
    assert repr(measure(agent)) == repr(measure(compiled))


def test_other_constant_actions_are_their_compiled_rules() -> None:
    world = draw((*BASE, "fleet.devices=50"), seed=12)
    for rule, kind in enumerate(("fcfs", "edf", "density")):
        for requests, budget in ((3, 0), (2, 1), (8, 1)):
            action = action_of(rule=rule, stop=0, requests=requests, budget=budget)
            action[4:] = 3
            agent = AgentScheduler(lambda observation, action=action: action, "agent").policy()
            agent = pair("agent", DrafterRule.fixed(3), agent.scheduler)
            compiled = SchedulerRule(
                kind,  # type: ignore[arg-type]
                max_requests=REQUESTS[requests],
                token_budget=BUDGETS[budget],
            )
            one, two = run(world, agent), run(world, pair(kind, DrafterRule.fixed(3), compiled))
            assert np.array_equal(one.events, two.events), (kind, requests, budget)


@pytest.mark.usefixtures("logged")
def test_wisp_through_the_environment_is_the_compiled_wisp() -> None:
    """Warm-up and episode together, on the environment's own world."""
    env = make(*CROWD)
    steps = sum(1 for _ in play(env, wisp_action))
    simulation = simulation_of(env)
    compiled = Simulation(simulation.world, wisp("last"), log=True)
    compiled.until(simulation.world.horizon_ns)
    assert np.array_equal(simulation.events, compiled.events)
    assert steps > 40


# --- decision points


@pytest.mark.parametrize("overrides", [SMALL, CROWD, ("fleet.allow_infeasible=true", "fleet.devices=1")])
@pytest.mark.parametrize("behaviour", ["wait", "random", "smallest", "wisp"])
def test_every_behaviour_ends_and_time_moves_in_every_step(
    overrides: tuple[str, ...], behaviour: str
) -> None:
    env = make(*overrides)
    env.action_space.seed(5)
    act = {
        "wait": lambda: action_of(requests=0),
        "random": env.action_space.sample,
        "smallest": lambda: np.zeros(8, np.int64) + np.eye(8, dtype=np.int64)[0],
        "wisp": wisp_action,
    }
    elapsed = 0.0
    for observation, reward, info in play(env, act[behaviour]):
        assert env.observation_space.contains(observation)
        assert math.isfinite(reward)
        assert info["dt"] > 0
        assert 0 <= info["cost"] <= 1
        elapsed += info["dt"]
    simulation = simulation_of(env)
    assert simulation.now_ns == simulation.world.horizon_ns
    assert simulation.snapshot is not None
    assert elapsed == pytest.approx((simulation.now_ns - simulation.snapshot["start_ns"]) / SECOND)
    assert elapsed == pytest.approx(5.0, abs=2.0)  # less the time to the first dispatch
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(wisp_action())


def test_stepping_before_a_reset_says_so() -> None:
    with pytest.raises(gymnasium.error.ResetNeeded):
        make().step(wisp_action())


@pytest.mark.usefixtures("logged")
def test_waiting_is_masked_and_forced_after_fifty_ms() -> None:
    """Always wait: asked at least every 5 ms, a pass of one request at the first question after 50 ms."""
    env = make(*CROWD)
    env.reset()
    simulation, over = simulation_of(env), False
    first = len(rows(simulation, "pass"))
    forced_at, waits = [], 0
    while not over:
        before, mask = simulation.now_ns, env.action_masks()
        clock = simulation.state.clock[0]
        waited = before - int(clock["wait_since_ns"]) if clock["waits"] else 0
        _, _, _, over, info = env.step(action_of(requests=0))
        assert mask.shape == (sum(SIZES),)
        assert mask[1:].all()
        assert bool(mask[0]) == (waited < MAX_WAIT_NS) == (not info["forced"])
        if info["forced"]:
            forced_at.append(before)
        else:
            assert info["dt"] * SECOND <= WAIT_NS + 0.5
            waits += 1
    passes = rows(simulation, "pass")[first:]
    assert [row.time for row in passes] == forced_at
    assert all(row.b == 1 for row in passes)
    assert waits > len(passes) > 20


def test_a_sled_batch_larger_than_the_fleet_still_serves() -> None:
    world = draw((*EASY, "fleet.devices=2"), seed=3)
    rule = SchedulerRule("static", static_size=8, static_limit_s=0.05, padded=True)
    metrics = measure(run(world, pair("sled", DrafterRule.fixed(5), rule)))
    assert metrics["throughput_tps"] > 0
    assert metrics["sessions_finished"] > 2


def test_an_episode_without_a_dispatch_is_one_step() -> None:
    env = make("fleet.devices=1", "fleet.allow_infeasible=true", episode_s=0.001)
    observation, _ = env.reset()
    assert env.observation_space.contains(observation)
    _, reward, terminated, truncated, info = env.step(wisp_action())
    assert (terminated, truncated) == (False, True)
    assert math.isfinite(reward)
    assert "episode_metrics" in info


# --- what an action does


@pytest.mark.usefixtures("logged")
def test_caps_travel_on_the_replies_and_govern_the_next_round() -> None:
    """Stop rule off, caps changing every step: a draft is as long as the cap of its session's last batch."""
    env = make(*CROWD)
    env.action_space.seed(7)
    env.reset()
    simulation, over = simulation_of(env), False
    sent: dict[int, Action] = {}
    while not over:
        action = env.action_space.sample()
        action[0], action[3] = max(action[0], 1), 0
        sent[int(simulation.state.clock[0]["batch_no"])] = action
        over = env.step(action)[3]
    arrays = simulation.world.arrays
    verified: dict[int, tuple[int, int]] = {}
    checked = 0
    for row in rows(simulation, "verify", "draft"):
        if row.kind == "verify":
            verified[row.session] = (row.a, row.c)
            continue
        number, committed = verified[row.session]
        if number in sent:
            cap = int(sent[number][4 + arrays.devices[row.device]["group"]])
            length = int(arrays.sessions[row.session]["length"])
            assert row.a == row.b == min(cap, length - committed - 1)
            checked += 1
    assert checked > 100


@pytest.mark.usefixtures("logged")
def test_stop_levels_travel_on_the_replies_too() -> None:
    """A draft ends at its cap, or at the first token below the level that the last batch sent."""
    env = make(*CROWD)
    env.action_space.seed(9)
    env.reset()
    simulation, over = simulation_of(env), False
    sent: dict[int, int] = {}
    while not over:
        action = action_of(stop=int(env.action_space.sample()[3]))
        sent[int(simulation.state.clock[0]["batch_no"])] = int(action[3])
        over = env.step(action)[3]
    arrays, world = simulation.world.arrays, simulation.world
    predictor = world.scenario.profiles.predictor
    on, off = (stop_scores(predictor.network, signals) for signals in (world.signals, world.off_signals))
    levels = [-math.inf if r is None else predictor.threshold(r) for r in RECALLS]
    verified: dict[int, tuple[int, int]] = {}
    stopped: dict[int, int] = defaultdict(int)
    for row in rows(simulation, "verify", "draft"):
        if row.kind == "verify":
            verified[row.session] = (row.a, row.c)
            continue
        number, committed = verified[row.session]
        if number not in sent:
            continue
        session = arrays.sessions[row.session]
        limit, at = min(8, int(session["length"]) - committed - 1), int(session["offset"]) + committed
        right = agreements(world, row.session, committed, limit)
        scores = np.where(np.arange(limit) <= right, on[at : at + limit], off[at : at + limit])
        below = np.flatnonzero(scores < levels[sent[number]])
        assert row.a == row.b == (below[0] + 1 if len(below) else limit)
        stopped[sent[number]] += len(below) > 0
    assert stopped[0] == 0
    assert all(stopped[level] > 5 for level in range(1, 6))


@pytest.mark.usefixtures("logged")
def test_requests_and_budget_bound_the_pass() -> None:
    env = make(*CROWD, "server.max_batch=20")
    env.action_space.seed(8)
    env.reset()
    simulation, over = simulation_of(env), False
    sent: dict[int, Action] = {}
    while not over:
        action = env.action_space.sample()
        action[0] = max(action[0], 1)
        sent[int(simulation.state.clock[0]["batch_no"])] = action
        over = env.step(action)[3]
    new: dict[int, int] = defaultdict(int)
    for row in rows(simulation, "member"):
        new[row.a] += row.c
    checked = [row for row in rows(simulation, "pass") if row.a in sent]
    for row in checked:
        action = sent[row.a]
        assert row.b <= min(REQUESTS[action[0]] or 20, 20)
        assert row.b == 1 or new[row.a] <= (BUDGETS[action[1]] or 2048)
    assert len(checked) == len(sent) > 30
    assert max(row.b for row in checked) > 4


@pytest.mark.parametrize(("control", "kept"), [("draft", slice(3, 8)), ("batch", slice(0, 3))])
@pytest.mark.usefixtures("logged")
def test_the_half_that_is_not_controlled_is_wisps(control: Any, kept: slice) -> None:
    """The other half of the action makes no difference; the observation tells what was in force."""
    hashes = []
    for other in (0, 1):
        env = make(*CROWD, control=control)
        random = np.random.default_rng(4)
        env.reset()
        over = False
        while not over:
            action = wisp_action() if other == 0 else env.action_space.sample()
            action[kept] = random.integers(0, np.array(SIZES)[kept])
            action[0] = max(action[0], 1) if control == "batch" else action[0]
            observation, _, _, over, _ = env.step(action)
            in_force = wisp_action()
            in_force[kept] = action[kept]
            assert observation[ACTION_AT:] == pytest.approx(in_force / (np.array(SIZES) - 1))
        hashes.append(log_hash(simulation_of(env)))
    assert hashes[0] == hashes[1]


def test_an_absent_classs_cap_is_ignored_and_its_entries_are_zero() -> None:
    episodes = []
    for cap in (0, 8):
        env = make(*SMALL, "classes.shares=[0.5, 0, 0.5, 0]")
        steps = list(play(env, lambda cap=cap: action_of(cap_2=cap, cap_4=cap)))  # type: ignore[misc]
        episodes.append([(reward, info["dt"]) for _, reward, info in steps])
        for observation, _, _ in steps:
            for absent in (1, 3):
                assert (observation[absent * GROUP_SIZE : (absent + 1) * GROUP_SIZE] == 0).all()
    assert episodes[0] == episodes[1]


# --- the reward


def due_on_time(simulation: Simulation) -> int:
    """Tokens that fell due in the window and were there by then, from the log."""
    assert simulation.snapshot is not None
    begin, end = simulation.snapshot["start_ns"], simulation.now_ns
    arrays = simulation.world.arrays
    times: dict[int, list[int]] = defaultdict(list)
    for row in rows(simulation, "deliver"):
        times[row.session] += [row.time] * row.a
    count = 0
    for row in rows(simulation, "start"):
        group = arrays.groups[arrays.devices[row.device]["group"]]
        for j, time in enumerate(times[row.session]):
            due = row.a + int(group["allowance_ns"]) + (j + 1) * int(group["period_ns"])
            count += begin <= due < end and time <= due
    return count


@pytest.mark.usefixtures("logged")
@pytest.mark.parametrize("overrides", [SMALL, CROWD])
@pytest.mark.parametrize("behaviour", ["wisp", "random", "wait"])
def test_the_rewards_sum_to_the_goodput_of_the_log(overrides: tuple[str, ...], behaviour: str) -> None:
    env = make(*overrides)
    env.action_space.seed(3)
    act = {"wisp": wisp_action, "random": env.action_space.sample, "wait": lambda: action_of(requests=0)}
    played = list(play(env, act[behaviour]))
    total = sum(reward for _, reward, _ in played)
    simulation, metrics = simulation_of(env), played[-1][2]["episode_metrics"]
    groups = simulation.world.arrays.groups
    demand = float((groups["devices"] * groups["rate_tps"]).sum())
    count = due_on_time(simulation)
    assert count > 0
    assert total * demand == pytest.approx(count)
    assert metrics["goodput_tps"] * metrics["window_s"] == pytest.approx(count)
    assert metrics["window_s"] == pytest.approx(sum(info["dt"] for _, _, info in played))
    for name in ("due_tokens", "on_time_tokens"):
        terms = [info["terms"] for _, _, info in played]
        classes = sum(term[f"{name}_class_{g}"] for term in terms for g in range(1, 5))
        assert classes == sum(term[name] for term in terms)
    assert sum(info["terms"]["on_time_tokens"] for _, _, info in played) == count


def test_the_other_rewards_and_a_callable() -> None:
    for reward in ("attainment", "log_utility"):
        for _, value, info in play(make(*CROWD, reward=reward), wisp_action):
            terms = info["terms"]
            if reward == "attainment":
                assert value == pytest.approx(info["dt"] * (1 - info["cost"]))
                continue
            shares = [
                max(terms[f"on_time_tokens_class_{g}"] / terms[f"due_tokens_class_{g}"], 0.01)
                for g in range(1, 5)
                if terms[f"due_tokens_class_{g}"]
            ]
            expected = info["dt"] * sum(map(math.log, shares)) / len(shares) if shares else 0.0
            assert value == pytest.approx(expected)
    own = make(reward=lambda terms: -terms["behind_share"])
    for _, value, info in play(own, wisp_action):
        assert value == -info["cost"]
        assert info["discount"] == pytest.approx(math.exp(-info["dt"] / 10))
