"""A front as one HTML file that needs nothing else: figures that answer the mouse, and every layer."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from statistics import median
from typing import Any

from nas.front import Front
from nas.objectives import Objective, Source
from nas.objectives.latency_ms import LATENCY
from nas.point import Point
from nas.report.columns import Column, columns, label_of
from nas.report.describe import (
    describe_value,
    drawn_over,
    known_latency,
)
from nas.report.explanation import page_section
from nas.report.figure import figure
from nas.report.numbers import MILLISECONDS
from nas.report.palette import CELL, FAINT, FONT, GRID, INK, MUTED, PRESET
from nas.report.ranking import ranking_picture
from nas.report.scores import ScoreColumn, score_columns
from nas.report.strip import Cell, Strips
from workers.target import Target

__all__ = ["page"]

STYLE = f"""
:root {{ color-scheme: light dark; --ink: {INK}; --muted: {MUTED}; --faint: {FAINT}; --grid: {GRID};
  --preset: {PRESET}; --paper: #fff; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e8e8ec; --muted: #a3a6b1; --faint: #565a66; --grid: #33363f; --paper: #16181d; }}
  .wide {{ background: #fff; border-radius: 10px; }}  /* figures are drawn on paper */
}}
body {{ margin: 0 auto; max-width: 1180px; padding: 32px 24px 64px; color: var(--ink);
  background: var(--paper);
  font: 15px/1.5 {FONT}; }}
h1 {{ font-size: 26px; margin: 0; }} h2 {{ font-size: 17px; margin: 40px 0 8px; font-weight: 600; }}
h1, h2, .subtitle {{ overflow-wrap: anywhere; }}
.wide {{ overflow-x: auto; }} .wide > div {{ min-width: 860px; }}
.subtitle {{ color: var(--muted); margin: 4px 0 24px; }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(136px, 1fr)); gap: 12px; }}
.tile {{ border: 1px solid var(--grid); border-radius: 10px; padding: 10px 18px; overflow-wrap: anywhere; }}
.tile b {{ display: block; font-size: 22px; font-weight: 600; }}
.tile span {{ color: var(--muted); font-size: 13px; }}
table {{ border-collapse: collapse; width: 100%; font-size: 13.5px; }}
th {{ text-align: right; font-weight: 600; color: var(--muted); border-bottom: 1px solid var(--faint);
  padding: 6px 10px; }}
td {{ text-align: right; padding: 4px 10px; border-bottom: 1px solid var(--grid);
  font-variant-numeric: tabular-nums; white-space: nowrap; }}
th.text, td.text {{ text-align: left; }} td code {{ color: var(--muted); }}
tr.off td {{ color: var(--muted); }} .star {{ color: var(--preset); }}
.strip {{ display: inline-flex; gap: 4px; vertical-align: middle; }}
.layer {{ position: relative; width: 20px; height: 26px; border-radius: 3px; background: {CELL};
  overflow: hidden; }}
.layer i {{ position: absolute; left: 0; right: 0; bottom: 0; }}
.layer b {{ position: absolute; inset: 0; text-align: center; color: {INK};
  -webkit-text-stroke: 3px #fff; paint-order: stroke fill;
  font: 600 12px/26px ui-monospace, Menlo, monospace; }}
.legend {{ display: flex; flex-wrap: wrap; gap: 6px 18px; align-items: center; color: var(--muted);
  font-size: 13px; margin: 4px 0 20px; }}
