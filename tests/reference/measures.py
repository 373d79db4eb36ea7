"""Outcomes and metrics, read off the reference's own sessions, passes and books (docs/metrics.md)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from reference.books import BIN_NS, Books
from reference.parts import Session

if TYPE_CHECKING:
    from reference.simulator import Simulator

NAN = float("nan")
STALL_NS = 30_000_000_000


def ratio(above: float, below: float) -> float:
    return above / below if below else NAN


def mean(values: list[float]) -> float:
    there = [v for v in values if not math.isnan(v)]
    return ratio(sum(there), len(there))


def percentile(values: list[int], q: float) -> float:
    """Linear between the values around the place, as is usual."""
    if not values:
        return NAN
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def bin_quantile(counts: dict[int, int], q: float) -> float:
    """The middle of the first bin with which a share of the values is reached, s."""
    reached, total = 0, sum(counts.values())
    for at in sorted(counts):
        reached += counts[at]
        if counts[at] and reached >= q * total:
            return (at + 0.5) * BIN_NS * 1e-9
    return NAN


class Measures:
    """What came out between two times. `before` and `after` are the books there."""

    def __init__(self, sim: Simulator, before: Books, after: Books) -> None:
        self.sim, self.before, self.after = sim, before, after
        self.begin_ns, self.end_ns = min(sim.world.warmup_ns, sim.world.horizon_ns), sim.world.horizon_ns
        self.seconds = 1e-9 * (self.end_ns - self.begin_ns)
        self.started = [s for s in sim.sessions if s.started]
        self.counts = self._counts()

    def _counts(self) -> dict[str, list[Any]]:
        """Sums over the window by class; tokens that fell due are counted one by one."""
        counts = {
            name: [a - b for a, b in zip(values, self.before.by_class[name], strict=True)]
            for name, values in self.after.by_class.items()
        }
        return counts | self.fallen_due(self.begin_ns)

    def fallen_due(self, since_ns: int) -> dict[str, list[int]]:
        """Tokens that fell due from a time on, by class, and those of them that were there by then."""
        due, good = [0] * 4, [0] * 4
        for session in self.started:
            for due_ns, on_time in self.due(session, self.end_ns):
                if due_ns >= since_ns:
                    due[session.group] += 1
                    good[session.group] += on_time
        return {"due": due, "due_on_time": good}

    def due(self, session: Session, until_ns: int) -> list[tuple[int, bool]]:
        """The tokens due before a time: when, and whether they were there by then."""
        found = []
        for j in range(session.length):
            due_ns = self.sim.due_ns(session, j + 1)
            if due_ns >= until_ns:
                break
            there = j < len(session.delivered_at) and session.delivered_at[j] <= due_ns
            found.append((due_ns, there))
        return found

    def finished(self, session: Session) -> bool:
        return len(session.delivered_at) == session.length

    def on_time(self, session: Session) -> bool:
        """Of a finished session all tokens count, of another those due so far."""
        share = self.sim.groups[session.group]["on_time_share"]
        if self.finished(session):
            good = sum(t <= self.sim.due_ns(session, j + 1) for j, t in enumerate(session.delivered_at))
            return bool(good >= share * session.length)
        due = self.due(session, self.end_ns)
        return bool(sum(good for _, good in due) >= share * len(due))

    def outcome(self, session: Session) -> dict[str, int]:
        """As `wisp_gym.pipeline.state.OUTCOME`."""
        if not session.started:
            return {
                "start_ns": -1,
                "first_ns": -1,
                "last_ns": -1,
                "delivered": 0,
                "settled": 0,
                "on_time": 0,
                "finished": 0,
            }
        times, due = session.delivered_at, self.due(session, self.end_ns)
        return {
            "start_ns": session.start_ns,
            "first_ns": times[0] if times else -1,
            "last_ns": times[-1] if times else -1,
            "delivered": len(times),
            "settled": len(due),
            "on_time": sum(good for _, good in due),
            "finished": int(self.finished(session)),
        }

    # --- metrics

    def all(self) -> dict[str, float]:
        c = {name: sum(values) for name, values in self.counts.items()}
        result = self._tokens(c) | self._sessions() | self._losses(c) | self._latency(c) | self._server(c)
        result |= self._by_class()
        result |= {
            "devices": float(len(self.sim.devices)),
            "refused": float(self.sim.world.refused),
            "window_s": self.seconds,
        }
        return result

    def _tokens(self, c: dict[str, float]) -> dict[str, float]:
        return {
            "goodput_tps": c["due_on_time"] / self.seconds,
            "demand_tps": c["due"] / self.seconds,
            "delivered_goodput_tps": c.get("delivered_on_time", 0) / self.seconds,
            "throughput_tps": c.get("committed", 0) / self.seconds,
            "acceptance_rate": ratio(c.get("accepted", 0), c.get("verified", 0)),
            "draft_length": ratio(c.get("verified", 0), c.get("rounds", 0)),
            "tokens_per_round": ratio(c.get("committed", 0), c.get("rounds", 0)),
            "rounds": float(c.get("rounds", 0)),
        }

    def _sessions(self) -> dict[str, float]:
        begin, end = self.begin_ns, self.end_ns
        seen = []
        for s in self.started:
            over = s.delivered_at[-1] if self.finished(s) else end
            if s.start_ns < end and over > begin:
                seen.append((s, min(over, end) - max(s.start_ns, begin)))
        attained = self._attainment(seen)
        classes = [
            mean([a for a, d in zip(attained, self.sim.devices, strict=True) if d.group == g])
            for g in range(4)
        ]
        there = [a for a in attained if not math.isnan(a)]
        stalls = self._stalls()
        first_ns = [
            s.delivered_at[0] - s.start_ns if s.delivered_at else end - s.start_ns
            for s, _ in seen
            if not s.delivered_at or s.delivered_at[0] >= begin
        ]
        result = {
            "attainment": mean(attained),
            "attainment_worst": min((a for a in classes if not math.isnan(a)), default=NAN),
            "sessions": float(len(seen)),
            "sessions_finished": float(sum(self.finished(s) for s, _ in seen)),
            "sessions_on_time_share": ratio(sum(self.on_time(s) for s, _ in seen), len(seen)),
            "sessions_last_token_share": ratio(sum(self._last_on_time(s) for s, _ in seen), len(seen)),
            "longest_stall_s": 1e-9 * max(stalls, default=0),
            "stalled_30s_share": sum(x >= STALL_NS for x in stalls) / max(1, len(stalls)),
            "jain_fairness": ratio(sum(there) ** 2, len(there) * sum(a * a for a in there)),
            "ttft_p50_s": 1e-9 * percentile(first_ns, 0.5),
            "ttft_p95_s": 1e-9 * percentile(first_ns, 0.95),
            "waiting_share": ratio(sum(not s.delivered_at for s, _ in seen), len(seen)),
        }
        return result | {f"attainment_class_{g + 1}": a for g, a in enumerate(classes)}

    def _attainment(self, seen: list[tuple[Session, int]]) -> list[float]:
        result = []
        for device in self.sim.devices:
            mine = [(s, t) for s, t in seen if s.device == device.index]
            result.append(ratio(sum(t for s, t in mine if self.on_time(s)), sum(t for _, t in mine)))
        return result

    def _last_on_time(self, s: Session) -> bool:
        """Of an unfinished session: its last token may still be."""
        last_ns = s.delivered_at[-1] if self.finished(s) else self.end_ns
        return last_ns <= self.sim.due_ns(s, s.length)

    def _stalls(self) -> list[int]:
        """The longest stall of each device, what lasts still included."""
        stalls = []
        for device in self.sim.devices:
            lasting = 0
            if device.session is not None:
                lasting = max(0, self.end_ns - device.session.delivery_ns)
            stalls.append(max(device.longest_stall_ns, lasting))
        return stalls

    def _losses(self, c: dict[str, float]) -> dict[str, float]:
        result = {}
        for name, field, over in (
            ("wdt", "waste_ns", "draft_ns"),
            ("vi_raw", "vi_raw_ns", "verify_ns"),
            ("vi_mix", "vi_mix_ns", "verify_ns"),
            ("vi_queue", "vi_queue_ns", "queue_ns"),
        ):
            result[f"{name}_s"] = 1e-9 * c.get(field, 0)
            result[f"{name}_per_token_s"] = ratio(1e-9 * c.get(field, 0), c.get("committed", 0))
            result[f"{name}_share"] = ratio(c.get(field, 0), c.get(over, 0))
        return result

    def _latency(self, c: dict[str, float]) -> dict[str, float]:
        gaps = self._window(self.before.gaps, self.after.gaps)
        waits = self._window(self.before.waits, self.after.waits)
        result = {f"tbt_p{q}_s": bin_quantile(gaps, q / 100) for q in (50, 95, 99)}
        result["queue_wait_mean_s"] = 1e-9 * ratio(c.get("queue_ns", 0), c.get("requests", 0))
        result["queue_wait_p95_s"] = bin_quantile(waits, 0.95)
        for part in ("draft", "network", "queue", "verify"):
            result[f"{part}_per_token_s"] = 1e-9 * ratio(c.get(f"{part}_ns", 0), c.get("committed", 0))
        return result

    def _window(self, before: list[Any], after: list[Any]) -> dict[int, int]:
        total: dict[int, int] = {}
        for b, a in zip(before, after, strict=True):
            for at, count in a.items():
                total[at] = total.get(at, 0) + count - b[at]
        return total

    def _server(self, c: dict[str, float]) -> dict[str, float]:
        s = {name: value - self.before.server[name] for name, value in self.after.server.items()}
        busy = sum(
            max(0, min(end, self.end_ns) - max(start, self.begin_ns))
            for start, end in self.sim.server.history
        )
        capacity = self.sim.server.kv_tokens * (self.end_ns - self.begin_ns)
        return {
            "dispatches": float(s.get("passes", 0)),
            "batch_size_mean": ratio(s.get("members", 0), s.get("passes", 0)),
            "new_tokens_mean": ratio(s.get("new_tokens", 0), s.get("passes", 0)),
            "gpu_busy_share": busy / (self.end_ns - self.begin_ns),
            "cold_share": ratio(c.get("cold", 0), c.get("requests", 0)),
            "evictions": float(s.get("evictions", 0)),
            "kv_use_share": s.get("kv_ns", 0) / capacity,
            "energy_per_token_j": ratio(c.get("energy_j", 0), c.get("committed", 0)),
            "bytes_per_token": ratio(c.get("bytes", 0), c.get("committed", 0)),
        }

    def _by_class(self) -> dict[str, float]:
        result = {}
        for g in range(4):
            c = {name: values[g] for name, values in self.counts.items()}
            present = self.sim.groups[g]["devices"] > 0
            result[f"goodput_class_{g + 1}"] = c["due_on_time"] / self.seconds if present else NAN
            result[f"throughput_class_{g + 1}"] = c.get("committed", 0) / self.seconds if present else NAN
            result[f"acceptance_class_{g + 1}"] = ratio(c.get("accepted", 0), c.get("verified", 0))
            result[f"wdt_share_class_{g + 1}"] = ratio(c.get("waste_ns", 0), c.get("draft_ns", 0))
        return result
