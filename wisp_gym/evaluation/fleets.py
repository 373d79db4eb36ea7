"""The fleets whose size is varied: one class alone, or the scenario's mix of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wisp_gym.errors import InputError
from wisp_gym.scenario import Scenario, load

MIX = "mix"
EACH = "each"


@dataclass(frozen=True)
class FleetKind:
    """Fleets of one composition and any size.

    :param name: "mix", or the class's rate as in "8 tok/s"
    :param scenario: with the composition's class shares; its size is of no meaning
    """

    name: str
    scenario: Scenario

    def at(self, devices: int) -> Scenario:
        """Return the scenario with this many devices."""
        return at_load(self.scenario, devices)


def at_load(scenario: Scenario, devices: int) -> Scenario:
    """Return a scenario with a fleet of this size in every world: the one place that knows how a load is set.

    :param scenario: a closed loop
    :param devices: 1 or more
    """
    return load(scenario, [f"fleet.devices={devices}", "ranges.devices=null"])


def fleet_kinds(
    scenario: Scenario, words: Sequence[str] = (EACH, MIX), option: str = "--class"
) -> list[FleetKind]:
    """Return the fleets that some words name, each once, in the words' order.

    :param scenario: whose classes are meant
    :param words: "mix", "each" (every class with a share) or a class's rate in tok/s;
        of a scenario with one class, "mix" and "each" together are that class
    :raises InputError: an open loop, whose load is its arrivals, or a class that the scenario does not have
    """
    if scenario.workload.kind != "closed":
        raise InputError(
            f"scenario {scenario.name}: workload.kind = {scenario.workload.kind}: its load is its arrivals; "
            "a capacity or a sweep of loads needs workload.kind=closed"
        )
    rates, shares = scenario.classes.rates_tps, scenario.classes.shares
    there = [rate for rate, share in zip(rates, shares, strict=True) if share > 0]
    names: list[str] = []
    for word in words:
        if word == EACH:
            names += [class_name(rate) for rate in there]
        elif word == MIX:
            names.append(MIX if len(there) > 1 else class_name(there[0]))
        else:
            names.append(class_name(_rate(word, rates)))
    return [_kind(scenario, name) for name in dict.fromkeys(names)]


def class_name(rate_tps: float) -> str:
    """Return the name of the fleets of one class."""
    return f"{rate_tps:g} tok/s"


def _rate(word: str, rates_tps: Sequence[float]) -> float:
    """Return the class's rate that a word means."""
    try:
        rate = float(word)
    except ValueError:
        rate = float("nan")
    if rate not in rates_tps:
        known = ", ".join(f"{rate:g}" for rate in rates_tps)
        raise InputError(f"--class {word!r}: must be mix, each, or the rate of a class in tok/s: {known}")
    return rate


def _kind(scenario: Scenario, name: str) -> FleetKind:
    """Return the fleets of one name."""
    if name == MIX:
        return FleetKind(name, scenario)
    shares = [int(class_name(rate) == name) for rate in scenario.classes.rates_tps]
    return FleetKind(name, load(scenario, [f"classes.shares={shares}", "ranges.class_weights=null"]))
