"""Random cases: the same everywhere, made again by their text, and full of what the tests are about."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

from chooser import seeded
from core import rows, run
from hypothesis import given, settings
from policy_strategies import DRAFTERS
from remade import Remade
from scenario_strategies import TraceRows, fitting, shares
from strategies import Case, cases, draw_case

from wisp_gym import profiles
from wisp_gym.metrics import measure
from wisp_gym.pipeline import DrafterRule, Policy, SchedulerRule

NAMES = {cls.__name__: cls for cls in (Case, DrafterRule, Policy, Remade, SchedulerRule, TraceRows)}


@settings(max_examples=30)
@given(cases())
def test_a_case_is_made_again_by_its_text(case: Case) -> None:
    text = repr(case)
    assert "\n" not in text
    assert eval(text, NAMES) == case


def test_a_number_is_one_case() -> None:
    assert draw_case(7) == draw_case(7) != draw_case(8)
    assert draw_case(7).scenario() == draw_case(7).scenario()


def test_all_profiles_may_come_up() -> None:
    """Every device, and every pair and server that fit another, is within reach."""
    pairs, _, hosts, kinds = zip(*fitting(), strict=True)
    targets = {name: profiles.acceptance(name).target for name in profiles.names("acceptance")}
    models = {name: profiles.server(name).model for name in profiles.names("server")}
    assert set(pairs) == {name for name, target in targets.items() if target in models.values()}
    served = {name for name, model in models.items() if model in targets.values()}
    assert {name for names in hosts for name in names} == served
    assert {name for names in kinds for name in names} == set(profiles.names("device"))


def test_shares_are_shares() -> None:
    drawn = [shares(seeded(number), 1 + number % 4) for number in range(200)]
    assert all(abs(sum(parts) - 1) < 1e-9 and min(parts) >= 0 for parts in drawn)
    assert any(0 in parts for parts in drawn)


def test_the_numbers_lie_on_no_grid() -> None:
    """Every whole number of a limit comes up odd and even, every other one with all its digits."""
    specs = [draw_case(number).scenario() for number in range(60)]
    for field in ("max_batch", "max_new_tokens", "block", "kv_tokens"):
        odd = sum(getattr(spec.server, field) % 2 for spec in specs)
        assert 15 <= odd <= 45, field
    for law in ("prompt_tokens", "output_tokens"):
        for field in ("median", "min", "max"):
            assert 10 <= sum(getattr(getattr(spec.workload, law), field) % 2 == 1 for spec in specs) <= 50
    times = [spec.file.classes.allowance_s for spec in specs] + [spec.workload.lead_s or 0 for spec in specs]
    assert sum(round(1e6 * time) % 1000 != 0 for time in times) > 50


def test_unlike_things_happen_at_one_instant() -> None:
    """Deliveries and repeated requests as a pass ends, time-outs as requests arrive, as results do."""
    found: Counter[tuple[str, str]] = Counter()
    in_step = [case for case in map(draw_case, range(300)) if case.remade.step_ms]
    for case in in_step:
        at: dict[int, set[str]] = {}
        for row in rows(run(case.world(), case.policy(), case.policy_seed)):
            at.setdefault(row.time, set()).add(row.kind)
        found.update({two for kinds in at.values() for two in combinations(sorted(kinds), 2)})
    assert 35 <= len(in_step) <= 75
    for two in (("deliver", "verify"), ("retry", "verify"), ("deliver", "retry"), ("retry", "supersede")):
        assert found[two] >= 5, two


def test_some_sessions_stall_and_some_requests_are_replaced() -> None:
    slow = [case for case in map(draw_case, range(200)) if case.remade.slow > 1]
    runs = [run(case.world(), case.policy(), case.policy_seed) for case in slow]
    assert sum(measure(sim)["stalled_30s_share"] > 0 for sim in runs) >= 8
    assert sum(int(sim.state.tbt[:, -1].sum()) > 0 for sim in runs) >= 3
    assert sum(any(row.b == 1 for row in rows(sim, "supersede")) for sim in runs) >= 8


def test_the_first_cases_have_something_to_say() -> None:
    """A fifth of them or more evict, are late, wait in queues, and serve several at once; some of each draw
    every drafter, ask again and draft ahead."""
    runs = [run(case.world(), case.policy(), case.policy_seed) for case in map(draw_case, range(60))]
    assert len({(s.policy.drafter.kind, s.policy.drafter.score) for s in runs}) >= len(DRAFTERS) - 2
    for kind, least in (("evict", 12), ("ahead", 3), ("retry", 5), ("wait", 3), ("start", 55)):
        assert sum(bool(rows(sim, kind)) for sim in runs) >= least, kind
    assert sum(any(row.b > 1 for row in rows(sim, "pass")) for sim in runs) >= 20
    due, on_time = ([int(sim.state.counters[n].sum()) for sim in runs] for n in ("due", "due_on_time"))
    assert sum(a > b for a, b in zip(due, on_time, strict=True)) >= 20
