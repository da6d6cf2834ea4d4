"""What was trained alone against what was known before, as an SVG: the supernet's scores, and predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from nas.front import Front
from nas.point import Point
from nas.report.describe import readable_metric
from nas.report.palette import FONT, FRONT, GRID, MUTED, PRESET
from nas.report.scales import linear_scale, linear_ticks
from nas.report.svg import circle, line, rect, star, text

__all__ = ["ranking_picture"]

WIDTH, HEIGHT = 1080, 420
TOP, BOTTOM = 60, 350
PANELS = ((70, 520), (600, 1050))
"""From where to where each is drawn."""


def ranking_picture(front: Front) -> str | None:
    """An SVG document of the points that were trained alone; None where fewer than two were."""
    points = [p for p in front.points if p.delivered is not None and p.delivered.measured is not None]
    scored = [p for p in points if p.validation is not None]
    if len(scored) < 2:
        return None
    label = escape(f"models of {front.job} trained alone against what was known of them before", quote=True)
    unit = readable_metric(front.metric)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{label}" font-family="{FONT}">',
            rect(0, 0, WIDTH, HEIGHT, "white"),
            *_panel(
                scored, [p.validation or 0.0 for p in scored], None, PANELS[0], f"in the supernet, {unit}"
            ),
            *_panel(
                scored,
                [p.delivered.predicted for p in scored if p.delivered],
                [p.delivered.predicted_std or 0.0 for p in scored if p.delivered],
                PANELS[1],
                f"predicted by the others, {unit}",
            ),
            "</svg>\n",
        ]
    )


def _panel(
    points: Sequence[Point],
    known: Sequence[float],
    doubts: Sequence[float] | None,
    ends: tuple[int, int],
    title: str,
) -> Iterator[str]:
    """Quality alone, upwards, over what was known, with its deviations."""
    left, right = ends
    alone = [p.delivered.measured or 0.0 for p in points if p.delivered]
    x, y = linear_scale(known, left, right), linear_scale(alone, BOTTOM, TOP)
    for tick in linear_ticks(known):
        yield line(x(tick), TOP, x(tick), BOTTOM, GRID)
        yield text(x(tick), BOTTOM + 18, f"{tick:g}", fill=MUTED, anchor="middle")
    for tick in linear_ticks(alone):
        yield line(left, y(tick), right, y(tick), GRID)
        yield text(left - 8, y(tick) + 4, f"{tick:g}", fill=MUTED, anchor="end")
    yield text(left, TOP - 16, "trained alone", size=13)
    yield text((left + right) / 2, BOTTOM + 42, title, size=13, anchor="middle")
    for number, point in enumerate(points):
        at, high = x(known[number]), y(alone[number])
        if doubts is not None:
            reach = (x(known[number] - doubts[number]), x(known[number] + doubts[number]))
            yield line(max(left, reach[0]), high, min(right, reach[1]), high, MUTED)
        if point.preset:
            yield star(at, high, PRESET, title=point.preset)
        else:
            yield circle(at, high, 5, FRONT, title=point.digest)
