"""Good inputs from which the wrong ones are made: small enough that a good one is done in a second."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from wisp_gym import scenario
from wisp_gym.profiles.load import DATA

SMALL: dict[str, dict[str, Any]] = {
    "quickstart": {"horizon_s": 30, "warmup_s": 5, "episode_s": 2},
    "fleet-mix": {"horizon_s": 30, "warmup_s": 5, "episode_s": 2},
    "memory-tight": {"horizon_s": 30, "warmup_s": 5, "episode_s": 2},
    "city-5g": {"horizon_s": 20, "warmup_s": 5, "episode_s": 2},
    "burst": {"horizon_s": 40, "warmup_s": 5, "episode_s": 2},
    "trace": {"horizon_s": 40, "warmup_s": 1, "episode_s": 2},
}
DEVICES = 4

SERVER, DEVICE, NETWORK, PAIR = "qwen3-32b-a100x1", "jetson-agx-orin", "5g-good", "qwen3-0.6b-qwen3-32b"
PROFILES: dict[str, tuple[str, str, str]] = {
    "server": ("servers", SERVER, "server.profile"),
    "device": ("devices", DEVICE, "fleet.mix.0.device"),
    "network": ("networks", NETWORK, "fleet.networks.0.network"),
    "acceptance": ("acceptance", PAIR, "acceptance.profile"),
}
"""Folder, name and the scenario's field of each kind of profile."""

ESTIMATOR = {"c0": 20.0, "c1": 0.1, "c2": 1e-5, "c3": 1e-4, "unit": "ms", "note": "made up"}

AGENT_SET = (
    "environments=2",
    "rollout_steps=16",
    "timesteps=16",
    "batch_size=16",
    "epochs=1",
    "hidden=[8]",
    "validation_every=0",
    "checkpoint_every=16",
    "hold_s=0.05",
)
WORLD = ("fleet.devices=4", "ranges.devices=null", "horizon_s=30", "warmup_s=5", "episode_s=2")


def scenario_data(name: str) -> dict[str, Any]:
    """Return a shipped scenario's fields, made small."""
    data: dict[str, Any] = yaml.safe_load((scenario.folder() / f"{name}.yaml").read_text(encoding="utf-8"))
    data |= SMALL[name]
    if data["workload"].get("kind") != "arrivals":
        data["fleet"]["devices"] = DEVICES
    else:
        data["workload"] |= {"concurrency": [[0, 0], [20, 8], [60, 8]], "scale": 1}
    if data.get("ranges", {}).get("devices"):
        data["ranges"]["devices"] = [2, 6]
    return data


def profile_data(kind: str) -> dict[str, Any]:
    """Return a shipped profile's fields."""
    folder, name, _ = PROFILES[kind]
    data: dict[str, Any] = yaml.safe_load((DATA / folder / f"{name}.yaml").read_text(encoding="utf-8"))
    return data


def predictor_files() -> tuple[dict[str, Any], bytes]:
    """Return a shipped stop predictor: its record's fields and its weights."""
    folder = DATA / "predictors"
    return json.loads((folder / f"{PAIR}.json").read_text()), (folder / f"{PAIR}.safetensors").read_bytes()


def trace_rows(azure: bool) -> list[list[str]]:
    """Return the rows of a trace, the heading first."""
    if azure:
        stamps = [f"2023-11-16 18:15:{i:02d}.5" for i in range(20)]
        return [["TIMESTAMP", "ContextTokens", "GeneratedTokens"], *([at, "40", "20"] for at in stamps)]
    return [["t_ms", "input_tokens", "output_tokens"], *([str(700 * i), "40", "20"] for i in range(20))]


def measurement_rows() -> list[list[str]]:
    """Return the rows of a file of measurements, the heading first."""
    rows = [["batch", "new", "cached", "time_ms"]]
    for batch in range(40):
        members = 1 + batch % 4
        new, cached = 1 + batch * 7 % 120, batch * 37 % 900
        time_ms = 20 + 0.1 * members * new + 1e-3 * members * cached
        rows += [[str(batch), str(new), str(cached), f"{time_ms:.3f}"] for _ in range(members)]
    return rows


def agent_data(kind: str) -> dict[str, Any]:
    """Return an agent's settings, made small."""
    from agents.settings import load_settings

    changes = [change for change in AGENT_SET if kind != "a2c" or not change.startswith(("batch", "epochs"))]
    data: dict[str, Any] = load_settings(kind, changes).model_dump(mode="json")
    return data


def prepare(folder: Path, in_fork: Callable[[Callable[[], Any]], None]) -> None:
    """Make what takes longer: a model, a run that was stopped, results of a comparison and of a sweep.

    :param folder: where they go
    :param in_fork: calls a function in a fork: torch's threads and the like stay out of this process
    """
    for make in (_make_run, _make_model, _make_results):
        in_fork(lambda make=make: make(folder))


def _make_run(folder: Path) -> None:
    from agents.progress import Interrupt
    from agents.settings import load_settings
    from agents.training import TrainingRun, train

    class Pressed(Interrupt):
        """Ctrl-C that was pressed before the first update."""

        def __init__(self) -> None:
            super().__init__(())
            self.pressed = True

    settings = load_settings("ppo", [*AGENT_SET, "timesteps=32"])
    train(TrainingRun(settings, "quickstart", WORLD, 0, folder / "run"), interrupt=Pressed())


def _make_model(folder: Path) -> None:
    (folder / "model").mkdir()
    for name in ("model.json", "model.safetensors"):
        shutil.copy(folder / "run" / name, folder / "model" / name)


def _make_results(folder: Path) -> None:
    import evaluate

    small = [word for change in WORLD for word in ("--set", change)]
    common = ["--scenario", "quickstart", "--seeds", "2", "--jobs", "1", *small]
    for name, options in (("comparison", ()), ("loads", ("--loads", "2,4"))):
        words = ["--policy", "wisp", "sled", *options, "--out", str(folder / name), *common]
        if evaluate.main(words):
            os._exit(1)


def rows_of(path: Path) -> list[list[str]]:
    """Return the rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))
