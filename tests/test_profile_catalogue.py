"""What the shipped profiles are together: which fit which, what is flagged, the page that lists them."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from core import pair

from wisp_gym import profiles, scenario
from wisp_gym.errors import InputError
from wisp_gym.metrics import measure
from wisp_gym.pipeline import DrafterRule, SchedulerRule, Simulation
from wisp_gym.profiles.catalogue import MARK, catalogue
from wisp_gym.scenario import Scenario
from wisp_gym.world import draw_world, streams, world_seed
from wisp_gym.world.rng import CAUSE_STREAM, key

SERVERS = [profiles.server(name) for name in profiles.names("server")]
TABLED = [server for server in SERVERS if server.pass_time.status == "composed"]
"""Those whose pass times are summed from kernel tables; the others are fits."""
DEVICES = [profiles.device(name) for name in profiles.names("device")]
NETWORKS = [profiles.network(name) for name in profiles.names("network")]
PAIRS = [profiles.acceptance(name) for name in profiles.names("acceptance")]

NO_SERVER = {"llama-3.2-3b"}
"""Targets of a pair that no server has: the pair is there for its per-task figures."""
NO_PAIR = {"codellama-34b"}
"""Models of a server for which nothing is known of any draft."""


def of(server: str, acceptance: str, *overrides: str) -> Scenario:
    """A small scenario of a server and a pair, on the fastest device that knows the draft."""
    draft = profiles.acceptance(acceptance).draft
    able = [device for device in DEVICES if draft in device.drafts()]
    device = max(able, key=lambda device: device.decode_tps(draft)).name
    return scenario.load(
        "quickstart",
        (
            f"server.profile={server}",
            f"acceptance.profile={acceptance}",
            f"fleet.draft={draft}",
            f"fleet.mix=[{{device: {device}, share: 1}}]",
            *overrides,
        ),
    )


def test_every_server_and_pair_of_one_model_make_a_scenario() -> None:
    fitting = [(server, pair) for server, pair in product(SERVERS, PAIRS) if server.model == pair.target]
    for server, accepted in fitting:
        made = of(server.name, accepted.name)
        assert (made.profiles.server.model, made.fleet.draft) == (accepted.target, accepted.draft)
    assert {server.model for server in SERVERS} - {server.model for server, _ in fitting} == NO_PAIR
    assert {pair.target for pair in PAIRS} - {pair.target for _, pair in fitting} == NO_SERVER


@pytest.mark.parametrize(
    ("server", "acceptance"),
    [
        ("llama-3-70b-h100x8", "llama-3.2-1b-llama-3-70b-instructcoder"),
        ("qwen3-14b-h200x1", "qwen3-0.6b-qwen3-14b"),
    ],
)
def test_a_run_accepts_what_the_pair_accepts(server: str, acceptance: str) -> None:
    """Fixed drafts of five: the share accepted is near alpha(5); k is cut near the end of a session."""
    made = of(
        server,
        acceptance,
        "fleet.allow_infeasible=true",
        "fleet.devices=24",
        "workload.output_tokens={median: 200, sigma: 0.1, min: 150, max: 250}",
        "warmup_s=2",
        "horizon_s=40",
    )
    world = draw_world(made, world_seed("test", 3))
    simulation = Simulation(world, pair("fixed", DrafterRule.fixed(5), SchedulerRule("fcfs"))).run()
    expected = profiles.acceptance(acceptance).expected_accepted[5] / 5
    assert measure(simulation)["acceptance_rate"] == pytest.approx(expected, abs=0.06)


def test_only_a100_has_a_staircase() -> None:
    assert TABLED
    for server in TABLED:
        tokens, seconds = server.pass_curve()
        at = dict(zip(tokens.tolist(), seconds.tolist(), strict=True))
        if server.gpu == "A100":
            assert server.pass_time.step_at == (129, 257)
            assert (at[129], at[257]) == (at[160], at[320])
            assert at[129] > 1.15 * at[128]
        else:
            assert not server.pass_time.step_at
            assert 129 not in at


def test_dip_sds_law_gives_its_fit_at_five_drafted_tokens() -> None:
    server = profiles.server("qwen3-32b-a100x1-dip-sd")
    for requests in (1, 4, 16):
        curve_s = np.interp(6 * requests, *server.pass_curve())
        whole_s = curve_s + server.pass_base_s + server.host_base_s + 512 * requests * server.cached_token_s
        whole_s += requests * (server.request_s + server.host_request_s)
        assert whole_s == pytest.approx(0.095 + 0.0029 * requests, rel=1e-5)
    assert server.pass_time.flagged


def test_more_gpus_or_a_smaller_model_make_a_shorter_pass() -> None:
    """Between servers of one kind of GPU, at every size of a pass that is tabled."""
    for one, other in product(TABLED, TABLED):
        same = one.gpu == other.gpu and one.model == other.model
        if same and one.tensor_parallel < other.tensor_parallel:
            assert np.all(one.pass_curve()[1] > other.pass_curve()[1])
            assert one.cached_token_s > other.cached_token_s
    for gpu, small, large in (("a100", "llama-3-8b", "qwen3-14b"), ("h100", "llama-3-8b", "qwen3-14b")):
        fast, slow = (profiles.server(f"{model}-{gpu}x1") for model in (small, large))
        assert np.all(fast.pass_curve()[1] < slow.pass_curve()[1])


def test_what_the_papers_set_up_has_not_moved() -> None:
    """The figures that shipped scenarios use; further entries of a device may follow them."""
    speeds = {"raspberry-pi-5": 18.1, "jetson-agx-orin": 97, "phone": 70, "raspberry-pi-4b": 8.42}
    for name, speed in speeds.items():
        assert profiles.device(name).decode_tps("qwen3-0.6b") == speed


def test_a_stop_check_is_reported_where_the_paper_gives_it() -> None:
    reported = {device.name: device.stop_check_s for device in DEVICES if not device.stop_check.flagged}
    assert reported == pytest.approx({"raspberry-pi-5": 0.459e-3, "raspberry-pi-4b": 2.038e-3})


def test_a_larger_draft_is_slower_on_one_device() -> None:
    for device in DEVICES:
        for small, large in (
            ("qwen3-0.6b", "qwen3-1.7b"),
            ("qwen3-1.7b", "qwen3-4b"),
            ("qwen3-4b", "qwen3-8b"),
        ):
            if {small, large} <= set(device.drafts()):
                assert device.decode_tps(small) > device.decode_tps(large), device.name


def test_pairs_without_a_measurement_are_flagged_throughout() -> None:
    for accepted in PAIRS:
        published = (*accepted.acceptance_rate, *accepted.survival)
        assert "fitted" in accepted.flagged()
        if accepted.target in ("qwen3-14b", "llama-3-8b"):
            assert all(figure.flagged and figure.note for figure in published), accepted.name
        else:
            assert not any(figure.flagged for figure in published), accepted.name


def test_networks_assembled_by_hand_or_by_distance_are_flagged() -> None:
    flagged = {network.name for network in NETWORKS if (network.rtt or network.rtt_by_distance).flagged}  # type: ignore[union-attr]
    by_distance = {network.name for network in NETWORKS if network.rtt_by_distance}
    assert flagged == {"wired", "home-wifi", "lte"} | by_distance
    assert by_distance


@pytest.mark.parametrize("accepted", PAIRS, ids=lambda accepted: accepted.name)
def test_streams_reach_the_published_figures(accepted: profiles.AcceptanceProfile) -> None:
    """As the fit recorded it: within 0.02, or 0.05 where only some hundreds of rounds were logged."""
    assert accepted.fitted.reached is not None
    reached = accepted.fitted.reached.values
    for rate in accepted.acceptance_rate:
        streams_rate = accepted.expected_accepted[rate.k] / rate.k
        assert streams_rate == pytest.approx(reached[f"alpha_{rate.k}"], abs=1e-3)
        assert streams_rate == pytest.approx(rate.value, abs=0.02)
    for table in () if accepted.acceptance_rate else accepted.survival:
        assert table.rounds is not None
        band = 0.0205 if table.rounds > 10_000 else 0.05
        assert reached[f"survival_gap_k{table.k}"] <= band
        streams_rate = accepted.expected_accepted[table.k] / table.k
        assert streams_rate == pytest.approx(np.mean(table.values), abs=band)


@pytest.mark.parametrize("name", ["qwen3-1.7b-qwen3-32b-mt-bench", "llama-3.2-1b-llama-3-70b-instructcoder"])
def test_streams_survive_as_published(name: str) -> None:
    """Drawn anew: every position of every table within 0.03, the fit's 0.02 and three standard errors."""
    accepted = profiles.acceptance(name)
    params = streams.stream_params(accepted.generator)
    sessions, length = 700, 800
    drawn = np.zeros((sessions, length), np.uint8)
    signals = np.zeros((2, 4, length), np.float32)
    for i in range(sessions):
        streams.draw_stream(np.uint64(key(77, CAUSE_STREAM, i, 0)), params, drawn[i], *signals)
    for table in accepted.survival:
        counts = np.concatenate([streams.fixed_k_rounds(row, table.k) for row in drawn])
        ours = [np.mean(counts > i) for i in range(table.k)]
        assert ours == pytest.approx(table.values, abs=0.03), table.k


