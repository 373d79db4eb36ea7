"""Names of policies: what each one means, and what a wrong one is answered."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from baselines import candidates, names, resolve, settings
from baselines.guard import GuardedDrafter
from wisp_gym.errors import InputError
from wisp_gym.pipeline import DrafterRule, Policy, SchedulerRule

OWN = """
from __future__ import annotations
from dataclasses import dataclass
import numpy as np

@dataclass
class Halves:
    asked: int = 0

    def score(self, stream):
        return np.asarray(stream.signals[:, 0], np.float32)

    def limit(self, view):
        return 4, 0.5

    def select(self, view):
        self.asked += 1
        return range(len(view.requests))

class Empty:
    pass

class Broken:
    def __init__(self):
        raise KeyError("nothing here")
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return str(path)


def rules(name: str) -> tuple[DrafterRule, SchedulerRule]:
    policy = resolve(name)
    assert isinstance(policy.drafter, DrafterRule)
    assert isinstance(policy.scheduler, SchedulerRule)
    return policy.drafter, policy.scheduler


def test_wisp_is_predictor_and_slo_aware() -> None:
    drafter, scheduler = rules("wisp")
    assert drafter == DrafterRule.predictor()
    assert (scheduler.kind, scheduler.late, scheduler.deadline) == ("slo-aware", settings.WISP_LATE, None)
    assert resolve("wisp").name == f"wisp:late={settings.WISP_LATE}"


def test_wisp_readings() -> None:
    policy = resolve("wisp:deadline=timeline,late=literal")
    assert isinstance(policy.scheduler, SchedulerRule)
    assert (policy.scheduler.late, policy.scheduler.deadline) == ("literal", "timeline")
    assert policy.name == "wisp:late=literal,deadline=timeline"
    assert resolve(policy.name) == policy


def test_wisp_may_drop_the_suspect() -> None:
    drafter, scheduler = rules("wisp:suspect=drop")
    assert drafter == DrafterRule.predictor(drop_suspect=True)
    assert scheduler == rules("wisp")[1]
    assert resolve("wisp:suspect=drop").name == f"wisp:late={settings.WISP_LATE},suspect=drop"
    assert rules("wisp:suspect=send")[0] == DrafterRule.predictor()


def test_best_stands_for_six_readings() -> None:
    readings = candidates("wisp:best")
    assert len(readings) == len(set(readings)) == 6
    assert [resolve(name).name for name in readings] == list(readings)
    assert candidates("sled") == ("sled",)


def test_sled() -> None:
    drafter, scheduler = rules("sled")
    assert drafter == DrafterRule.fixed(5)
    assert (scheduler.kind, scheduler.static_size, scheduler.static_limit_s) == ("static", 3, 0.05)
    assert scheduler.padded
    assert resolve("sled:fixed") == resolve("sled")
    assert rules("sled:confidence")[0].score == "confidence"


def test_sled_in_full() -> None:
    drafter, scheduler = rules("sled:confidence,ahead=on,size=engine,limit=0.2")
    assert (drafter.score, drafter.ahead, drafter.timeout_s) == ("confidence", True, settings.SLED_TIMEOUT_S)
    assert (scheduler.static_size, scheduler.static_limit_s) == (4096, 0.2)
    assert rules("sled:ahead=on,timeout=none")[0] == dataclasses.replace(DrafterRule.fixed(5), ahead=True)
    assert rules("sled:timeout=0.5,size=7")[0].timeout_s == 0.5
    assert not rules("sled:timeout=0.5,size=7")[0].ahead
    for name in ("sled:fixed", "sled:fixed,ahead=on,timeout=2,size=4,limit=0.1"):
        assert resolve(name).name == name


def test_sled_tuned_stands_for_sizes() -> None:
    names = candidates("sled:tuned")
    sizes = [rules(name)[1].static_size for name in names]
    assert sizes == sorted(set(sizes))
    assert (sizes[0], sizes[-1]) == (1, 4096)
    assert settings.STATIC_SIZE in sizes
    assert [resolve(name).name for name in names] == list(names)
    assert candidates("sled:confidence,ahead=on,size=tuned")[0] == "sled:confidence,ahead=on,size=1"


