"""Models that stable-baselines3 saved: nothing in them runs without the user's word, with it they play."""

from __future__ import annotations

import io
import json
import os
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pandas
import pytest
import stable_baselines3
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO

import evaluate
from agents import foreign
from baselines import is_foreign, resolve, resolve_trusted
from wisp_gym.envs import AgentScheduler
from wisp_gym.envs.action import SIZES, action_space
from wisp_gym.envs.features import SIZE
from wisp_gym.errors import InputError

LEARNERS: dict[str, Any] = {
    "ppo": stable_baselines3.PPO,
    "a2c": stable_baselines3.A2C,
    "maskable": MaskablePPO,
    "dqn": stable_baselines3.DQN,
    "recurrent": RecurrentPPO,
}
POLICIES = {"recurrent": "MlpLstmPolicy"}
OTHER_NET = {"net_arch": [8], "activation_fn": torch.nn.ReLU}


class Spaces(gymnasium.Env[Any, Any]):
    """EdgeCloud-v0's spaces and nothing behind them: learners ask for no more to be built and saved."""

    def __init__(self, size: int = SIZE, actions: spaces.Space[Any] | None = None) -> None:
        self.observation_space = spaces.Box(-10.0, 10.0, (size,), np.float32)
        self.action_space = actions or action_space()


