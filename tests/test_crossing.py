"""Where a curve first crosses the tolerance: on curves made by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from wisp_gym.evaluation.crossing import (
    BEYOND,
    Crossing,
    bootstrap,
    driven,
    find,
    interpolated,
    next_size,
    scanned_sizes,
    search_near,
)


def step_at(last: int) -> Callable[[int], float]:
    """Return a curve that holds up to a size and violates beyond."""
    return lambda size: 0.0 if size <= last else 0.5


@pytest.mark.parametrize("last", [0, 1, 2, 3, 4, 5, 17, 40, 41, 163, 164, 1000])
def test_a_step_is_found_to_one_device(last: int) -> None:
    found = find(step_at(last), 4096)
    assert (found.capacity, found.crossed, found.held_again) == (last, True, ())
    assert found.scanned_to >= BEYOND * max(last, 4)


@pytest.mark.parametrize("last", [0, 1, 3, 40, 164, 1000])
@pytest.mark.parametrize("guess", [1, 30, 164, 5000])
def test_from_any_guess_a_step_is_found_near_enough(last: int, guess: int) -> None:
    asked: set[int] = set()

    def curve(size: int) -> float:
        asked.add(size)
        return step_at(last)(size)

    found = driven(search_near(guess, 4096, beyond=(1.0, 1.2)), curve)
    assert found.crossed
    assert 0.98 * last <= found.capacity <= last
    assert {max(1, found.capacity), max(1, round(1.2 * found.capacity))} <= asked
    assert found.scanned_to == max(asked)
    assert len(asked) < 45


def test_a_curve_that_never_crosses_is_said_not_to() -> None:
    assert driven(search_near(10, 100), lambda _: 0.0) == Crossing(100, False, (), 100)


def test_exactly_the_tolerance_is_held() -> None:
    assert find(lambda size: 0.05 if size <= 30 else 0.0501, 4096).capacity == 30


def test_steps_are_five_per_cent_and_at_least_one_device() -> None:
    sizes = scanned_sizes(4, 1000)
    assert sizes[:8] == [4, 5, 6, 7, 8, 9, 10, 11]
    steps = np.diff(sizes)
    assert steps.min() == 1
    large = np.array(sizes[:-1]) >= 40
    assert np.all(np.abs(steps[large] / np.array(sizes[:-1])[large] - 0.05) < 0.0126)
    assert next_size(100) == 105


def test_the_first_crossing_counts_and_later_ones_are_reported() -> None:
    def curve(size: int) -> float:
        return 0.2 if 20 <= size < 24 or size >= 27 else 0.0

    found = find(curve, 4096)
    assert found.capacity == 19
    (again,) = found.held_again
    assert 24 <= again[0] <= again[1] <= 26


def test_two_later_stretches_are_told_apart() -> None:
    found = find(lambda size: 0.2 if size in (20, 22, 24) or size > 25 else 0.0, 4096)
    assert found.capacity == 19
    assert found.held_again == ((21, 21), (23, 23), (25, 25))


def test_a_curve_that_never_crosses_gives_a_bound() -> None:
    assert find(lambda size: 0.01, 50) == Crossing(50, False, (), 50)
    assert find(lambda size: 0.01, 2) == Crossing(2, False, (), 2)


def test_nothing_is_asked_far_beyond_and_no_size_twice() -> None:
    asked: list[int] = []

    def curve(size: int) -> float:
        asked.append(size)
        return 0.0 if size <= 100 else 0.9

    find(curve, 4096)
    assert len(asked) == len(set(asked))
    assert max(asked) <= 105 * BEYOND * 1.06


def test_a_crossing_is_read_off_straight_lines() -> None:
    assert interpolated([10, 20, 30], np.array([0.0, 0.04, 0.06])) == pytest.approx(25)
    assert interpolated([10, 20], np.array([0.0, 0.01])) == 20
    assert interpolated([10, 20], np.array([0.1, 0.5])) == pytest.approx(5)


def test_bootstrap_of_equal_worlds_has_no_width() -> None:
    sizes = list(range(1, 41))
    one = np.array([[1.0 - step_at(25)(size), math.nan] for size in sizes])
    assert bootstrap(sizes, np.stack([one] * 4), 200) == (25.0, 25.0)


def test_bootstrap_covers_what_worlds_say_and_repeats_itself() -> None:
    sizes = list(range(1, 61))
    lasts = (20, 24, 28, 32, 36)
    worlds = np.array([[[1.0 - step_at(last)(size)] for size in sizes] for last in lasts])
    low, high = bootstrap(sizes, worlds)
    # The mean violates as soon as one world in five does: the earliest world among those drawn decides.
    assert low == 20
    assert 24 <= high <= 32
    assert bootstrap(sizes, worlds) == (low, high)


def test_bootstrap_takes_the_worst_class_of_each_resample() -> None:
    sizes = list(range(1, 31))
    classes = np.array([[1.0 - step_at(20)(size), 1.0 - step_at(12)(size)] for size in sizes])
    assert bootstrap(sizes, np.stack([classes] * 3), 50) == (12.0, 12.0)


def test_one_world_has_no_interval() -> None:
    low, high = bootstrap([1, 2], np.ones((1, 2, 1)))
    assert math.isnan(low)
    assert math.isnan(high)
