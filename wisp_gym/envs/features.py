"""The observation's entries: one list of names, units and ranges, from which space, documentation and
tests are made."""

from __future__ import annotations

from dataclasses import dataclass

from wisp_gym.envs.action import NAMES, SIZES
from wisp_gym.world.types import GROUPS


@dataclass(frozen=True)
class Entry:
    """One number of the observation.

    :param name: unique; :param meaning: one sentence; :param unit: of the number as given
    :param low: least value; :param high: greatest
    """

    name: str
    meaning: str
    unit: str
    low: float
    high: float


GROUP_ENTRIES: tuple[tuple[str, str, str, float, float], ...] = (
    ("devices", "devices of the class over all devices", "share", 0, 1),
    ("rate", "the class's token rate over 10 tok/s, at most 2", "rate / 10", 0, 2),
    ("active", "devices with a session the server knows of", "share of the class", 0, 1),
    ("queued", "devices whose request waits", "share of the class", 0, 1),
    ("away", "devices with a result sent and no new request yet", "share of the class", 0, 1),
    ("cold", "waiting requests with nothing cached", "share of its queue", 0, 1),
    ("late", "waiting requests that are late", "share of its queue", 0, 1),
    ("drafted", "mean draft length waiting, over 8, at most 4", "tokens / 8", 0, 4),
    ("slack_mean", "mean of deadline - estimated own pass - now over its queue", "tanh(s)", -1, 1),
    ("slack_least", "least of the same", "tanh(s)", -1, 1),
    ("lead_mean", "mean time until the next token of its active sessions is due", "tanh(s)", -1, 1),
    ("behind", "active sessions whose next token is overdue", "share of active", 0, 1),
    ("cap", "mean draft cap in force away, over 8, at most 4", "tokens / 8", 0, 4),
    ("acceptance", "accepted over verified tokens, recent (10 s)", "share", 0, 1),
    ("on_time", "committed tokens expected to arrive on time, recent (10 s)", "share", 0, 1),
    ("throughput", "committed tokens over the class's demand, recent (10 s), at most 2", "ratio", 0, 2),
    ("report_age", "time since a request of the class last arrived", "tanh(s)", 0, 1),
)

SERVER_ENTRIES: tuple[tuple[str, str, str, float, float], ...] = (
    ("waiting", "waiting requests w as w / (w + engine's limit)", "squashed count", 0, 1),
    ("new_tokens", "new tokens waiting t as t / (t + 256)", "squashed count", 0, 1),
    (
        "away",
        "devices with a result sent and no new request yet, as n / (n + engine's limit)",
        "squashed count",
        0,
        1,
    ),
    ("kv_used", "KV memory in use", "share", 0, 1),
    ("waited", "how long the scheduler has waited by choice, over 50 ms, at most 2", "50 ms", 0, 2),
    ("last_size", "requests of the last pass over the engine's limit", "share", 0, 1),
    ("last_pass", "time of the last pass, over 0.1 s, at most 4", "0.1 s", 0, 4),
    ("busy", "share of time the GPU was busy, recent (10 s)", "share", 0, 1),
    ("limit", "the engine's limit b as b / (b + 16)", "squashed count", 0, 1),
    ("pass_floor", "time of the smallest pass, over 0.1 s, at most 4", "0.1 s", 0, 4),
    ("load", "the fleet's demand over 1,000 tok/s, at most 4", "1,000 tok/s", 0, 4),
    ("fleet", "devices n as n / (n + 64)", "squashed count", 0, 1),
)


def entries() -> list[Entry]:
    """Return all entries in order: four classes, the server, the last action."""
    result = [
        Entry(f"class_{g + 1}.{name}", f"class {g + 1}: {meaning}", unit, low, high)
        for g in range(GROUPS)
        for name, meaning, unit, low, high in GROUP_ENTRIES
    ]
    result += [
        Entry(f"server.{name}", meaning, unit, low, high) for name, meaning, unit, low, high in SERVER_ENTRIES
    ]
    result += [
        Entry(f"last.{name}", f"{name} of the last action over {size - 1}", "share", 0, 1)
        for name, size in zip(NAMES, SIZES, strict=True)
    ]
    return result


GROUP_SIZE = len(GROUP_ENTRIES)
SERVER_AT = GROUPS * GROUP_SIZE
ACTION_AT = SERVER_AT + len(SERVER_ENTRIES)
SIZE = ACTION_AT + len(SIZES)
"""Length of the observation, the same for every scenario and number of devices."""
