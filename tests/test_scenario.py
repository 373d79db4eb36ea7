"""Scenarios: what is shipped, overrides, impossible combinations, identity."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wisp_gym import scenario
from wisp_gym.errors import InputError
from wisp_gym.profiles.load import path_of
from wisp_gym.scenario import LogNormal

CLOSED = ("paper-qwen3-32b-a100", "quickstart")


@pytest.fixture
def trace_file(tmp_path: Path) -> Path:
    path = tmp_path / "requests.csv"
    path.write_text("t_ms,input_tokens,output_tokens\n0,100,20\n1500,50,30\n700000,10,10\n2000,300000,10\n")
    return path


def test_the_shipped_scenarios_are_known() -> None:
    assert set(scenario.names()) >= {*CLOSED, "trace"}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_loops_load_and_hold_ten_counted_cycles(name: str) -> None:
    loaded = scenario.load(name)
    assert loaded.name == name
    assert loaded.description
    assert loaded.requests is None
    assert loaded.refused == 0
    assert loaded.warmup() == pytest.approx(2 * loaded.cycle_s())
    assert loaded.horizon_s - loaded.warmup() >= 10 * loaded.cycle_s()
    assert loaded.classes.allowance_s == 1.0


def test_the_paper_scenario_is_the_published_set_up() -> None:
    paper = scenario.load("paper-qwen3-32b-a100")
    assert paper.server.profile == "qwen3-32b-a100x1"
    assert (paper.server.max_batch, paper.server.max_new_tokens, paper.server.block) == (16, 2048, 8)
    assert paper.kv_tokens == 19_000
    assert paper.noise_cv == 0.02
    assert paper.classes.rates_tps == (2, 4, 6, 8)
    assert paper.classes.shares == (0.25,) * 4
    assert [(part.device, part.share) for part in paper.fleet.mix] == [
        ("raspberry-pi-5", 0.5),
        ("jetson-agx-orin", 0.5),
    ]
    assert paper.fleet.devices == paper.devices == 128
    assert paper.workload.output_tokens.mean == pytest.approx(130, abs=1)
    assert paper.profiles.acceptance.name == "qwen3-0.6b-qwen3-32b"


def test_the_trace_scenario_asks_for_its_file(trace_file: Path) -> None:
    with pytest.raises(InputError, match=r"set workload\.trace=FILE"):
        scenario.load("trace")
    loaded = scenario.load("trace", [f"workload.trace={trace_file}"])
    assert loaded.server.block == 16
    assert loaded.fleet.allow_infeasible
    assert loaded.requests is not None
    # The third row arrives after the horizon, the fourth can never fit.
    assert loaded.requests.arrival_ns.tolist() == [0, 1_500_000_000]
    assert loaded.requests.prompt_tokens.tolist() == [100, 50]
    assert loaded.requests.output_tokens.tolist() == [20, 30]
    assert (loaded.devices, loaded.refused) == (2, 1)
    assert loaded.trace is not None
    assert (loaded.trace.requests, loaded.trace.refused, loaded.trace.no_output) == (4, 1, 0)
    assert loaded.warmup() == 60


def test_a_session_fits_to_the_last_token(trace_file: Path) -> None:
    loaded = scenario.load("trace", [f"workload.trace={trace_file}", "server.kv_tokens=120"])
    assert (loaded.devices, loaded.refused) == (2, 1)
    loaded = scenario.load("trace", [f"workload.trace={trace_file}", "server.kv_tokens=119"])
    assert (loaded.devices, loaded.refused) == (1, 2)


def test_arrivals_stretch_and_are_cut(trace_file: Path) -> None:
    loaded = scenario.load("trace", [f"workload.trace={trace_file}", "workload.stretch=2"])
    assert loaded.requests is not None
    assert loaded.requests.arrival_ns.tolist() == [0, 3_000_000_000]
    loaded = scenario.load("trace", [f"workload.trace={trace_file}", "fleet.devices=1"])
    assert loaded.devices == 1
    with pytest.raises(InputError, match="no request arrives before horizon_s"):
        scenario.load("trace", [f"workload.trace={trace_file}", "server.kv_tokens=64"])


def test_a_relative_trace_is_found_from_the_folder_or_the_file(
    trace_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (scenario.folder() / "trace.yaml").read_text().replace("trace: null", "trace: requests.csv")
    (tmp_path / "mine.yaml").write_text(text)
    assert scenario.load(tmp_path / "mine.yaml").devices == 2
    other = tmp_path / "other"
    other.mkdir()
    (other / "requests.csv").write_text("t_ms,input_tokens,output_tokens\n0,1,1\n")
    monkeypatch.chdir(other)
    loaded = scenario.load(str(tmp_path / "mine.yaml"))
    assert loaded.devices == 1
    # Resolved once: it means the same file from elsewhere.
    monkeypatch.chdir(tmp_path)
    assert scenario.load(loaded, ["fleet.devices=5"]).devices == 1


def test_a_relative_profile_is_found_from_the_file(tmp_path: Path) -> None:
    text = (scenario.folder() / "quickstart.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("network: 5g-good", "network: ./net.yaml"))
    (tmp_path / "net.yaml").write_text(path_of("network", "5g-good").read_text())
    loaded = scenario.load(tmp_path / "mine.yaml")
    assert loaded.fleet.networks[0].network == str(tmp_path / "net.yaml")
    assert loaded == scenario.load("quickstart")


def test_overrides_replace_fields() -> None:
    loaded = scenario.load(
        "quickstart",
        [
            "fleet.devices=160",
            "classes.shares=[0, 0, 0, 1]",
            "fleet.mix.0.share=1",
            "fleet.mix.1.share=0",
            "server.kv_tokens=5000",
            "server.noise_cv=0",
            "classes.allowance_s=2",
            "fleet.devices=161",
        ],
    )
    assert loaded.fleet.devices == 161
    assert loaded.classes.shares == (0, 0, 0, 1)
    assert loaded.classes.slowest_tps == 8
    assert [part.share for part in loaded.fleet.mix] == [1, 0]
    assert (loaded.kv_tokens, loaded.noise_cv, loaded.classes.allowance_s) == (5000, 0, 2)
    assert scenario.load("quickstart").fleet.devices != 161
    assert scenario.load(loaded) is loaded
    assert scenario.load(loaded, ["fleet.devices=3"]).classes.shares == (0, 0, 0, 1)


WRONG: list[tuple[str, str]] = [
    ("fleet.devcies=3", "did you mean 'devices'"),
    ("flet.devices=3", "did you mean 'fleet'"),
    ("fleet.devices", "must be key=value"),
    ("=3", "must be key=value"),
    ("fleet..devices=3", "must be key=value"),
    ("fleet.devices=[1", "override"),
    ("fleet.devices=", "fleet.devices = None"),
    ("fleet.devices=0", "fleet.devices = 0: must be greater than or equal to 1"),
    ("fleet.devices=65537", "less than or equal to 65536"),
    ("fleet.devices=-1", "fleet.devices = -1"),
    ("fleet.devices=1.5", "fleet.devices = 1.5"),
    ("fleet.devices=many", "fleet.devices = 'many'"),
    ("fleet.devices=true", "fleet.devices = True"),
    ("fleet.devices.x=1", "has no keys"),
    ("fleet.mix.7.share=1", "0..1"),
    ("fleet.mix.x.share=1", "0..1"),
    ("fleet.mix=[]", "fleet.mix"),
    ("fleet.mix.0.share=0.9", "sum to 1.4, must sum to 1"),
    ("fleet.mix.0.device=jetson-agx-orin", "comes twice"),
    ("fleet.mix.0.device=rasberry-pi-5", "fleet.mix.0.device: unknown device profile"),
    ("fleet.networks.0.network=6g", "fleet.networks.0.network: unknown network profile"),
    ("fleet.draft=qwen3-4b", "must be fleet.draft"),
    ("acceptance.profile=qwen3-1.7b-qwen3-32b", "must be fleet.draft"),
    ("server.profile=nope", "server.profile: unknown server profile"),
    ("server.profile=./nope.yaml", "no such file"),
    ("server.max_batch=0", "server.max_batch = 0"),
    ("server.noise_cv=.nan", "not finite"),
    ("server.noise_cv=.inf", "not finite"),
    ("server.noise_cv=nan", "server.noise_cv = 'nan'"),
    ("server.max_new_tokens=4096", "server.max_new_tokens = 4096"),
    ("server=3", "server = 3: must be a mapping"),
    ("classes.rates_tps=[2, 2, 6, 8]", "must increase"),
    ("classes.rates_tps=[2, 4, 6, -8]", "classes.rates_tps.3 = -8"),
    ("classes.rates_tps=[1, 2, 3, 4, 5]", "classes.rates_tps"),
    ("classes.shares=[0, 0, 1]", "must be equal"),
    ("classes.shares=[0, 0, 0, 0]", "must sum to 1"),
    ("classes.deadline=soon", "must be 'round' or 'timeline'"),
    ("classes.on_time_share=0", "classes.on_time_share = 0"),
    ("workload.kind=open", "must be 'closed', 'trace' or 'arrivals'"),
    ("workload.kind=trace", "workload.trace is not set"),
    ("workload.prompt_tokens.min=0", "must lie in 1..100000"),
    ("workload.prompt_tokens.min=100", "must not decrease"),
    ("workload.prompt_tokens.max=50000", "can never fit"),
    ("workload.stretch=0", "workload.stretch = 0"),
    ("server.kv_tokens=200", "can never fit"),
    ("horizon_s=40", "must be above the warm-up, 44.1"),
    ("horizon_s=-1", "horizon_s = -1"),
    ("warmup_s=270", "must be above the warm-up"),
    ("name=", "name = None"),
]


@pytest.mark.parametrize(("override", "message"), WRONG)
def test_a_wrong_override_is_one_line(override: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        scenario.load("quickstart", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_overrides_are_a_list() -> None:
    with pytest.raises(InputError, match="must be a list"):
        scenario.load("quickstart", "fleet.devices=3")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("quikstart", "did you mean 'quickstart'"),
        ("", "unknown scenario"),
        ("./none.yaml", "no such file"),
        (Path("none"), "no such file"),
        (Path("."), "is a folder"),
        (None, "must be a name, a path or a Scenario"),
    ],
)
def test_a_missing_scenario_is_one_line(source: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        scenario.load(source)


def test_a_key_left_out_is_named(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text("name: short\nserver: {profile: qwen3-32b-a100x1}\n")
    with pytest.raises(InputError, match=r"short\.yaml: server\.max_batch is missing"):
        scenario.load(path)


def test_a_model_that_the_draft_was_not_measured_for_is_refused(tmp_path: Path) -> None:
    text = path_of("server", "qwen3-32b-a100x1").read_text().replace("model: qwen3-32b", "model: qwen3-14b")
    (tmp_path / "server.yaml").write_text(text)
    with pytest.raises(InputError, match="must be the server's model, 'qwen3-14b'"):
        scenario.load("quickstart", [f"server.profile={tmp_path / 'server.yaml'}"])


def test_equal_content_means_equal_scenarios() -> None:
    one = scenario.load("quickstart", ["fleet.devices=50"])
    two = scenario.load(
        scenario.load("quickstart"), ["fleet.devices=50", "name=other", "server.kv_tokens=33000"]
    )
    assert one == two
    assert hash(one) == hash(two)
    assert len({one, two, scenario.load("quickstart")}) == 2
    assert len(one.digest()) == 64
    assert pickle.loads(pickle.dumps(one)) == one


def test_every_field_counts_for_the_digest() -> None:
    changes = [
        "server.max_batch=9", "server.noise_cv=0.5", "server.block=16", "fleet.mix.0.device=phone",
        "fleet.networks.0.network=wired", "fleet.allow_infeasible=true", "classes.deadline=timeline",
        "classes.allowance_s=3", "workload.think_s.median=2", "horizon_s=300", "warmup_s=50", "episode_s=61",
    ]  # fmt: skip
    digests = {scenario.load("quickstart", [change]).digest() for change in changes}
    assert len(digests | {scenario.load("quickstart").digest()}) == len(changes) + 1


def test_a_traces_digest_is_its_content(trace_file: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied.csv"
    copied.write_bytes(trace_file.read_bytes())
    one = scenario.load("trace", [f"workload.trace={trace_file}"])
    assert one == scenario.load("trace", [f"workload.trace={copied}"])
    copied.write_text(copied.read_text().replace("1500", "1501"))
    assert one != scenario.load("trace", [f"workload.trace={copied}"])


def test_to_dict_is_json_with_everything_filled_in(trace_file: Path) -> None:
    for loaded in (scenario.load("quickstart"), scenario.load("trace", [f"workload.trace={trace_file}"])):
        fields = json.loads(json.dumps(loaded.to_dict(), allow_nan=False))
        assert fields["server"]["kv_tokens"] == loaded.kv_tokens
        assert fields["warmup_s"] == loaded.warmup()
        assert fields["refused"] == loaded.refused
        assert loaded.profiles.server.name in [profile["name"] for profile in fields["profiles"]]


def test_the_digest_is_the_same_in_another_process() -> None:
    code = "from wisp_gym import scenario; print(scenario.load('quickstart').digest())"
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == scenario.load("quickstart").digest()


@pytest.mark.parametrize(
    "law",
    [
        LogNormal(median=100, sigma=0.4, min=16, max=400),
        LogNormal(median=100, sigma=1.5, min=50, max=150),
        LogNormal(median=2, sigma=0.8, min=0, max=100),
        LogNormal(median=5, sigma=0, min=0, max=10),
        LogNormal(median=0, sigma=0, min=0, max=0),
    ],
)
def test_the_mean_of_a_clipped_law_is_that_of_its_draws(law: LogNormal) -> None:
    normal = np.random.default_rng(0).standard_normal(400_000)
    draws = np.clip(law.median * np.exp(law.sigma * normal), law.min, law.max)
    # Five standard errors of 400,000 draws.
    assert law.mean == pytest.approx(draws.mean(), abs=5 * draws.std() / np.sqrt(len(draws)) + 1e-12)
