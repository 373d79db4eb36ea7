"""PPO learns a draft cap whose best value is known from arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

import agents
from agents import training
from agents.predictor.files import write_predictor
from agents.settings import load_settings
from wisp_gym import profiles, scenario
from wisp_gym.envs import AgentScheduler, wisp_action
from wisp_gym.envs.action import RECALLS
from wisp_gym.metrics import measure
from wisp_gym.pipeline import Policy, Simulation
from wisp_gym.pipeline.log import LOG_DRAFT
from wisp_gym.profiles.predictor import tensor_shapes
from wisp_gym.world import draw_world, template_of, world_seed

AGREEMENT = 0.9
"""Chance that a draft token agrees, each on its own."""

SETTINGS = (
    "timesteps=20000",
    "wisp_prior=0",
    "hold_s=0",
    "tau_s=10",
    *("rollout_steps=2048", "batch_size=512", "epochs=4", "learning_rate=0.0003", "gae_lambda=0.99"),
)
"""Every decision counts at once here, and WISP's cap is far from the best: no lean towards it, and the small
updates that 20,000 steps leave room for."""

RTT_S = 0.085
RATE_TPS = 12
"""Above what any cap sustains: the faster the device, the more of a session comes before it falls behind."""


def changed(kind: Any, name: str, folder: Path, changes: dict[str, Any]) -> str:
    """Write a shipped profile with other values; return the file's path."""
    data = yaml.safe_load(profiles.path_of(kind, name).read_text())
    data |= changes
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(data))
    return str(path)


def acceptance_file(folder: Path) -> str:
    """Independent agreement with a constant chance; the stop rule never fires."""
    fitted = yaml.safe_load(profiles.path_of("acceptance", "qwen3-0.6b-qwen3-32b").read_text())["fitted"]
    logit = float(np.log(AGREEMENT / (1 - AGREEMENT)))
    flat = {"easy_logit": logit, "hard_logit": logit, "session_sd": 0.0, "block_sd": 0.0, "fast_sd": 0.0}
    fitted["generator"]["values"] |= flat
    shipped = profiles.predictor("qwen3-0.6b-qwen3-32b").record
    record = shipped.model_copy(update={"thresholds": (-1e9,) * len(shipped.recalls)})
    tensors = {name: np.zeros(shape, np.float32) for name, shape in tensor_shapes(shipped.hidden).items()}
    write_predictor(folder, "never", record, tensors)
    changes = {"fitted": fitted, "predictor": "never.json"}
    return changed("acceptance", "qwen3-0.6b-qwen3-32b", folder, changes)


def overrides(folder: Path) -> tuple[str, ...]:
    """One device of known speed on a link of constant delay, one class, sessions of 20 tokens."""
    device = yaml.safe_load(profiles.path_of("device", "raspberry-pi-5").read_text())
    device["spread"] |= {"low": 1.0, "high": 1.0}
    network = yaml.safe_load(profiles.path_of("network", "wired").read_text())
    network["rtt"] |= {"probabilities": [0, 1], "values": [1000 * RTT_S, 1000 * RTT_S]}
    pi = changed("device", "raspberry-pi-5", folder, device)
    link = changed("network", "wired", folder, network)
    constant = "{{median: {0}, sigma: 0, min: {0}, max: {0}}}".format
    return (
        f"fleet.mix=[{{device: {pi}, share: 1}}]",
        f"fleet.networks=[{{network: {link}, share: 1}}]",
        f"acceptance.profile={acceptance_file(folder)}",
        "fleet.devices=1",
        "fleet.allow_infeasible=true",
        "server.noise_cv=0",
        f"classes.rates_tps=[{RATE_TPS}]",
        "classes.shares=[1]",
        "classes.allowance_s=0.3",
        f"workload.prompt_tokens={constant(16)}",
        f"workload.output_tokens={constant(20)}",
        f"workload.think_s={constant(0.2)}",
        "horizon_s=400",
        "warmup_s=20",
    )


def tokens_per_second(spec: scenario.Scenario, cap: int) -> float:
    """Return a lone device's rate: (1 - p^(k+1)) / (1 - p) tokens in k drafts, a round trip and a pass."""
    draft_s = 1.0 / spec.profiles.devices[0].decode_tps("qwen3-0.6b")
    template = template_of(spec)
    pass_s = 1e-9 * float(template.pass_ns[1 + cap] + template.server[0]["base_ns"])
    tokens = (1 - AGREEMENT ** (cap + 1)) / (1 - AGREEMENT)
    return tokens / (cap * draft_s + RTT_S + pass_s)


def goodput(policy: Policy, spec: scenario.Scenario) -> float:
    """Return a policy's mean goodput on three validation worlds."""
    worlds = [draw_world(spec, world_seed("validation", seed)) for seed in range(3)]
    return float(np.mean([measure(Simulation(world, policy).run())["goodput_tps"] for world in worlds]))


def constant(cap: int) -> Policy:
    """Return the constant action with this cap and no stop rule."""
    action = wisp_action(cap=cap)
    action[3] = RECALLS.index(None)
    return AgentScheduler(lambda _: action, f"cap {cap}").policy()


def test_the_known_best_draft_cap_is_learned(tmp_path: Path) -> None:
    """By arithmetic 4 drafts are fastest, 3 within 1 %; an untrained agent and WISP are far from it."""
    changes = overrides(tmp_path)
    spec = scenario.load("quickstart", changes)
    rates = [tokens_per_second(spec, cap) for cap in range(9)]
    best = int(np.argmax(rates))
    assert best == 4
    assert rates[3] > 0.99 * rates[4]
    reached = [goodput(constant(cap), spec) for cap in range(9)]
    assert reached[8] < 0.6 * max(reached)  # there is something to learn
    assert reached[0] < 0.4 * max(reached)

    run = training.TrainingRun(load_settings("ppo", SETTINGS), "quickstart", changes, 0, tmp_path)
    training.train(run)
    agent = agents.load(tmp_path)
    simulation = Simulation(draw_world(spec, world_seed("validation", 0)), agent, log=True).run()
    drafts = simulation.events[simulation.events[:, 1] == LOG_DRAFT]
    assert abs(int(np.median(drafts[:, 4])) - best) <= 1
    assert goodput(agent, spec) > 0.97 * max(reached)
