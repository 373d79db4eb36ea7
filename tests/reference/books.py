"""Running sums by SLO class and over the server, and what is read off the sessions at any time."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

BIN_NS = 1_000_000
BINS = 20_000


@dataclass
class Books:
    """Sums since time zero. `by_class[field][group]`, `server[field]`, and values counted in bins of 1 ms."""

    by_class: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(lambda: [0] * 4))
    server: dict[str, Any] = field(default_factory=lambda: defaultdict(int))
    gaps: list[Counter[int]] = field(default_factory=lambda: [Counter() for _ in range(4)])
    waits: list[Counter[int]] = field(default_factory=lambda: [Counter() for _ in range(4)])
    kv_used: int = 0
    kv_since_ns: int = 0

    def add(self, group: int, **amounts: float) -> None:
        for name, amount in amounts.items():
            self.by_class[name][group] += amount

    def hold(self, tokens: int, now_ns: int) -> None:
        """KV memory in use changes by so many tokens."""
        self.settle_memory(now_ns)
        self.kv_used += tokens

    def settle_memory(self, now_ns: int) -> None:
        self.server["kv_ns"] += self.kv_used * (now_ns - self.kv_since_ns)
        self.kv_since_ns = now_ns

    def count_gap(self, group: int, gap_ns: int, tokens: int) -> None:
        self.gaps[group][min(gap_ns // tokens // BIN_NS, BINS - 1)] += tokens

    def count_wait(self, group: int, wait_ns: int) -> None:
        self.waits[group][min(wait_ns // BIN_NS, BINS - 1)] += 1

    def copy(self) -> Books:
        twin = Books(kv_used=self.kv_used, kv_since_ns=self.kv_since_ns)
        for name, values in self.by_class.items():
            twin.by_class[name] = list(values)
        twin.server.update(self.server)
        twin.gaps = [Counter(c) for c in self.gaps]
        twin.waits = [Counter(c) for c in self.waits]
        return twin
