"""A front as a small SVG file for documents: quality over an objective, and who is on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from nas.front import Front
from nas.report.describe import (
    Axis,
    Dot,
    axis_of,
    describe_quality,
    drawn_over,
    readable_metric,
    staircase,
)
from nas.report.labels import place_labels
from nas.report.palette import CELL, FAINT, FONT, FRONT, GRID, INK, MUTED, PRESET
from nas.report.scales import Scale, amount_scale, amount_ticks, linear_scale, linear_ticks
from nas.report.strip import Strips
from nas.report.svg import circle, line, rect, shortened, star, text, text_width
from workers.target import Target

__all__ = ["picture"]

WIDTH, HEIGHT = 1080, 520
LEFT, RIGHT, TOP, BOTTOM = 66, 640, 70, 456
"""Of the plot."""
LIST_LEFT, LIST_VALUE, LIST_QUALITY = 690, 966, 1056
"""Of the list beside it: where strips begin, and where the two numbers end."""
LIST_ROWS, ROW_HEIGHT = 13, 29
CELL_WIDTH, CELL_HEIGHT, CELL_GAP = 19, 22, 3
GLYPH_WIDTH = 11
"""Narrower cells have no room for a letter."""
TITLE_SIZE, PRESET_SIZE, NUMBER_SIZE = 17, 10, 13
BOLD = 1.15
"""Width of bold text over that of ordinary text."""


def picture(front: Front, target: Target) -> str:
    """An SVG document of `front` on `target`, over the first of its objectives there, some tens of kB.

    Raises:
        NoSuchPoint: none can be drawn yet.
    """
    axis = axis_of(front, drawn_over(front, target)[0])
    label = escape(f"Pareto front of {front.job} on {target}", quote=True)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{label}" font-family="{FONT}">',
            rect(0, 0, WIDTH, HEIGHT, "white"),
            *_chart(front, target, axis),
            *_members(front, axis),
            "</svg>\n",
        ]
    )


def _chart(front: Front, target: Target, axis: Axis) -> Iterator[str]:
    dots = axis.dots
    values, qualities = [dot.x for dot in dots], [dot.quality for dot in dots]
    x = amount_scale(values, LEFT, RIGHT)
    y = linear_scale(qualities, BOTTOM, TOP)
    title = shortened(f"{front.space} on {front.task}", TITLE_SIZE, (WIDTH - 40) / BOLD)
    yield text(20, 30, title, size=TITLE_SIZE, weight=600)
    count = "1 architecture" if len(dots) == 1 else f"{len(dots)} architectures"
    subtitle = shortened(f"{count} · {axis.label} on {target}", 12, LIST_LEFT - 32)
    yield text(20, 50, subtitle, fill=MUTED)
    for tick in amount_ticks(values):
        yield line(x(tick), TOP, x(tick), BOTTOM, GRID)
        yield text(x(tick), BOTTOM + 18, f"{tick:g}", fill=MUTED, anchor="middle")
    for tick in linear_ticks(qualities):
        yield line(LEFT, y(tick), RIGHT, y(tick), GRID)
        yield text(LEFT - 8, y(tick) + 4, f"{tick:g}", fill=MUTED, anchor="end")
    yield text((LEFT + RIGHT) / 2, BOTTOM + 42, axis.title, size=13, anchor="middle")
    middle = (TOP + BOTTOM) / 2
    better = "lower" if front.direction.sign > 0 else "higher"
    caption = f"{readable_metric(front.metric)} ({better} is better)"
    label = text(20, middle, caption, size=13, anchor="middle")
    yield f'<g transform="rotate(-90 20 {middle:g})">{label}</g>'
    for bound in axis.bounds:
        if LEFT < x(bound) < RIGHT:
            yield line(x(bound), TOP, x(bound), BOTTOM, INK, dash="4 4")
            asked = f"asked ≤ {bound:g} {axis.unit}".rstrip()
            beside, anchor = 5, "start"
            if x(bound) + beside + text_width(asked, 11) > LIST_LEFT:
                beside, anchor = -beside, "end"
            yield text(x(bound) + beside, TOP + 11, asked, size=11, anchor=anchor)
    yield from _dots(front, dots, x, y)


def _dots(front: Front, dots: Sequence[Dot], x: Scale, y: Scale) -> Iterator[str]:
    for dot in dots:
        if not dot.point.on_front and not dot.point.preset:
            yield circle(x(dot.x), y(dot.quality), 3.5, FAINT, opacity=0.5)
    members = [dot for dot in dots if dot.point.on_front]
    if members:
        steps = staircase(members, front.direction)
        first, *rest = [(x(dot.x), y(dot.quality)) for dot in steps]
        drawn = "".join(f"H{right:.1f}V{down:.1f}" for right, down in rest)
        path = f"M{first[0]:.1f},{first[1]:.1f}{drawn}"
        yield f'<path d="{path}" fill="none" stroke="{FRONT}" stroke-width="2"/>'
    for dot in members:
        yield circle(x(dot.x), y(dot.quality), 5.5, FRONT, title=dot.point.digest)
    presets = [(x(dot.x), y(dot.quality), dot.point.preset) for dot in dots if dot.point.preset]
    on_front = [(x(dot.x), y(dot.quality)) for dot in members]
    labels = place_labels(presets, on_front, (LEFT, TOP, LIST_LEFT - 8, BOTTOM))
    for (left, top, name), label in zip(presets, labels, strict=True):
        yield star(left, top, PRESET, title=name)
        if label is not None:
            yield text(label.box[0], label.box[3] - 3, name, size=11, fill=PRESET)


def _members(front: Front, axis: Axis) -> Iterator[str]:
    """The front as a list, the least value first: strip, value, quality; evenly thinned where it is long."""
    dots = axis.dots
    strips = Strips(dot.point.architecture for dot in dots)
    members = [dot for dot in dots if dot.point.on_front]
    shown = members
    if len(members) > LIST_ROWS:
        step = (len(members) - 1) / (LIST_ROWS - 1)
        shown = [members[round(number * step)] for number in range(LIST_ROWS)]
    title = f"the front ({len(shown)} of {len(members)})" if len(shown) < len(members) else "the front"
    yield text(LIST_LEFT, 50, title if members else "nothing is on the front", fill=MUTED)
    yield text(LIST_VALUE, 50, axis.unit or axis.label, fill=MUTED, anchor="end")
    yield text(LIST_QUALITY, 50, readable_metric(front.metric), fill=MUTED, anchor="end")
    for row, dot in enumerate(shown):
        top = TOP - 8 + row * ROW_HEIGHT
        value = f"{dot.x:.2f}"
        yield from _strip(dot, strips, top, LIST_VALUE - text_width(value, NUMBER_SIZE) - 6)
        yield text(LIST_VALUE, top + 16, value, size=NUMBER_SIZE, anchor="end")
        yield text(LIST_QUALITY, top + 16, describe_quality(dot.quality), size=NUMBER_SIZE, anchor="end")
    yield from _legend(strips)


def _strip(dot: Dot, strips: Strips, top: float, right: float) -> Iterator[str]:
    """A point's layers, and its name or else what stands around them, from the list's left to `right`."""
    cells = strips.cells(dot.point.architecture)
    pitch = min(CELL_WIDTH + CELL_GAP, (right - LIST_LEFT) / len(cells))
    width = pitch * CELL_WIDTH / (CELL_WIDTH + CELL_GAP)
    for number, cell in enumerate(cells):
        left, height = LIST_LEFT + number * pitch, cell.height * CELL_HEIGHT
        yield rect(left, top, width, CELL_HEIGHT, CELL, cell.title)
        yield rect(left, top + CELL_HEIGHT - height, width, height, cell.colour, cell.title)
        if width >= GLYPH_WIDTH:
            yield text(
                left + width / 2, top + 15, cell.glyph, size=11, weight=700, anchor="middle", halo=True
            )
    around, preset = strips.around(dot.point.architecture), dot.point.preset
    if preset or around:
        left = LIST_LEFT + len(cells) * pitch + 4
        name = shortened(f"★ {preset}" if preset else around, PRESET_SIZE, right - left)
        yield text(left, top + 15, name, size=PRESET_SIZE, fill=PRESET if preset else MUTED)


def _legend(strips: Strips) -> Iterator[str]:
    left, top = LIST_LEFT, HEIGHT - 62
    for cell in strips.mixer_legend():
        width = 26 + text_width(cell.title, 11)
        if left + width > LIST_QUALITY:
            left, top = LIST_LEFT, top + 20
        yield rect(left, top - 2, 16, 16, cell.colour)
        yield text(left + 8, top + 10, cell.glyph, size=11, weight=700, anchor="middle", halo=True)
        yield text(left + 21, top + 10, cell.title, size=11, fill=MUTED)
        left += round(width) + 4
    yield text(20, HEIGHT - 8, "★ published design · bar height: feed-forward ratio", size=11, fill=MUTED)
