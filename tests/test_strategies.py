"""Random cases: the same everywhere, made again by their text, and full of what the tests are about."""

from __future__ import annotations

from core import rows, run
from hypothesis import given, settings
from policy_strategies import DRAFTERS
from scenario_strategies import SHARES, TraceRows, fitting
from strategies import Case, cases, draw_case

from wisp_gym import profiles
from wisp_gym.pipeline import DrafterRule, Policy, SchedulerRule

NAMES = {cls.__name__: cls for cls in (Case, DrafterRule, Policy, SchedulerRule, TraceRows)}


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
    assert all(abs(sum(shares) - 1) < 1e-9 for listed in SHARES.values() for shares in listed)


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
