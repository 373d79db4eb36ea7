"""One picture of the last seconds: lanes of devices and GPU, the queue, and who keeps up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wisp_gym.pipeline.log import recent_rows
from wisp_gym.pipeline.simulation import Simulation
from wisp_gym.rendering import palette
from wisp_gym.rendering.lanes import choose_devices
from wisp_gym.rendering.series import keeping_up, queue_steps
from wisp_gym.rendering.spans import GPU, REQUEST, RESULT, WORK, Kind, Span, spans
from wisp_gym.world.types import GROUPS

if TYPE_CHECKING:
    from PIL.Image import Image

WINDOW_S = 4.0
"""Seconds that a frame shows."""

LANES = 16
"""Devices that a frame shows at most."""

LOG_S = 3 * WINDOW_S
"""Seconds of log that a frame needs, with what was under way when they began."""

WIDTH, LEFT, RIGHT = 1200, 118, 14
TOP, LANE_H, GPU_H, STRIP_H, GAP, AXIS_H, LEGEND_H = 30, 24, 46, 58, 10, 22, 46
GRID_POINTS = 160


@dataclass(frozen=True)
class Scale:
    """From simulated time to pixels."""

    begin_ns: int
    end_ns: int

    def x(self, time_ns: int) -> int:
        """Return the column of a time."""
        share = (time_ns - self.begin_ns) / (self.end_ns - self.begin_ns)
        return LEFT + round(share * (WIDTH - LEFT - RIGHT))


@cache
def font(size: int) -> Any:
    """Return Pillow's own scalable font."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


@cache
def hatch(kind: Kind, height: int) -> Image:
    """Return a hatched stripe as wide as a frame, to cut spans from."""
    from PIL import Image, ImageDraw

    stripe = Image.new("RGB", (WIDTH, height), palette.KINDS[kind])
    draw = ImageDraw.Draw(stripe)
    for x in range(-height, WIDTH, 6):
        draw.line([(x, height), (x + height, 0)], fill=palette.HATCHED[kind])
    return stripe


class Canvas:
    """An image, and where its next part goes."""

    def __init__(self, scale: Scale, height: int) -> None:
        from PIL import Image, ImageDraw

        self.scale = scale
        self.image: Image.Image = Image.new("RGB", (WIDTH, height), palette.BACKGROUND)
        self.draw: ImageDraw.ImageDraw = ImageDraw.Draw(self.image)

    def text(
        self, x: float, y: float, words: str, size: int = 12, fill: Any = palette.INK, anchor: str = "lm"
    ) -> None:
        """Write words at a point."""
        self.draw.text((x, y), words, fill=fill, font=font(size), anchor=anchor)

    def lane(self, y: int, height: int) -> None:
        """Lay a lane's ground."""
        self.draw.rectangle([LEFT, y, WIDTH - RIGHT, y + height - 1], fill=palette.LANE)

    def span(self, span: Span, y: int, height: int) -> None:
        """Draw a span; one shorter than a pixel still gets one."""
        x0, x1 = self.scale.x(span.start_ns), self.scale.x(span.end_ns)
        x1 = max(x1 - 1, x0)
        if span.kind in palette.HATCHED:
            self.image.paste(hatch(span.kind, height).crop((x0, 0, x1 + 1, height)), (x0, y))
        else:
            self.draw.rectangle([x0, y, x1, y + height - 1], fill=palette.KINDS[span.kind])


