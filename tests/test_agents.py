"""Agents: settings, the elapsed-time discount, learning on a task with a known answer, model files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from known_answer import BEST, COUNTS, SIZE, copies
from numpy.typing import NDArray

from agents import callbacks, learners, model_file, training
from agents.boundary import Boundary
from agents.files import check_folder, cleared
from agents.progress import Interrupt
from agents.settings import load_settings
from agents.spaces import Spaces
from agents.training import TrainingRun
from wisp_gym import scenario
from wisp_gym.envs import AgentScheduler, wisp_action
from wisp_gym.errors import InputError
from wisp_gym.metrics import measure
from wisp_gym.pipeline import Simulation
from wisp_gym.world import draw_world, world_seed


def run_in(folder: Path, *changes: str, seed: int = 0, kind: str = "ppo") -> TrainingRun:
    folder.mkdir(exist_ok=True)
    small = (
        "timesteps=512",
        "rollout_steps=256",
        "batch_size=128",
        "environments=2",
        "hidden=[16]",
        "validation_every=0",
    )
    return TrainingRun(
        load_settings(kind, [*small, *changes]), "quickstart", ("fleet.devices=4",), seed, folder
    )


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Spaces:
    spaces = Spaces(SIZE, COUNTS)
    monkeypatch.setattr(training, "make_environments", copies)
    monkeypatch.setattr(model_file, "environment_spaces", lambda: spaces)
    return spaces


@pytest.fixture
def model(tmp_path: Path, stub: Spaces) -> Path:
    folder = tmp_path / "model"
    training.train(run_in(folder))
    return folder


# --- settings


def test_default_settings_take_overrides() -> None:
    assert load_settings().epochs == 5
    assert load_settings("ppo", ["epochs=7", "hidden=[64, 32]", "learning_rate=1e-3"]).hidden == (64, 32)


@pytest.mark.parametrize("environments", [1, 2, 3, 4, 7])
def test_a_rollout_is_whole_batches(environments: int) -> None:
    settings = load_settings("ppo", [f"environments={environments}"])
    rollout = settings.steps_per_environment * environments
    assert rollout % settings.batch_size == 0
    assert rollout >= settings.rollout_steps


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("epoch=3", "did you mean 'epochs'?"),
        ("learning_rate=.nan", "not finite"),
        ("learning_rate=-1", "greater than 0"),
        ("learning_rate=fast", "learning_rate"),
        ("epochs=true", "epochs"),
        ("hidden=[]", "hidden"),
        ("reward=speed", "goodput"),
        ("epochs", "key=value"),
        ("=3", "key=value"),
    ],
)
def test_a_wrong_setting_is_one_line(change: str, says: str) -> None:
    with pytest.raises(InputError, match=says.replace("?", r"\?")) as caught:
        load_settings("ppo", [change])
    assert "\n" not in str(caught.value)


def test_an_unknown_agent_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'ppo'"):
        load_settings("pppo")


# --- learning, determinism, curves


def test_the_best_action_is_learned(tmp_path: Path, stub: Spaces) -> None:
    changes = (
        "timesteps=20000",
        "environments=16",
        "rollout_steps=512",
        "batch_size=128",
        "learning_rate=0.003",
        "wisp_prior=0",
    )
    training.train(run_in(tmp_path, *changes))
    _, actor = model_file.read(tmp_path)
    chosen = np.array([actor(np.zeros(SIZE, dtype=np.float32))])
    assert np.mean(1.0 - np.abs(chosen - BEST) / np.array(COUNTS)) > 0.95


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, stub: Spaces) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        training.train(run_in(tmp_path / name, seed=seed))
    files = {
        name: [(tmp_path / name / f"model.{end}").read_bytes() for end in ("safetensors", "json")]
        for name in "abc"
    }
    assert files["a"] == files["b"]
    assert files["a"][0] != files["c"][0]


def test_curves_are_written_under_the_documented_names(tmp_path: Path, stub: Spaces) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    training.train(run_in(tmp_path))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    scalars, histograms = events.Tags()["scalars"], events.Tags()["histograms"]
    own = {name for name in [*scalars, *histograms] if name.split("/")[0] in ("episode", "step", "action")}
    assert own <= callbacks.curve_names().keys()
    assert {
        "episode/goodput_tps",
        "action/requests_mean",
        "step/dt_s",
        "reward/on_time_tokens",
        "train/loss",
    } <= set(scalars)
    assert "action/cap_4" in histograms
    assert "episode/attainment_class_2" not in scalars  # NaN in every episode


def test_the_curves_page_explains_every_name() -> None:
    page = (Path(__file__).parent.parent / "docs" / "training-curves.md").read_text(encoding="utf-8")
    for name, meaning in callbacks.curve_names().items():
        assert f"| `{name}` | {meaning} |" in page


def test_divergence_is_an_input_error_and_leaves_no_model(tmp_path: Path, stub: Spaces) -> None:
    diverging = (
        "learning_rate=1.0",
        "max_gradient_norm=1000000.0",
        "value_coefficient=100",
        "timesteps=200000",
    )
    run = run_in(tmp_path, *diverging)
    environments = copies(run.settings, "", (), 0)
    learner = learners.build(run.settings, environments, seed=0)
    with torch.no_grad():
        learner.policy.action_net.bias.fill_(float("nan"))  # type: ignore[union-attr, operator]
    with pytest.raises(InputError, match="learning_rate"):
        training._learn(learner, run.settings, Boundary(lambda: None, 0, Interrupt(()), None), print)
    with pytest.raises(InputError, match="learning_rate"):
        model_file.save(tmp_path, learners.tensors(learner), model_file.ModelRecord.model_construct())
    assert not (tmp_path / "model.json").exists()


# --- model files


def test_a_loaded_actor_acts_as_the_learner(tmp_path: Path, stub: Spaces) -> None:
    run = run_in(tmp_path)
    learner = learners.build(run.settings, copies(run.settings, "", (), 0), seed=5)
    record = training._record(run, training.TrainingResult(0, True, 0.0), learner.get_env())  # type: ignore[arg-type]
    model_file.save(tmp_path, learners.tensors(learner), record)
    _, actor = model_file.read(tmp_path)
    for observation in np.random.default_rng(0).uniform(-1, 1, (50, SIZE)).astype(np.float32):
        assert (actor(observation) == learner.predict(observation, deterministic=True)[0]).all()


def test_a_masked_actor_acts_as_its_learner(tmp_path: Path, stub: Spaces) -> None:
    run = run_in(tmp_path, kind="maskable_ppo")
    learner: Any = learners.build(run.settings, copies(run.settings, "", (), 0), seed=5)
    model_file.save(
        tmp_path,
        learners.tensors(learner),
        training._record(run, training.TrainingResult(0, True, 0.0), learner.get_env()),
    )
    record, actor = model_file.read(tmp_path)
    assert record.settings.masked
    random = np.random.default_rng(0)
    starts = np.cumsum((0, *COUNTS[:-1]))
    for observation in random.uniform(-1, 1, (50, SIZE)).astype(np.float32):
        mask = random.random(sum(COUNTS)) < 0.5
        mask[starts] = True  # something is allowed in every component
        chosen = learner.predict(observation, deterministic=True, action_masks=mask)[0]
        assert (actor(observation, mask) == chosen).all()


def test_a_masked_agent_is_told_when_it_may_not_wait() -> None:
    """It would wait for ever; where that is masked it serves what comes second, not the smallest batch."""
    asked: list[bool] = []

    def act(observation: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        asked.append(bool(mask[0]))
        assert mask.shape == (62,)
        assert mask[1:].all()
        action = wisp_action()
        action[0] = 0 if mask[0] else action[0]
        return action

    spec = scenario.load("quickstart", ["horizon_s=60"])
    world = draw_world(spec, world_seed("validation", 0))
    masked = Simulation(world, AgentScheduler(act, "masked", masked=True).policy()).run()
    assert 0 < np.mean(asked) < 1
    waits = wisp_action()
    waits[0] = 0
    forced = Simulation(world, AgentScheduler(lambda _: waits, "forced").policy()).run()
    assert measure(forced)["batch_size_mean"] == 1
    assert measure(masked)["batch_size_mean"] > 3


def test_the_record_says_what_was_trained(model: Path) -> None:
    record, _ = model_file.read(model)
    assert (record.scenario, record.overrides, record.seed) == ("quickstart", ("fleet.devices=4",), 0)
    assert record.complete
    assert record.timesteps == 512
    assert record.versions["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_loading_imports_neither_torch_nor_the_learner() -> None:
    code = "import sys, agents; assert not {'torch', 'stable_baselines3'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)


def change_record(model: Path, **fields: Any) -> None:
    path = model / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize("end", ["safetensors", "json"])
@pytest.mark.parametrize("size", [0, 7, 200])
def test_a_truncated_file_is_refused(model: Path, end: str, size: int) -> None:
    path = model / f"model.{end}"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match="model"):
        model_file.read(model)


def test_a_changed_weight_is_refused(model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match="damaged"):
        model_file.read(model)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"format": 2}, "reads format 1"),
        ({"observation_size": SIZE + 1}, "this environment has"),
        ({"action_counts": [9, 6]}, "this environment has"),
        ({"observation_size": "many"}, "observation_size"),
        ({"extra": 1}, "unknown key 'extra'"),
        ({"seed": None}, "seed"),
    ],
)
def test_a_model_for_something_else_is_refused(model: Path, fields: dict[str, Any], says: str) -> None:
    change_record(model, **fields)
    with pytest.raises(InputError, match=says):
        model_file.read(model)


def test_weights_of_another_shape_are_refused(model: Path) -> None:
    record, _ = model_file.read(model)
    tensors = safetensors.numpy.load((model / "model.safetensors").read_bytes())
    model_file.save(model, tensors | {"action_net.bias": np.zeros(3, np.float32)}, record)
    with pytest.raises(InputError, match=r"action_net.bias must have shape \(62,\), found \(3,\)"):
        model_file.read(model)
    del tensors["action_net.bias"]
    model_file.save(model, tensors, record)
    with pytest.raises(InputError, match="found nothing"):
        model_file.read(model)


def test_a_missing_model_says_what_is_missing(model: Path) -> None:
    assert model_file.model_folder(model / "model.json") == model
    (model / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"no model.safetensors"):
        model_file.model_folder(model)


# --- folders


def test_a_folder_with_a_run_is_not_taken(tmp_path: Path) -> None:
    check_folder(tmp_path / "new" / "run", overwrite=False)
    assert not (tmp_path / "new").exists()
    (tmp_path / "model.json").touch()
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "checkpoint.safetensors").touch()
    with pytest.raises(InputError, match="--overwrite"):
        check_folder(tmp_path, overwrite=False)
    check_folder(tmp_path, overwrite=True)
    with cleared(tmp_path):
        assert not (tmp_path / "checkpoint.safetensors").exists()  # before the new run.json is written
    assert [path.name for path in tmp_path.iterdir()] == ["model.json"]


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        check_folder(tmp_path / "file" / "run", overwrite=False)