def test_an_unknown_server_lists_those_nearest_and_counts_the_rest() -> None:
    with pytest.raises(InputError) as caught:
        profiles.server("llama-70b-h100x4")
    message = str(caught.value)
    listed = [server.name for server in SERVERS if server.name in message]
    assert "did you mean 'llama-3-70b-h100x4'" in message
    assert "qwen3-32b-rtxpro6000x2" not in listed
    assert f"and {len(SERVERS) - len(listed)} more" in message
    assert len(message) < 300


def rows_of(page: str) -> dict[str, list[str]]:
    """The cells of every table row of the page by the name in its first cell."""
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): cells for cells in lines}


def test_the_page_lists_every_profile_and_marks_what_is_flagged() -> None:
    rows = rows_of(catalogue())
    assert set(rows) == {profile.name for profile in (*SERVERS, *DEVICES, *NETWORKS, *PAIRS)}
    assert rows["qwen3-32b-a100x1"][-1] == f"33,000{MARK}"
    assert rows["qwen3-32b-h100x2"][-1] == "287,922"
    assert rows["raspberry-pi-5"][1] == f"18.1{MARK}"
    assert rows["raspberry-pi-4b"][1] == "8.42"
    assert rows["wired"][2:5] == [f"8{MARK}", f"12{MARK}", f"20{MARK}"]
    assert rows["5g-good"][2:5] == ["16", "22", "27"]
    for accepted in PAIRS:
        flagged = any(rate.flagged for rate in accepted.acceptance_rate)
        assert (MARK in rows[accepted.name][1]) == flagged
    for server in SERVERS:
        assert float(rows[server.name][6].rstrip(MARK)) == pytest.approx(
            1e3 * np.interp(160, *server.pass_curve()), abs=0.051
        )


def test_the_committed_page_is_current() -> None:
    page = Path(__file__).parents[1] / "docs" / "profiles.md"
    assert page.read_text(encoding="utf-8") == catalogue(), "write catalogue() into it"