.legend > span {{ display: inline-flex; gap: 6px; align-items: center; }}
"""


def page(front: Front, explanation: Mapping[str, Any] | None = None) -> str:
    """The whole document; plotly's script is in it, so it also opens without a network.

    Args:
        explanation: of the front, see `nas.service.api.Service.explain`; None where there is none.
    """
    strips = Strips(point.architecture for point in front.points)
    body = "\n".join(_body(front, strips))
    if explanation is not None:
        body += "\n" + page_section(explanation)
    title = escape(f"{front.job}: Pareto front")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{STYLE}</style>\n</head>\n'
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _body(front: Front, strips: Strips) -> Iterator[str]:
    yield f"<h1>{escape(front.job)}</h1>"
    yield f'<p class="subtitle">Pareto front of space {escape(front.space)} on task {escape(front.task)}</p>'
    yield f'<div class="tiles">{"".join(_tiles(front))}</div>'
    numbers = itertools.count()
    for target in front.targets:
        yield f"<h2>{escape(str(target))}</h2>"
        for objective in drawn_over(front, target):
            yield _figure(front, objective, target, strips, next(numbers))
        yield f'<p class="legend">{"".join(_legend(strips))}</p>'
        yield _table(front, target, strips)
    alone = ranking_picture(front)
    if alone is not None:
        yield "<h2>trained alone, against what was known before</h2>"
        yield f'<div class="wide">{alone}</div>'
    counted = [o for o in front.objectives if o.target is None and o.source is not Source.EVALUATED]
    for objective in counted:
        yield f"<h2>{escape(label_of(objective.kind))}, on every target</h2>"
        yield _figure(front, objective, front.targets[0], strips, next(numbers))


def _figure(front: Front, objective: Objective, target: Target, strips: Strips, number: int) -> str:
    drawn = figure(front, objective, target, strips).to_html(
        full_html=False,
        include_plotlyjs=number == 0,
        div_id=f"figure-{number}",
        config={"displaylogo": False, "responsive": True},
    )
    return f'<div class="wide">{drawn}</div>'


def _tiles(front: Front) -> Iterator[str]:
    members = [point for point in front.points if point.on_front]
    drawn = {objective.key for target in front.targets for objective in drawn_over(front, target)}
    misses = [
        abs(value.predicted - value.measured) / value.measured
        for point in members
        for key, value in point.values.items()
        if value.measured is not None and key in drawn
    ]
    facts = [
        (f"{front.evaluated}", "architectures evaluated"),
        (f"{len(members)}", "on the front"),
        (f"{sum(point.verified for point in front.points)}", _measured_on(front)),
        (f"{median(misses):.1%}" if misses else "–", "median |predicted − measured| on the front"),
        (f"{front.hypervolume():.4g}", "hypervolume"),
    ]
    for value, name in facts:
        yield f'<div class="tile"><b>{value}</b><span>{name}</span></div>'


def _measured_on(front: Front) -> str:
    return (
        "measured on the device"
        if len(front.targets) == 1
        else f"measured on all {len(front.targets)} targets"
    )


def _table(front: Front, target: Target, strips: Strips) -> str:
    scores, shown_columns = score_columns(front, target), columns(front, target)
    heads = [
        ("text", "digest"),
        ("text", "layers"),
        ("", "predicted ms"),
        ("", "measured ms"),
        *(("", escape(column.heading)) for column in scores),
        *(("", escape(f"{column.label} {column.asked}".rstrip())) for column in shown_columns),
        ("text", "published as"),
    ]
    head = "".join(f'<th scope="col" class="{kind}">{name}</th>' for kind, name in heads)
    shown = [point for point in front.points if point.on_front or point.preset]
    shown.sort(key=lambda point: (not point.on_front, known_latency(point, target) or math.inf))
    rows = "\n".join(_row(point, target, strips, scores, shown_columns) for point in shown)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{_described(front, target)}">{table}</div>'
    )


def _described(front: Front, target: Target) -> str:
    return escape(f"the front of {front.job} and published designs on {target}")


def _row(
    point: Point,
    target: Target,
    strips: Strips,
    scores: Sequence[ScoreColumn],
    shown: Sequence[Column],
) -> str:
    predicted, measured = describe_value(point.known(LATENCY, target), MILLISECONDS)
    layers = strips.cells(point.architecture)
    strip = "".join(_cell(cell) for cell in layers)
    around = escape(strips.around(point.architecture))
    spoken = "; ".join([*([around] if around else []), *(escape(cell.title) for cell in layers)])
    cells = [
        ("text", f"<code>{escape(point.digest[:8])}</code>"),
        ("text", f'<span class="strip" role="img" aria-label="{spoken}">{strip}</span> {around}'),
        ("", predicted),
        ("", measured),
        *(("", column.cell(point)) for column in scores),
        *(("", column.cell(point)) for column in shown),
        ("text", f'<span class="star">★ {escape(point.preset)}</span>' if point.preset else ""),
    ]
    kind = "" if point.on_front else ' class="off"'
    return f"<tr{kind}>" + "".join(f'<td class="{kind}">{text}</td>' for kind, text in cells) + "</tr>"


def _cell(cell: Cell) -> str:
    return (
        f'<span class="layer" title="{escape(cell.title)}">'
        f'<i style="height:{cell.height:.0%};background:{cell.colour}"></i><b>{escape(cell.glyph)}</b></span>'
    )


def _legend(strips: Strips) -> Iterator[str]:
    for cell in strips.mixer_legend():
        yield f"<span>{_cell(cell)}{escape(cell.title)}</span>"
    ratios = ", ".join(f"{bar} ×{ratio:g}" for bar, ratio in strips.ratio_legend())
    yield f"<span>height: feed-forward width over model width ({ratios})</span>"
    yield '<span><span class="star">★</span>published design</span>'
    yield "<span>whiskers on the front reach to what had been predicted</span>"