def frame(simulation: Simulation, window_s: float = WINDOW_S, title: str = "") -> npt.NDArray[np.uint8]:
    """Return a picture of a simulation's last seconds.

    :param simulation: with its log on
    :param window_s: how many of them, s
    :param title: words before the time
    :return: RGB  # (height, 1200, 3)
    :raises RuntimeError: no log was written
    """
    end_ns = max(simulation.now_ns, 1)
    begin_ns = end_ns - round(1e9 * window_s)
    listed = spans(simulation, max(begin_ns, 0), end_ns)
    seen = {span.lane for span in listed if span.lane != GPU}
    devices = choose_devices(simulation.world, LANES, seen)
    lanes_h = min(LANES, simulation.world.devices) * LANE_H  # also where fewer requests are under way
    height = TOP + lanes_h + GPU_H + 2 * STRIP_H + 4 * GAP + AXIS_H + LEGEND_H
    canvas = Canvas(Scale(begin_ns, end_ns), height)
    heading = f"{simulation.world.devices} devices, t = {end_ns * 1e-9:.2f} s"
    canvas.text(10, TOP / 2, f"{title}, {heading}" if title else heading, 15)
    _draw_devices(canvas, simulation, listed, devices, TOP)
    y = TOP + lanes_h + GAP
    y = _draw_gpu(canvas, [span for span in listed if span.lane == GPU], y) + GAP
    y = _draw_queue(canvas, simulation, listed, y) + GAP
    y = _draw_keeping_up(canvas, simulation, y)
    y = _draw_axis(canvas, y)
    _draw_legend(canvas, y)
    return np.asarray(canvas.image, np.uint8).copy()


def _draw_devices(
    canvas: Canvas, simulation: Simulation, listed: Sequence[Span], devices: Sequence[int], y: int
) -> None:
    """One lane per device. What goes on beside the request's way (prefill; drafting ahead; results of
    centralized serving) is a thin line at its edge."""
    arrays = simulation.world.arrays
    ahead = simulation.state.control[0]["ahead"] == 1
    lanes: dict[int, list[Span]] = {device: [] for device in devices}
    for span in listed:
        if span.lane in lanes:
            lanes[span.lane].append(span)
    for device, mine in lanes.items():
        canvas.lane(y, LANE_H - 3)
        g = int(arrays.devices[device]["group"])
        label = f"{device} · {arrays.groups[g]['rate_tps']:g} tok/s"
        canvas.text(LEFT - 8, y + LANE_H / 2 - 1, label, 12, palette.CLASSES[g], "rm")
        if ahead:  # drafts below the request's way; their line at the edge, below, is over it
            for span in mine:
                if span.track == WORK and span.kind != Kind.PREFILL:
                    canvas.span(span, y, LANE_H - 3)
        for span in sorted(mine, key=lambda span: span.track != REQUEST):  # the request's way below the rest
            if span.track == RESULT or (span.track == WORK and (ahead or span.kind == Kind.PREFILL)):
                canvas.span(span, y + (0 if span.track == WORK else LANE_H - 8), 5)
            else:
                canvas.span(span, y, LANE_H - 3)
        y += LANE_H


def _draw_gpu(canvas: Canvas, mine: Sequence[Span], y: int) -> int:
    """The GPU's lane: a box per pass with its members' number; its lower part, in the colour of prefill, is
    the share of new tokens that prefill."""
    canvas.lane(y, GPU_H)
    canvas.text(LEFT - 8, y + GPU_H / 2, "GPU", 13, palette.INK, "rm")
    for span in mine:
        canvas.span(span, y, GPU_H)
        if span.kind != Kind.PASS:
            continue
        x0, x1 = canvas.scale.x(span.start_ns), canvas.scale.x(span.end_ns)
        filled = round(GPU_H * span.heavy_new / span.new) if span.new else 0
        if filled:
            fill = palette.KINDS[Kind.PREFILL]
            canvas.draw.rectangle([x0, y + GPU_H - filled, max(x1 - 1, x0), y + GPU_H - 1], fill=fill)
        canvas.draw.line([(x0, y), (x0, y + GPU_H - 1)], fill=palette.BACKGROUND)
        size = 13 if x1 - x0 >= 20 else 10
        if x1 - x0 >= 12:
            canvas.text((x0 + x1) / 2, y + 13, str(span.members), size, palette.BACKGROUND, "mm")
        if x1 - x0 >= 34:
            canvas.text((x0 + x1) / 2, y + 32, f"{span.new} t", 11, palette.BACKGROUND, "mm")
    return y + GPU_H


