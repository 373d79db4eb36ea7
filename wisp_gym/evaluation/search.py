"""Look for the best constant action: a grid of plain ones first, then one component after the other.

Pure: it asks a function what actions are worth, and knows nothing of worlds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from wisp_gym.envs.action import BUDGETS, CAPS, NAMES, RECALLS, REQUESTS, RULES
from wisp_gym.pipeline.policy import WISP_CAP

Action = tuple[int, ...]
"""Eight integers, as `wisp_gym.envs.action` lists them."""

Worth = tuple[float, float]
"""What an action is compared by: goodput, then (of equals) the worst class's attainment."""

Evaluate = Callable[[Sequence[Action]], Sequence[Worth]]
"""Says what actions are worth. It is asked for several at once, for none twice."""

FIRST_CAP = 4
"""Where the caps begin in an action."""

COMPONENTS = tuple(range(len(NAMES)))
GRID_CAPS = (0, 3, 5, 8)
"""Caps in the grid; climbing tries the others."""

RULE_COMPONENT, STOP_COMPONENT = NAMES.index("rule"), NAMES.index("stop")
ONE_CAP = len(NAMES)
"""A further component: one cap for all classes."""

STOP_OFF, STOP_WISP, ENGINE_LIMIT, NO_BUDGET = (
    RECALLS.index(None),
    RECALLS.index(0.8),
    REQUESTS.index(None),
    BUDGETS.index(None),
)

WORTHWHILE = 1e-4
"""A pass over all components that gains less, in proportion, is the last: worlds differ by more."""


@dataclass(frozen=True)
class Space:
    """Which values differ in a scenario.

    :param max_batch: engine's limit of requests in a pass; a larger limit in an action says nothing
    :param max_new: engine's limit of new tokens in a pass; a larger budget says nothing
    :param classes: SLO classes with devices, 0 to 3; the others' caps say nothing
    """

    max_batch: int
    max_new: int
    classes: tuple[int, ...] = (0, 1, 2, 3)

    def values(self, component: int) -> tuple[int, ...]:
        """Return the values of a component that are worth trying. Waiting is no constant action."""
        if component == 0:
            return tuple(i for i, n in enumerate(REQUESTS) if n is None or 0 < n < self.max_batch)
        if component == 1:
            return tuple(i for i, n in enumerate(BUDGETS) if n is None or n < self.max_new)
        if component == 2:
            return tuple(range(len(RULES)))
        if component == 3:
            return tuple(range(len(RECALLS)))
        return tuple(range(CAPS)) if component == ONE_CAP or component - FIRST_CAP in self.classes else ()

    def moves(self, action: Action, component: int) -> list[Action]:
        """Return the actions that differ from this one in a component only."""
        changed = [with_component(action, component, value) for value in self.values(component)]
        return [other for other in changed if other != action]


def with_component(action: Action, component: int, value: int) -> Action:
    """Return the action with one component, or the caps of all classes, replaced."""
    if component == ONE_CAP:
        action = (*action[:FIRST_CAP], value, value, value, value)
    else:
        action = (*action[:component], value, *action[component + 1 :])
    if not any(action[FIRST_CAP:]):  # nothing is drafted, so nothing is stopped
        action = (*action[:3], STOP_OFF, *action[FIRST_CAP:])
    return action


def plain_action(rule: int, stop: int, cap: int) -> Action:
    """Return the action with the engine's limits and one cap for all classes."""
    return with_component((ENGINE_LIMIT, NO_BUDGET, rule, stop, 0, 0, 0, 0)[:4] + (cap,) * 4, ONE_CAP, cap)


def starts() -> list[Action]:
    """Return where a search begins: WISP's two readings, then every rule with every stop level, one cap."""
    readings = [plain_action(RULES.index(late), STOP_WISP, WISP_CAP) for late in ("urgent", "last")]
    grid = [
        plain_action(rule, stop, cap)
        for rule in range(len(RULES))
        for stop in range(len(RECALLS))
        for cap in GRID_CAPS
    ]
    return list(dict.fromkeys([*readings, *grid]))


@dataclass
class Search:
    """A search under way.

    :param evaluate: says what actions are worth
    :param space: which values differ
    :param budget: most actions to evaluate
    :param known: what every action evaluated so far is worth, in the order of evaluation
    """

    evaluate: Evaluate
    space: Space
    budget: int
    known: dict[Action, Worth] = field(default_factory=dict)

    @property
    def spent(self) -> bool:
        """Whether the budget is spent."""
        return len(self.known) >= self.budget

    def ask(self, actions: Iterable[Action]) -> None:
        """Evaluate those actions that are not known yet, as far as the budget goes."""
        new = [action for action in dict.fromkeys(actions) if action not in self.known]
        new = new[: max(0, self.budget - len(self.known))]
        if new:
            self.known |= zip(new, self.evaluate(new), strict=True)

    def ranked(self) -> list[Action]:
        """Return the actions evaluated so far, the best first; of equals, the one evaluated first."""
        return sorted(self.known, key=self.known.__getitem__, reverse=True)

    def improve(self, action: Action, component: int) -> Action:
        """Return the best of an action and those that differ from it in a component."""
        moves = self.space.moves(action, component)
        self.ask(moves)
        tried = [action, *(move for move in moves if move in self.known)]
        return max(tried, key=self.known.__getitem__)

    def climb(self, action: Action, components: Sequence[int] = (*COMPONENTS, ONE_CAP)) -> Action:
        """Improve component after component, again while a pass gains enough and the budget is not spent.

        :param action: a known one
        :param components: in which order
        """
        while not self.spent:
            before = self.known[action][0]
            for component in components:
                action = self.improve(action, component)
            if not self.known[action][0] > (1 + WORTHWHILE) * before:
                break
        return action

    def run(self) -> list[Action]:
        """Search from the starts, then from the best of them, from the best that has another rule, and from
        the best that has another stop level; return all actions evaluated, the best first."""
        self.ask(starts())
        first = self.ranked()
        self.climb(first[0])
        for component in (RULE_COMPONENT, STOP_COMPONENT):
            others = [action for action in first if action[component] != first[0][component]]
            if others:
                self.climb(others[0])
        return self.ranked()