class Trace:
    """Leaves a folder behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def saved(
    folder: Path, learner: str = "ppo", environment: Spaces | None = None, **more: Any
) -> tuple[Path, Any]:
    kind = POLICIES.get(learner, "MlpPolicy")
    model = LEARNERS[learner](kind, environment or Spaces(), seed=3, device="cpu", **more)
    model.save(folder / f"{learner}.zip")
    return folder / f"{learner}.zip", model


@pytest.mark.parametrize("learner", ["ppo", "a2c", "maskable"])
@pytest.mark.parametrize("net", [{}, OTHER_NET], ids=["default", "other"])
def test_a_trusted_model_acts_as_its_learner_does(tmp_path: Path, learner: str, net: dict[str, Any]) -> None:
    path, model = saved(tmp_path, learner, policy_kwargs=dict(net))
    scheduler = foreign.load(path, trusted=True).scheduler
    assert isinstance(scheduler, AgentScheduler)
    assert scheduler.masked is (learner == "maskable")
    generator = np.random.default_rng(5)
    for _ in range(20):
        observation = generator.normal(0, 2, SIZE).astype(np.float32)
        mask = generator.random(sum(SIZES)) < 0.6
        mask[np.cumsum(SIZES) - 1] = True
        more = {"action_masks": mask} if scheduler.masked else {}
        wanted, _ = model.predict(observation, deterministic=True, **more)
        found = scheduler.act(observation, mask) if scheduler.masked else scheduler.act(observation)
        np.testing.assert_array_equal(found, wanted)


def test_nothing_in_it_runs_without_trust(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace, out = tmp_path / "it-ran", tmp_path / "out"
    path, model = saved(tmp_path)
    model.policy_kwargs = {"mine": Trace(trace)}
    model.save(path)
    assert evaluate.main(["--policy", str(path), "--out", str(out)]) == evaluate.INPUT_ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert "runs the code that is pickled in it" in line
    assert "--trust" in line
    assert not trace.exists()
    assert not out.exists()
    with pytest.raises(
        InputError, match="cannot be loaded"
    ):  # what was made of it is no argument of a policy
        resolve_trusted(str(path))
    assert trace.exists(), "the zip of this test holds no code at all"


def test_what_a_policy_does_not_need_is_passed_over(tmp_path: Path) -> None:
    path, model = saved(tmp_path)
    model.mine = Trace(tmp_path / "it-ran")
    model.save(path)
    assert resolve_trusted(str(path)).name == "ppo.zip"
    assert not (tmp_path / "it-ran").exists()


def test_it_is_compared_like_any_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It leans towards one action so far that this is all it does, and that action is a policy of its own."""
    path, model = saved(tmp_path)
    action = (5, 2, 1, 0, 3, 3, 3, 3)
    with torch.no_grad():
        model.policy.action_net.bias[torch.tensor(np.cumsum([0, *SIZES[:-1]]) + action)] += 100.0
    model.save(path)
    same = f"action:{','.join(map(str, action))}"
    world = ["--set", "horizon_s=40", "--set", "warmup_s=10", "--devices", "5", "--seeds", "2", "--jobs", "1"]
    out = tmp_path / "out"
    assert evaluate.main(["--policy", same, str(path), *world, "--trust", "--out", str(out)]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told == [f"--trust: loading {path} {foreign.WARNING}"]
    table = pandas.read_csv(out / "metrics.csv").drop(columns="controller")
    mine, its_action = (table[table["policy"] == name].drop(columns="policy") for name in (str(path), same))
    assert len(mine) == 2
    np.testing.assert_array_equal(mine.to_numpy(), its_action.to_numpy())


@pytest.mark.parametrize(
    ("learner", "environment", "says"),
    [
        ("ppo", Spaces(size=7), r"made for observations of shape \(7,\)"),
        ("a2c", Spaces(actions=spaces.MultiDiscrete([3, 4])), r"actions MultiDiscrete\(\[3 4\]\)"),
        ("ppo", Spaces(actions=spaces.Discrete(5)), "and actions Discrete"),
        ("dqn", Spaces(actions=spaces.Discrete(5)), "its policy is DQNPolicy; allowed"),
        ("recurrent", Spaces(), "its policy is RecurrentActorCriticPolicy; allowed"),
    ],
    ids=["observations", "actions", "kind of actions", "algorithm", "recurrent"],
)
def test_a_model_of_another_kind_is_refused(
    tmp_path: Path, learner: str, environment: Spaces, says: str
) -> None:
    more = {"buffer_size": 10} if learner == "dqn" else {}
    path, _ = saved(tmp_path, learner, environment, **more)
    with pytest.raises(InputError, match=says) as caught:
        resolve_trusted(str(path))
    assert "\n" not in str(caught.value)


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: Path, **changes: bytes | None) -> Path:
    """Write a model's zip again with members replaced, or left out where the new content is None."""
    content = members(path) | {name.replace("_pth", ".pth"): new for name, new in changes.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            if data is not None:
                archive.writestr(name, data)
    return path


def test_a_damaged_zip_is_one_line(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    whole = path.read_bytes()
    fields = json.loads(members(path)["data"])

    def refused(says: str, trusted: bool = False) -> None:
        with pytest.raises(InputError, match=says) as caught:
            foreign.load(path, trusted)
        assert "\n" not in str(caught.value)

    path.write_bytes(whole[: len(whole) // 2])
    refused("damaged")
    path.write_bytes(b"")
    refused("damaged")
    path.write_bytes(whole)
    rewritten(path, policy_pth=None)
    refused("no policy.pth")
    path.write_bytes(whole)
    rewritten(path, data=b"[1, 2")
    refused("damaged")
    rewritten(path, data=b"[1, 2]")
    refused("name no policy")
    rewritten(path, data=json.dumps({"policy_class": 3}).encode())
    refused("--trust")
    refused("cannot be loaded", trusted=True)
    rewritten(path, data=json.dumps(fields).encode(), policy_pth=b"no weights")
    refused("cannot be loaded", trusted=True)
    path.unlink()
    refused("no such file")


def test_weights_must_be_finite(tmp_path: Path) -> None:
    path, model = saved(tmp_path)
    with torch.no_grad():
        model.policy.action_net.bias[0] = torch.nan
    model.save(path)
    with pytest.raises(InputError, match="not finite"):
        resolve_trusted(str(path))


def test_a_policy_that_fails_is_named(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    scheduler = foreign.load(path, trusted=True).scheduler
    assert isinstance(scheduler, AgentScheduler)
    with pytest.raises(InputError, match=r"ppo\.zip: its policy fails"):
        scheduler.act(np.zeros(3, np.float32))


def test_the_name_says_how_the_environment_was_set_up(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    assert is_foreign(str(path))
    assert is_foreign(f"{path}:hold=0.5,control=draft")
    assert not is_foreign("wisp")
    (tmp_path / "folder.zip").mkdir()
    assert not is_foreign(str(tmp_path / "folder.zip"))
    policy = resolve_trusted(f"{path}:hold=0.5,control=draft")
    assert policy.name == "ppo.zip:hold=0.5,control=draft"
    assert isinstance(policy.scheduler, AgentScheduler)
    assert (policy.scheduler.hold_ns, policy.scheduler.control) == (500_000_000, "draft")
    for wrong in ("hold=61", "hold=x", "control=none", "speed=2"):
        with pytest.raises(InputError, match=r"ppo\.zip"):
            resolve(f"{path}:{wrong}")


def packed(path: Path, packing: int = zipfile.ZIP_DEFLATED, **changes: bytes) -> bytes:
    """A model's zip with compressed members, some of them replaced."""
    content = members(path) | {name.replace("_pth", ".pth"): new for name, new in changes.items()}
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path.read_bytes()


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bzip2", "lzma"])
def test_other_packings_are_refused(tmp_path: Path, packing: int) -> None:
    path, _ = saved(tmp_path)
    packed(path, packing)
    with pytest.raises(InputError, match=r"data is packed by method \d+; allowed: stored or deflated"):
        resolve_trusted(str(path))
    packed(path)
    assert resolve_trusted(str(path)).name == "ppo.zip"


def test_flipped_bytes_of_a_compressed_member_are_one_line(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    whole = packed(path)
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("data")
    begin = entry.header_offset + 30 + len("data")
    generator = np.random.default_rng(11)
    for _ in range(60):
        content = bytearray(whole)
        for at in generator.integers(begin, begin + entry.compress_size, 3):
            content[at] ^= int(generator.integers(1, 256))
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"damaged|name no policy") as caught:
            foreign.load(path, trusted=False)
        assert "\n" not in str(caught.value)


def test_a_bomb_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    packed(path, data=bytes(2**28))
    tracemalloc.start()
    for trusted in (False, True):
        with pytest.raises(InputError, match="data holds more than 16 MiB; allowed"):
            foreign.load(path, trusted)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    # The same that says it is small: what comes out is cut at what was said, and its sum is wrong.
    content = path.read_bytes()
    content = content.replace((2**28).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    path.write_bytes(content)
    tracemalloc.reset_peak()
    with pytest.raises(InputError, match="damaged"):
        foreign.load(path, trusted=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26


def test_a_bomb_in_the_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = saved(tmp_path)
    assert resolve_trusted(str(path)).name == "ppo.zip"
    monkeypatch.setitem(foreign.MOST_BYTES, "policy.pth", 2**22)
    whole = path.read_bytes()
    rewritten(path, policy_pth=bytes(2**22 + 1))
    with pytest.raises(InputError, match=r"policy\.pth holds more than 4 MiB"):
        resolve_trusted(str(path))
    path.write_bytes(whole)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(2**22 + 1))
    rewritten(path, policy_pth=inner.getvalue())
    with pytest.raises(InputError, match=r"policy\.pth holds more than 4 MiB"):
        resolve_trusted(str(path))
