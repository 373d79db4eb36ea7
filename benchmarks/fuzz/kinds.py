"""The families of wrong inputs: each fills an empty folder and says what to run there."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.fuzz import bases, python_answers, words
from benchmarks.fuzz.damage import spoil, spoil_bytes, spoil_table
from benchmarks.fuzz.odd import TEXTS, Raw, as_text, odd_value, short
from benchmarks.fuzz.trials import Input
from benchmarks.fuzz.weights import spoil_checkpoint, spoil_weights, spoil_zip

POLICIES = (
    "wisp",
    "sled",
    "centralized",
    "fixed:3",
    "predictor+fcfs",
    "bayes:0.5+density",
    "ucb+edf",
    "random",
)
WORLD = tuple(word for change in bases.WORLD for word in ("--set", change))
OUT = ("--seeds", "1", "--jobs", "1", "--out", "out")


def _evaluate(kind: str, what: str, *arguments: str) -> Input:
    return Input(kind, what, "evaluate", (*arguments, *OUT))


def scenario(rng: random.Random, folder: Path, prepared: Path) -> Input:
    """A scenario's file."""
    name = rng.choice(list(bases.SMALL))
    data = bases.scenario_data(name)
    if name == "trace":
        data["workload"]["trace"] = "rows.csv"
        rows = bases.trace_rows(False)
        (folder / "rows.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    what = spoil(folder / "mine.yaml", data, "yaml", rng)
    return _evaluate(
        "scenario", f"{name}: {what}", "--scenario", "mine.yaml", "--policy", rng.choice(POLICIES)
    )


def override(rng: random.Random, folder: Path, prepared: Path) -> Input:
    """A change to a scenario on the command line."""
    data = bases.scenario_data("quickstart")
    data["workload"] |= {"stretch": 1, "scale": 1, "lead_s": 3, "trace": None}
    data["ranges"] = {"devices": [2, 3], "acceptance_shift": [0, 0], "class_weights": [[1, 1]] * 4}
    keys = list(_leaves(data))
    value = odd_value(rng)
    text = value if isinstance(value, Raw) else as_text([value], "json").decode()[3:-1].strip()
    change = rng.choice(
        (f"{rng.choice(keys)}={text}",) * 6
        + (
            f"{rng.choice(keys)}.0={text}",
            f"{rng.choice(keys)}s=1",
            rng.choice(TEXTS),
            f"={text}",
            "a" * 5000 + "=1",
        )
    )
    change = change.replace("\0", "\\0")
    program = ("--policy", rng.choice(POLICIES), *WORLD, f"--set={change}")
    return _evaluate("override", short(change), *program)


HEAVY = (
    ("quickstart", "fleet.devices=65536", "horizon_s=1000000"),
    ("quickstart", "fleet.devices=65536", "horizon_s=100000", "workload.think_s.max=0.2"),
    (
        "quickstart",
        "fleet.devices=65536",
        "workload.output_tokens={median: 1, sigma: 0, min: 1, max: 1}",
        "horizon_s=5",
    ),
    ("quickstart", "fleet.devices=50000", "horizon_s=3000", "fleet.allow_infeasible=true"),
    ("quickstart", "fleet.devices=1", "horizon_s=1000000", "server.max_batch=1024"),
    ("quickstart", "ranges.devices=[65536, 65536]", "horizon_s=10000"),
    (
        "quickstart",
        "workload.output_tokens={median: 100000, sigma: 0, min: 1, max: 100000}",
        "horizon_s=200000",
    ),
    ("quickstart", "classes.rates_tps=[0.001, 0.002, 0.003, 0.004]", "horizon_s=1000000"),
    ("quickstart", "classes.allowance_s=1e300"),
    ("quickstart", "workload.lead_s=100000"),
    ("burst", "horizon_s=1000000", "fleet.devices=65536"),
    (
        "burst",
        "horizon_s=1000000",
        "classes.rates_tps=[0.001, 0.002, 0.003, 0.004]",
        "server.kv_tokens=1000000",
    ),
    ("burst", "workload.concurrency=[[0, 0], [1, 65536], [2, 65536]]", "fleet.devices=65536"),
    ("burst", "workload.scale=1000", "fleet.devices=65536"),
    ("fleet-mix", "ranges.devices=[1, 65536]", "horizon_s=100000"),
    ("city-5g", "fleet.devices=65536", "horizon_s=100000"),
    ("memory-tight", "server.kv_tokens=100000000", "fleet.devices=65536", "horizon_s=100000"),
)


def heavy(rng: random.Random, folder: Path, prepared: Path) -> Input:
    """A scenario that says nothing wrong and asks for more than a machine has."""
    name, *changes = rng.choice(HEAVY)
    program = ("--scenario", name, "--policy", rng.choice(POLICIES))
    sets = (word for change in changes for word in ("--set", change))
    return _evaluate("heavy", f"{name}: {', '.join(changes)}", *program, *sets)


def _leaves(data: Any, path: str = "") -> list[str]:
    """Return the paths of all entries, as --set takes them."""
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    found = []
    for key, entry in pairs:
        here = f"{path}.{key}".lstrip(".")
        found += [here, *_leaves(entry, here)]
    return found


def profile(rng: random.Random, folder: Path, prepared: Path) -> Input:
    """A profile of any kind."""
    kind = rng.choice(list(bases.PROFILES))
    field = bases.PROFILES[kind][2]
    what = spoil(folder / "mine.yaml", bases.profile_data(kind), "yaml", rng)
    change = ("--set", f"{field}=./mine.yaml")
    return _evaluate("profile", f"{kind}: {what}", "--policy", rng.choice(POLICIES), *WORLD, *change)


def predictor(rng: random.Random, folder: Path, prepared: Path) -> Input:
    """A stop predictor: its record, or its weights."""
    record, weights = bases.predictor_files()
    pair = bases.profile_data("acceptance") | {"predictor": "mine.json"}
    (folder / "pair.yaml").write_bytes(as_text(pair, "yaml"))
    if rng.random() < 0.5:
        (folder / "mine.safetensors").write_bytes(weights)
        what = spoil(folder / "mine.json", record, "json", rng)
    else:
        what = spoil_weights(folder / "mine.safetensors", folder / "mine.json", weights, record, rng)
    change = ("--set", "acceptance.profile=./pair.yaml")
    return _evaluate("predictor", what, "--policy", rng.choice(("wisp", "predictor+edf")), *WORLD, *change)


def estimator(rng: random.Random, folder: Path, prepared: Path) -> Input:
    """A file of the estimator's coefficients."""
    what = spoil(folder / "mine.json", bases.ESTIMATOR, "json", rng)
    change = ("--set", "server.estimator=mine.json")
    return _evaluate("estimator", what, "--policy", "wisp", *WORLD, *change)


def trace(rng: random.Random, folder: Path, prepared: Path) -> Input:
    """A trace of arrivals and lengths."""
    what = spoil_table(folder / "mine.csv", bases.trace_rows(rng.random() < 0.4), rng)
    small = (
        "horizon_s=40",
        "warmup_s=1",
        "workload.trace=mine.csv",
        f"workload.stretch={rng.choice(('1', '0.5'))}",
    )
    changes = (word for change in small for word in ("--set", change))
    return _evaluate("trace", what, "--policy", rng.choice(POLICIES), "--scenario", "trace", *changes)


def measurements(rng: random.Random, folder: Path, prepared: Path) -> Input:
    """A server's own measurements, or the file of the estimator that is to be written."""
    out, what = "mine.json", ""
    if rng.random() < 0.2:
        (folder / "mine.csv").write_text("".join(",".join(row) + "\n" for row in bases.measurement_rows()))
        out, what = words.odd_output(rng, folder)
    else:
        what = spoil_table(folder / "mine.csv", bases.measurement_rows(), rng)
    return Input("measurements", what, "estimation", ("--csv", "mine.csv", "--out", out))


def agent(rng: random.Random, folder: Path, prepared: Path) -> Input:
    """An agent's settings: its file, or changes on the command line."""
    kind = rng.choice(("ppo", "a2c", "maskable_ppo"))
    data = bases.agent_data(kind)
    common = ("--scenario", "quickstart", *WORLD, "--validation-seeds", "0", "--out", "out")
    if rng.random() < 0.6:
        what = spoil(folder / "mine.yaml", data, "yaml", rng)
        return Input("agent", f"{kind}: {what}", "train", ("--agent", "mine.yaml", *common))
    (folder / "mine.yaml").write_bytes(as_text(data, "yaml"))
    value = odd_value(rng)
    text = value if isinstance(value, Raw) else as_text([value], "json").decode()[3:-1].strip()
    change = rng.choice((f"{rng.choice(list(data))}={text}",) * 5 + (rng.choice(TEXTS), f"{text}=1"))
    change = change.replace("\0", "\\0")
    return Input(
        "agent",
        f"--agent-set {short(change)}",
        "train",
        ("--agent", "mine.yaml", f"--agent-set={change}", *common),
    )


def model(rng: random.Random, folder: Path, prepared: Path) -> Input:
    """A trained model: its record, its weights, or a zip of stable-baselines3."""
    if rng.random() < 0.3:
        what, trust = spoil_zip(folder / "mine.zip", rng), rng.choice(((), ("--trust",)))
        return _evaluate("model", what, "--policy", "wisp", "mine.zip", *trust, *WORLD)
    mine, good = folder / "mine", prepared / "model"
    mine.mkdir()
    record, weights = json.loads((good / "model.json").read_text()), (good / "model.safetensors").read_bytes()
    if rng.random() < 0.5:
        (mine / "model.safetensors").write_bytes(weights)
        what = spoil(mine / "model.json", record, "json", rng)
    else:
        what = spoil_weights(mine / "model.safetensors", mine / "model.json", weights, record, rng)
    path = rng.choice(("mine", "./mine/", "mine/model.json", "mine/model.safetensors"))
    return _evaluate("model", what, "--policy", "wisp", path, *WORLD)


def run(rng: random.Random, folder: Path, prepared: Path) -> Input:
    """A run that was stopped: its record, its checkpoint, its validation so far."""
    mine = folder / "mine"
    shutil.copytree(prepared / "run", mine)
    name = rng.choice(("run.json", "run.json", *["checkpoint.safetensors"] * 4, "tensorboard"))
    path = mine / name
    if name == "run.json":
        record = json.loads(path.read_text())
        path.unlink()
        what = spoil(path, record, "json", rng)
    elif name == "tensorboard":
        shutil.rmtree(path)
        what = spoil_bytes(path, b"", rng)
    else:
        what = spoil_checkpoint(path, rng)
    return Input("run", what, "train", ("--resume", "mine", "--validation-seeds", "0"))


def results(rng: random.Random, folder: Path, prepared: Path) -> Input:
    """Results that are to be drawn, or finished rows from which a sweep goes on."""
    mine = folder / "mine"
    if rng.random() < 0.5:
        shutil.copytree(prepared / "loads", mine)
        spoiled = rng.choice(("loads.csv", "loads.partial.csv"))
        what = spoil_table(mine / "new.csv", bases.rows_of(mine / "loads.csv"), rng)
        if _there(mine / "new.csv") and (_there(mine / spoiled) is (spoiled == "loads.csv")):
            (mine / spoiled).unlink(missing_ok=True)
            (mine / "new.csv").rename(mine / spoiled)
        small = ("--scenario", "quickstart", *WORLD, "--loads", "2,4", "--seeds", "2", "--jobs", "1")
        return Input("results", what, "evaluate", ("--policy", "wisp", "sled", "--out", "mine", *small))
    name = rng.choice(("comparison", "loads"))
    shutil.copytree(prepared / name, mine)
    path = mine / rng.choice(("manifest.json", "metrics.csv" if name == "comparison" else "loads.csv"))
    content = path.read_bytes()
    path.unlink()
    if path.suffix == ".json":
        what = spoil(path, json.loads(content), "json", rng)
    else:
        path.write_bytes(content)
        rows = bases.rows_of(path)
        path.unlink()
        what = spoil_table(path, rows, rng)
    return Input("results", what, "evaluate", ("--plot-from", "mine"))


def _there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def controller(rng: random.Random, folder: Path, prepared: Path) -> Input:
    """A controller of the user's own that misbehaves."""
    what, text, policy = python_answers.odd_controller(rng)
    (folder / "mine.py").write_bytes(text.encode("utf-8", "surrogateescape"))
    return _evaluate("controller", what, "--policy", policy, *WORLD)


def asked(rng: random.Random, folder: Path, prepared: Path) -> Input:
    """An odd action, odd options of a reset, an odd argument of an environment."""
    token, copies = str(rng.getrandbits(40)), rng.choice((0, 0, 3))
    inner = random.Random(token)
    program = rng.choice(("action", "action", "reset", "environment"))
    if program == "environment":
        what = python_answers.odd_argument(inner)
        return Input("environment", short(what), program, (token,))
    odd = python_answers.odd_action if program == "action" else python_answers.odd_reset
    what = odd(inner, copies)
    return Input(
        "environment", f"{program} of {copies or 'one'}: {short(what)}", program, (str(copies), token)
    )


def command(rng: random.Random, folder: Path, prepared: Path) -> Input:
    """A command line, run by a Python of its own."""
    return words.odd_command(rng, folder, prepared)


SHARES: dict[Callable[[random.Random, Path, Path], Input], int] = {
    scenario: 95,
    override: 45,
    profile: 75,
    predictor: 25,
    estimator: 15,
    trace: 45,
    measurements: 30,
    agent: 35,
    model: 30,
    run: 20,
    results: 15,
    controller: 25,
    asked: 45,
    heavy: 10,
    command: 60,
}
"""Families, and how often each is taken among 570."""


def fill(number: int, seed: int, folder: Path, prepared: Path, only: str | None = None) -> Input:
    """Fill a folder with input `number` of a seed and return it; the same at every call.

    :param only: name of a family; all by their shares without it
    """
    rng = random.Random(f"{seed}/{number}")
    made = rng.choices(list(SHARES), list(SHARES.values()))[0]
    if only is not None:
        made = next(family for family in SHARES if family.__name__ == only)
    return made(rng, folder, prepared)
