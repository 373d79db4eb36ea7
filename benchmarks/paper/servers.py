"""The scenario on another server: its profile, the pair that fits it and its memory, nothing else."""

from __future__ import annotations

from wisp_gym import profiles
from wisp_gym.scenario import Scenario, load


def on_server(scenario: Scenario, server: str, acceptance: str | None = None) -> Scenario:
    """Return a scenario on another server.

    Where the scenario sets the KV memory itself, the other server's is changed by the same factor against its
    own profile: what was calibrated is carried over, not the number of tokens.

    :param scenario: the paper's set-up
    :param server: name of its profile
    :param acceptance: name of the pair's profile; None keeps it
    """
    changes = [f"server.profile={server}"]
    if acceptance is not None:
        draft = profiles.acceptance(acceptance).draft
        changes += [f"acceptance.profile={acceptance}", f"fleet.draft={draft}"]
    if scenario.server.kv_tokens is not None:
        share = scenario.kv_tokens / scenario.profiles.server.kv_tokens
        changes.append(f"server.kv_tokens={round(share * profiles.server(server).kv_tokens)}")
    return load(scenario, changes)


def pass_s(server: str, new_tokens: int = 32) -> float:
    """Return the time of a pass of so many new tokens without attention, s: to guess capacities by."""
    profile = profiles.server(server)
    tokens, seconds = profile.pass_curve()
    nearest = min(range(len(tokens)), key=lambda at: (abs(int(tokens[at]) - new_tokens), at))
    return float(seconds[nearest])
