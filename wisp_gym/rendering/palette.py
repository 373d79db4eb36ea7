"""Colours of kinds and classes: Okabe and Ito's, which colour-blind readers tell apart, and their shades."""

from __future__ import annotations

from wisp_gym.rendering.spans import Kind

Colour = tuple[int, int, int]

BACKGROUND: Colour = (255, 255, 255)
LANE: Colour = (246, 246, 246)
GRID: Colour = (222, 222, 222)
INK: Colour = (30, 30, 30)
FAINT: Colour = (120, 120, 120)

KINDS: dict[Kind, Colour] = {
    Kind.THINK: (232, 232, 232),
    Kind.PREFILL: (204, 121, 167),
    Kind.DRAFT: (160, 214, 192),
    Kind.USEFUL: (0, 158, 115),
    Kind.WASTED: (213, 94, 0),
    Kind.UPLINK: (86, 180, 233),
    Kind.QUEUE: (240, 222, 110),
    Kind.VERIFY: (0, 114, 178),
    Kind.SHARED: (178, 208, 230),
    Kind.DOWNLINK: (140, 220, 240),
    Kind.PASS: (120, 150, 180),
    Kind.WAIT: (226, 226, 226),
}
HATCHED = {Kind.SHARED: (110, 160, 200), Kind.WAIT: (175, 175, 175)}
"""Kinds drawn with diagonals of a second colour."""

CLASSES: tuple[Colour, Colour, Colour, Colour] = ((51, 34, 136), (17, 119, 51), (170, 110, 20), (136, 34, 85))
"""SLO classes, loosest first."""

LEGEND: tuple[tuple[Kind, str], ...] = (
    (Kind.PREFILL, "prefill (GPU: its part)"),
    (Kind.DRAFT, "draft, not verified yet"),
    (Kind.USEFUL, "useful draft"),
    (Kind.WASTED, "wasted draft"),
    (Kind.UPLINK, "uplink"),
    (Kind.QUEUE, "queue"),
    (Kind.VERIFY, "verify: own share"),
    (Kind.SHARED, "rest of pass (interference)"),
    (Kind.DOWNLINK, "downlink"),
    (Kind.THINK, "idle (reads, thinks)"),
    (Kind.PASS, "GPU pass and its batch"),
    (Kind.WAIT, "scheduler waits"),
)