def test_switches_of_drafters() -> None:
    for name, rule in (
        ("fixed:4,ahead", DrafterRule.fixed(4)),
        ("confidence:ahead", DrafterRule.confidence(0.5)),
        ("predictor:0.9,ahead", DrafterRule.predictor(0.9)),
        ("random:ahead", DrafterRule.random()),
    ):
        assert rules(f"{name}+edf")[0] == dataclasses.replace(rule, ahead=True)
        both = dataclasses.replace(rule, ahead=True, timeout_s=0.5)
        assert rules(f"{name},timeout=0.5+edf")[0] == both


def test_centralized() -> None:
    drafter, scheduler = rules("centralized")
    assert drafter.server_loop
    assert drafter.caps == (0, 0, 0, 0)
    assert (scheduler.kind, scheduler.run_to_completion) == ("continuous", False)
    assert rules("centralized:rtc")[1].run_to_completion


@pytest.mark.parametrize(
    ("name", "drafter", "scheduler"),
    [
        ("fixed:3", DrafterRule.fixed(3), SchedulerRule("fcfs")),
        ("random", DrafterRule.random(), SchedulerRule("random")),
        ("none+fcfs", DrafterRule.none(), SchedulerRule("fcfs")),
        ("fixed:0+edf", DrafterRule.none(), SchedulerRule("edf")),
        ("confidence:0.3+density", DrafterRule.confidence(0.3), SchedulerRule("density")),
        ("entropy+fcfs", DrafterRule.entropy(settings.ENTROPY_NATS), SchedulerRule("fcfs")),
        ("entropy:1.5+edf", DrafterRule.entropy(1.5), SchedulerRule("edf")),
        ("specdec+++fcfs", DrafterRule.specdec(settings.REJECTION_LIMIT), SchedulerRule("fcfs")),
        ("specdec++:0.5+fcfs", DrafterRule.specdec(0.5), SchedulerRule("fcfs")),
        ("table+fcfs", DrafterRule.by_batch(((64, 3), (128, 1))), SchedulerRule("fcfs")),
        ("table:4=8,16=2+edf", DrafterRule.by_batch(((4, 8), (16, 2))), SchedulerRule("edf")),
        ("goodput+density", DrafterRule.goodput(), SchedulerRule("density")),
        ("ucb:0.5+fcfs", DrafterRule.ucb(0.5), SchedulerRule("fcfs")),
        ("predictor:0.9+fcfs", DrafterRule.predictor(0.9), SchedulerRule("fcfs")),
        ("predictor:0.85+fcfs", DrafterRule.predictor(0.85), SchedulerRule("fcfs")),
        ("predictor:drop+fcfs", DrafterRule.predictor(drop_suspect=True), SchedulerRule("fcfs")),
        ("predictor:0.9,drop+fcfs", DrafterRule.predictor(0.9, drop_suspect=True), SchedulerRule("fcfs")),
        ("predictor+continuous", DrafterRule.predictor(), SchedulerRule("continuous")),
        ("random+slo-aware", DrafterRule.random(), SchedulerRule("slo-aware", late=settings.WISP_LATE)),
        (
            "fixed:2+slo-aware:late=urgent,deadline=round",
            DrafterRule.fixed(2),
            SchedulerRule("slo-aware", late="urgent", deadline="round"),
        ),
        (
            "fixed:5+static:7",
            DrafterRule.fixed(5),
            SchedulerRule("static", static_size=7, padded=True),
        ),
    ],
)
def test_pairs(name: str, drafter: DrafterRule, scheduler: SchedulerRule) -> None:
    assert resolve(name) == Policy(name, drafter, scheduler)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("wsip", "did you mean 'wisp'?"),
        ("", "unknown policy ''"),
        ("wisp:late=early", "known: last, literal, urgent"),
        ("wisp:lat=last", "did you mean 'late=last'?"),
        ("wisp:late=last,late=urgent", "given twice"),
        ("wisp:best", "chosen from"),
        ("sled:dynamic", "known: confidence, fixed"),
        ("sled:ahead=yes", "known: off, on"),
        ("sled:size=0", "whole number from 1"),
        ("sled:timeout=0", "above 0"),
        ("sled:size=4,size=5", "given twice"),
        ("sled:depth=4", "unknown option of sled"),
        ("sled:tuned", "chosen from"),
        ("sled:size=tuned", "chosen from"),
        ("fixed:5,ahed+fcfs", "did you mean 'ahead'?"),
        ("fixed:5,timeout=+fcfs", "above 0"),
        ("none:ahead+fcfs", "takes no options"),
        ("centralized:rt", "did you mean 'rtc'?"),
        ("fixed", "whole number from 0 to 32"),
        ("fixed:-1", "whole number from 0 to 32"),
        ("fixed:33", "whole number from 0 to 32"),
        ("fixed:2.5", "whole number"),
        ("fixed:²", "whole number"),
        ("random:3", "takes no options"),
        ("confidence:nan+fcfs", "number from 0 to 1"),
        ("confidence:1.5+fcfs", "number from 0 to 1"),
        ("entropy:-1+fcfs", "number from 0 to 12"),
        ("specdec++:1.5+fcfs", "number from 0 to 1"),
        ("specdec+fcfs", "did you mean 'specdec++'?"),
        ("specdec++", "unknown policy"),
        ("specdec+++", "unknown scheduler ''"),
        ("table:3+fcfs", "as in table:64=3,128=1"),
        ("table:8=3,4=2+fcfs", "batches rising"),
        ("table:8=33+fcfs", "lengths 0 to 32"),
        ("table:0=3+fcfs", "batches rising"),
        ("goodput:8+fcfs", "takes no options"),
        ("ucb:-1+fcfs", "number from 0 to 100"),
        ("ucb:inf+fcfs", "number from 0 to 100"),
        ("predictor:1+fcfs", "number from 0.01 to 0.99"),
        ("predictor:0.9,dorp+fcfs", "unknown switch of predictor"),
        ("predictor:drop,0.9+fcfs", "unknown switch of predictor"),
        ("wisp:suspect=keep", "known: drop, send"),
        ("none+slo-aware:suspect=drop", "unknown option of slo-aware"),
        ("static:0+fcfs", "unknown drafter"),
        ("none+static:0", "whole number from 1"),
        ("none+fcsf", "did you mean 'fcfs'?"),
        ("fcfs+none", "unknown drafter 'fcfs'"),
        ("none+", "unknown scheduler ''"),
        ("none+fcfs:2", "takes no options"),
        ("missing.py:Mine", "half a policy"),
        ("none+missing.py:Mine", "there is no file missing.py"),
        ("runs/no-such-model", "no-such-model"),
    ],
)
def test_wrong_names_are_one_line(name: str, told: str) -> None:
    with pytest.raises(InputError) as raised:
        resolve(name)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_own_controllers(own: str) -> None:
    policy = resolve(f"{own}:Halves+{own}:Halves")
    assert isinstance(policy.drafter, GuardedDrafter)
    assert type(policy.drafter.controller).__name__ == "Halves"
    assert not isinstance(policy.scheduler, SchedulerRule)
    assert policy.scheduler is not resolve(f"predictor+{own}:Halves").scheduler


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Empty", "it has no select"),
        ("Broken", "Broken() fails: KeyError"),
        ("Halfs", "did you mean 'Halves'?"),
        ("np", "unknown class"),
    ],
)
def test_own_classes_that_cannot_be_used(own: str, name: str, told: str) -> None:
    with pytest.raises(InputError) as raised:
        resolve(f"none+{own}:{name}")
    assert told in str(raised.value)


def test_own_file_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("def broken(:\n")
    with pytest.raises(InputError, match="SyntaxError"):
        resolve(f"none+{path}:Mine")


def test_a_folder_with_a_model_is_a_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import agents

    asked: list[str] = []
    monkeypatch.setattr(agents, "load", lambda path: asked.append(path) or resolve("wisp"))
    monkeypatch.chdir(tmp_path)
    Path("model").mkdir()
    Path("model", "model.json").write_text("{}")
    for name in ("model", "model/model.json", "model/model.safetensors", str(tmp_path / "model")):
        resolve(name)
        assert asked[-1] == name


def test_every_name_of_the_help_exists() -> None:
    assert set(names.POLICIES) == {"wisp", "sled", "centralized", "fixed", "action", "random"}
