"""The scenario on another server: its profile, the pair that fits it and its memory, nothing else."""

from __future__ import annotations

from wisp_gym import profiles
from wisp_gym.scenario import Scenario, load


def on_server(scenario: Scenario, server: str, acceptance: str | None = None) -> Scenario:
    """Return a scenario on another server.

    KV memory is that of the server's profile, whatever the scenario sets for its own.

    :param scenario: the paper's set-up
    :param server: name of its profile
    :param acceptance: name of the pair's profile; None keeps it
    """
    changes = [f"server.profile={server}"]
    if acceptance is not None:
        draft = profiles.acceptance(acceptance).draft
        changes += [f"acceptance.profile={acceptance}", f"fleet.draft={draft}"]
    changes.append("server.kv_tokens=null")
    return load(scenario, changes)


def pass_s(server: str, new_tokens: int = 32) -> float:
    """Return the time of a pass of so many new tokens without attention, s: to guess capacities by."""
    profile = profiles.server(server)
    tokens, seconds = profile.pass_curve()
    nearest = min(range(len(tokens)), key=lambda at: (abs(int(tokens[at]) - new_tokens), at))
    return float(seconds[nearest])
