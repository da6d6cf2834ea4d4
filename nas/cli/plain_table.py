"""Tables for terminals of any width: what does not fit is left out and named, never folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

__all__ = ["PlainTable"]

GAP = 1
"""Spaces between columns."""
NARROWEST = 24
"""Characters to which a column of prose may be folded, by words."""
ANY_WIDTH = 10_000


class PlainTable:
    """A table without lines.

    Args:
        columns: headings, unique.
        right: those of columns that are aligned to the right.
        keep: headings, the most needed first; where there is too little room columns go that are not named,
            from the right, then those named last. All of them, as they stand, where empty.
        prose: columns of sentences, which alone are folded.

    Attributes:
        title, caption: texts above and below; None for none.
    """

    def __init__(
        self,
        *columns: str,
        right: Sequence[str] = (),
        keep: Sequence[str] = (),
        prose: Sequence[str] = (),
    ) -> None:
        self._columns, self._right, self._prose = columns, right, prose
        self._needed = [*(keep or columns), *(name for name in columns if keep and name not in keep)]
        self._rows: list[tuple[tuple[RenderableType, ...], str]] = []
        self.title: Text | None = None
        self.caption: Text | None = None

    def add_row(self, *cells: RenderableType, style: str = "") -> None:
        """Add a row; cells that are missing at its end are empty. A str is shown as it is: names and
        descriptions are other people's, and markup in them means nothing."""
        given = tuple(Text(cell) if isinstance(cell, str) else cell for cell in cells)
        self._rows.append(((*given, *[Text()] * (len(self._columns) - len(cells))), style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table with the columns that fit, without padding at the ends of lines."""
        shown = self._fitting(console, options)
        table = Table(
            header_style="bold",
            box=None,
            pad_edge=False,
            padding=(0, GAP, 0, 0),
            title=self.title,
            title_justify="left",
            caption=self.caption,
            caption_justify="left",
        )
        for name in (self._columns[number] for number in shown):
            justify: JustifyMethod = "right" if name in self._right else "left"
            table.add_column(name, justify=justify, no_wrap=name not in self._prose, overflow="ellipsis")
        for cells, style in self._rows:
            table.add_row(*(cells[number] for number in shown), style=style)
        for line in console.render_lines(table, options, pad=False):
            yield from _without_end(line)
            yield Segment.line()
        left_out = [" ".join(name.split()) for n, name in enumerate(self._columns) if n not in shown and name]
        if left_out:
            yield Text(f"too narrow for: {', '.join(left_out)}", "dim")

    def _fitting(self, console: Console, options: ConsoleOptions) -> list[int]:
        """Numbers of the columns that fit, from left to right; one at least."""
        widths = {name: self._width(number, console, options) for number, name in enumerate(self._columns)}
        needed = list(self._needed)
        while len(needed) > 1 and sum(widths[name] + GAP for name in needed) - GAP > options.max_width:
            needed.pop()
        return [number for number, name in enumerate(self._columns) if name in needed]

    def _width(self, number: int, console: Console, options: ConsoleOptions) -> int:
        unlimited = options.update(width=ANY_WIDTH)
        cells = [Text(self._columns[number]), *(cells[number] for cells, _ in self._rows)]
        width = max(Measurement.get(console, unlimited, cell).maximum for cell in cells)
        return min(width, NARROWEST) if self._columns[number] in self._prose else width


def _without_end(line: Sequence[Segment]) -> Iterator[Segment]:
    """The line without the blanks at its end."""
    kept = list(line)
    while kept and not kept[-1].text.strip():
        kept.pop()
    if kept:
        text, style, control = kept.pop()
        kept.append(Segment(text.rstrip(), style, control))
    yield from kept