def _draw_queue(canvas: Canvas, simulation: Simulation, listed: Sequence[Span], y: int) -> int:
    """Requests waiting, as steps."""
    canvas.lane(y, STRIP_H)
    times, counts = queue_steps(listed)
    limit = int(simulation.world.arrays.server[0]["max_batch"])
    top = max(limit, int(counts.max()) if len(counts) else 1)
    bounds = [*times.tolist(), canvas.scale.end_ns]
    for count, since_ns, until_ns in zip(counts.tolist(), bounds, bounds[1:], strict=False):
        if count:
            high = round((STRIP_H - 2) * count / top)
            box = [canvas.scale.x(since_ns), y + STRIP_H - high, canvas.scale.x(until_ns), y + STRIP_H - 1]
            canvas.draw.rectangle(box, fill=palette.KINDS[Kind.QUEUE])
    _strip_label(canvas, "queue", f"0 to {top}", y)
    at = y + STRIP_H - round((STRIP_H - 2) * limit / top)
    canvas.draw.line([(LEFT, at), (WIDTH - RIGHT, at)], fill=palette.FAINT)
    canvas.text(WIDTH - RIGHT - 4, at + 9, f"engine's limit {limit}", 11, palette.FAINT, "rm")
    return y + STRIP_H


def _draw_keeping_up(canvas: Canvas, simulation: Simulation, y: int) -> int:
    """The share of each class's sessions that are not behind, as lines."""
    canvas.lane(y, STRIP_H)
    times = np.linspace(max(canvas.scale.begin_ns, 0), canvas.scale.end_ns, GRID_POINTS).astype(np.int64)
    rows = recent_rows(simulation.events, int(times[0]))
    shares = keeping_up(rows, simulation.world, times)
    columns = [canvas.scale.x(int(time)) for time in times]
    for g in range(GROUPS):
        points = [
            (x, y + STRIP_H - 5 - round((STRIP_H - 12) * float(share)) - g)  # a pixel apart, to see all
            for x, share in zip(columns, shares[g], strict=True)
            if not np.isnan(share)
        ]
        if len(points) > 1:
            canvas.draw.line(points, fill=palette.CLASSES[g], width=2)
    _strip_label(canvas, "on time", "0 to 100 %", y)
    return y + STRIP_H


def _strip_label(canvas: Canvas, name: str, span: str, y: int) -> None:
    canvas.text(LEFT - 8, y + STRIP_H / 2 - 8, name, 13, palette.INK, "rm")
    canvas.text(LEFT - 8, y + STRIP_H / 2 + 9, span, 11, palette.FAINT, "rm")


def _draw_axis(canvas: Canvas, y: int) -> int:
    """Ticks at round times: every half second of the default window."""
    scale = canvas.scale
    step_ns = 10 ** max(len(str(scale.end_ns - scale.begin_ns)) - 1, 1) // 2
    tick = -(-scale.begin_ns // step_ns) * step_ns
    while tick <= scale.end_ns:
        x = scale.x(tick)
        canvas.draw.line([(x, y), (x, y + 4)], fill=palette.FAINT)
        if x < WIDTH - RIGHT - 12:
            canvas.text(x, y + 13, f"{tick * 1e-9:g} s", 11, palette.FAINT, "mm")
        tick += step_ns
    return y + AXIS_H


def _draw_legend(canvas: Canvas, y: int) -> None:
    """Boxes with names, in two rows."""
    half = (len(palette.LEGEND) + 1) // 2
    width = (WIDTH - 20) // half
    for i, (kind, words) in enumerate(palette.LEGEND):
        x, top = 10 + width * (i % half), y + 8 + 20 * (i // half)
        if kind in palette.HATCHED:
            canvas.image.paste(hatch(kind, 12).crop((0, 0, 18, 12)), (x, top))
        else:
            canvas.draw.rectangle([x, top, x + 17, top + 11], fill=palette.KINDS[kind])
        canvas.text(x + 24, top + 6, words, 11)
