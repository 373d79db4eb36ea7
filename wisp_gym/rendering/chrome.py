"""A simulation as a trace in Chrome's trace event format, which Perfetto (ui.perfetto.dev) opens.

A process per policy; a thread for the GPU and two per device, its own work and its request's way. Spans are
complete events ("X"), times in microseconds of simulated time; queue and KV memory are counters ("C");
evictions are instants ("i"); what may overlap, results under way in centralized serving, are asynchronous
events ("b", "e").
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wisp_gym.pipeline.log import LOG_EVICT
from wisp_gym.pipeline.simulation import Simulation
from wisp_gym.rendering.lanes import choose_devices, device_label
from wisp_gym.rendering.series import kv_steps, queue_steps
from wisp_gym.rendering.spans import GPU, REQUEST, RESULT, WORK, Kind, Span, spans

Event = dict[str, Any]

MOST_DEVICES = 256
"""Devices in a trace at most, spread over the classes; queue, KV memory and GPU are those of all."""

GPU_TID = 1
NAMES: Mapping[Kind, str] = {  # viewers colour by name; idle devices are gaps
    Kind.PREFILL: "prefill",
    Kind.DRAFT: "draft (not verified yet)",
    Kind.USEFUL: "draft",
    Kind.WASTED: "wasted draft",
    Kind.UPLINK: "uplink",
    Kind.QUEUE: "queued",
    Kind.VERIFY: "verify",
    Kind.SHARED: "interference",
    Kind.DOWNLINK: "downlink",
    Kind.PASS: "pass",
    Kind.WAIT: "wait by choice",
}


@dataclass(frozen=True)
class TraceProcess:
    """What one process of a trace shows.

    :param name: as in "wisp, seed 0"
    :param simulation: with its whole log
    """

    name: str
    simulation: Simulation


def microseconds(time_ns: int) -> float:
    """Return a time as the format counts it, exact to the ns."""
    return time_ns / 1000


def device_tid(device: int, track: int) -> int:
    """Return the thread of a device's track: its own work, or its request's way."""
    return 2 * device + (2 if track == WORK else 3)


def trace_bytes(
    processes: Sequence[TraceProcess], window_s: tuple[float, float], compressed: bool = False
) -> bytes:
    """Return the trace file: a JSON object with `traceEvents`.

    :param processes: one per policy
    :param window_s: what is shown, simulated seconds
    :param compressed: gzip it, always to the same bytes
    """
    begin_ns, end_ns = (round(1e9 * second) for second in window_s)
    events = [
        event
        for pid, process in enumerate(processes, start=1)
        for event in _process_events(process, pid, begin_ns, end_ns)
    ]
    told = {"window_s": list(window_s), "processes": [process.name for process in processes]}
    # One event a line: such a file is read by people and line tools too.
    lines = ",\n".join(json.dumps(event, separators=(",", ":"), allow_nan=False) for event in events)
    text = f'{{"displayTimeUnit":"ms","otherData":{json.dumps(told)},"traceEvents":[\n{lines}\n]}}\n'
    content = text.encode()
    return gzip.compress(content, 6, mtime=0) if compressed else content


def _process_events(process: TraceProcess, pid: int, begin_ns: int, end_ns: int) -> Iterator[Event]:
    """Yield the events of one process: names first, then what happened."""
    simulation = process.simulation
    listed = spans(simulation, begin_ns, end_ns)
    seen = {span.lane for span in listed if span.lane != GPU}
    devices = choose_devices(simulation.world, MOST_DEVICES, seen)
    yield from _names(process, pid, devices)
    shown = {GPU, *devices}
    told = (span for span in listed if span.lane in shown and span.kind in NAMES)
    for number, span in enumerate(told):
        yield from _span_events(span, pid, number)
    yield from _counter("queued requests", "requests", pid, *queue_steps(listed), begin_ns, end_ns)
    yield from _counter("KV memory", "tokens", pid, *kv_steps(simulation), begin_ns, end_ns)
    for time_ns, kind, device, session, held, *_ in simulation.events.tolist():
        if kind == LOG_EVICT and begin_ns <= time_ns < end_ns and device in shown:
            place = {"pid": pid, "tid": device_tid(device, REQUEST), "ts": microseconds(time_ns)}
            args = {"session": session, "tokens": held}
            yield {"name": "evicted", "ph": "i", "s": "t", "cat": "evict", **place, "args": args}


def _names(process: TraceProcess, pid: int, devices: Sequence[int]) -> Iterator[Event]:
    """Yield names and order of the process and its threads."""

    def meta(what: str, tid: int, **args: Any) -> Event:
        return {"name": what, "ph": "M", "pid": pid, "tid": tid, "args": args}

    yield meta("process_name", 0, name=process.name)
    yield meta("process_sort_index", 0, sort_index=pid)
    threads = [(GPU_TID, "GPU")]
    drafts = not process.simulation.state.control[0]["server_loop"]
    for device in devices:
        label = device_label(process.simulation.world, device)
        if drafts:
            threads.append((device_tid(device, WORK), f"{label}: drafting"))
        threads.append((device_tid(device, REQUEST), f"{label}: request"))
    for index, (tid, name) in enumerate(threads):
        yield meta("thread_name", tid, name=name)
        yield meta("thread_sort_index", tid, sort_index=index)


def _span_events(span: Span, pid: int, number: int) -> Iterator[Event]:
    """Yield a span as one complete event, or as begin and end where it may overlap its like."""
    tid = GPU_TID if span.lane == GPU else device_tid(span.lane, span.track)
    common = {"name": NAMES[span.kind], "cat": span.kind.name.lower(), "pid": pid, "tid": tid}
    start, args = microseconds(span.start_ns), span_args(span)
    if span.track == RESULT:
        marked = {**common, "id2": {"local": hex(number)}}  # local: a lane of this process
        yield {**marked, "ph": "b", "ts": start, "args": args}
        yield {**marked, "ph": "e", "ts": microseconds(span.end_ns)}
        return
    event = {**common, "ph": "X", "ts": start, "dur": microseconds(span.end_ns - span.start_ns)}
    yield {**event, "args": args} if args else event


def span_args(span: Span) -> dict[str, Any]:
    """Return what is told of a span beside its name and times."""
    due = {} if span.due_ns < 0 else {"next_token_due_ms": span.due_ns / 1e6}
    if span.kind in (Kind.VERIFY, Kind.SHARED):
        part = {"session": span.session, "pass": span.batch, "batch": span.members, "k": span.k}
        if span.accepted >= 0:
            part["accepted"] = span.accepted
        return {**part, "new_tokens": span.new, "cached_tokens": span.cached, **due}
    if span.kind == Kind.PASS:
        part = {"pass": span.batch, "batch": span.members, "new_tokens": span.new}
        return {**part, "cached_tokens": span.cached, "prefill_members": span.heavy}
    if span.kind in (Kind.DRAFT, Kind.USEFUL, Kind.WASTED):
        return {"session": span.session, "tokens": span.k}
    if span.kind in (Kind.PREFILL, Kind.DOWNLINK):
        return {"session": span.session, "tokens": span.new}
    return {"session": span.session, "k": span.k, **due} if span.kind == Kind.QUEUE else {}


def _counter(
    name: str, unit: str, pid: int, times: Any, values: Any, begin_ns: int, end_ns: int
) -> Iterator[Event]:
    """Yield a counter's value at the window's begin and at each change in it."""
    first = int(np.searchsorted(times, begin_ns, side="right"))
    last = int(np.searchsorted(times, end_ns))
    start = int(values[first - 1]) if first else 0
    steps = [(begin_ns, start), *zip(times[first:last].tolist(), values[first:last].tolist(), strict=True)]
    for time_ns, value in steps:
        args = {unit: value}
        yield {"name": name, "ph": "C", "pid": pid, "ts": microseconds(time_ns), "args": args}
