"""Where a name can stand beside its mark without covering anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Box", "Label", "place_labels"]

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""

MARK_RADIUS = 7.0
CHARACTER_WIDTH, LINE_HEIGHT = 6.1, 13.0
"""Of text of 11 pixels."""


@dataclass(frozen=True, slots=True)
class Label:
    """A name's place.

    Attributes:
        side: of the mark, in plotly's words, e.g. ``"middle right"``.
        box: that it covers.
    """

    side: str
    box: Box


def place_labels(
    marks: Sequence[tuple[float, float, str]], obstacles: Iterable[tuple[float, float]], within: Box
) -> list[Label | None]:
    """A place for each name, first come first served; None where there is no room.

    Args:
        marks: (x, y, name), in pixels.
        obstacles: (x, y) of other marks that must stay visible.
        within: the part of the picture that names may cover.
    """
    taken = [_around(x, y) for x, y in [*obstacles, *((x, y) for x, y, _ in marks)]]
    placed: list[Label | None] = []
    for x, y, name in marks:
        free = next((label for label in _candidates(x, y, name) if _fits(label.box, within, taken)), None)
        placed.append(free)
        if free is not None:
            taken.append(free.box)
    return placed


def _candidates(x: float, y: float, name: str) -> Iterable[Label]:
    width, height, gap = CHARACTER_WIDTH * len(name), LINE_HEIGHT, MARK_RADIUS + 3
    rows = {"middle": y - height / 2, "top": y - gap - height, "bottom": y + gap}
    columns = {"right": x + gap, "left": x - gap - width, "center": x - width / 2}
    for side in ("middle right", "middle left", "top center", "bottom center", "top right", "bottom right"):
        row, column = side.split()
        left, top = columns[column], rows[row]
        yield Label(side, (left, top, left + width, top + height))


def _fits(box: Box, within: Box, taken: Iterable[Box]) -> bool:
    left, top, right, bottom = box
    inside = left > within[0] and top > within[1] and right < within[2] and bottom < within[3]
    return inside and not any(
        left < other[2] and other[0] < right and top < other[3] and other[1] < bottom for other in taken
    )


def _around(x: float, y: float) -> Box:
    return x - MARK_RADIUS, y - MARK_RADIUS, x + MARK_RADIUS, y + MARK_RADIUS
