"""The interactive figure of a front: quality over one of its objectives, and predicted against measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from nas.front import Front
from nas.objectives import Objective
from nas.point import Point
from nas.report.describe import (
    Axis,
    Dot,
    axis_of,
    describe_point,
    fidelity_of,
    readable_metric,
    staircase,
)
from nas.report.labels import place_labels
from nas.report.palette import FAINT, FONT, FRONT, GRID, INK, MUTED, PRESET
from nas.report.scales import amount_scale, amount_ticks, ends, is_logarithmic, linear_scale, padded
from nas.report.strip import Strips
from workers.target import Target

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["figure"]

HEIGHT = 560
PLOT_WIDTH, PLOT_HEIGHT = 660.0, 400.0
"""Of the left panel on an ordinary screen, in pixels: what labels are placed for."""
MONOSPACE = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
Hover = Mapping[str, str]
"""What hovering shows, by digest."""
BAND = "rgba(11, 105, 163, 0.10)"


def figure(front: Front, objective: Objective, target: Target, strips: Strips) -> Figure:
    """Points of `front` over one of its objectives, and what was predicted against what was measured of it
    where it is measured; hovering shows each one's numbers on `target`, and its layers.

    Raises:
        NoSuchPoint: none can be drawn yet.
    """
    from plotly.subplots import make_subplots

    axis = axis_of(front, objective)
    measured = [dot for dot in axis.dots if dot.value.measured is not None]
    hover = {dot.point.digest: _hover(dot.point, front, target, strips) for dot in axis.dots}
    right = "Was the prediction right?" if measured else "Nothing was measured yet"
    titles = (f"Quality over {axis.label}", *([] if axis.counted else [right]))
    built = make_subplots(
        rows=1,
        cols=len(titles),
        column_widths=[1.0] if axis.counted else [0.66, 0.34],
        horizontal_spacing=0.09,
        subplot_titles=titles,
    )
    for trace in (*_quality_traces(front, axis.dots, hover), *_bound_traces(axis)):
        built.add_trace(trace, row=1, col=1)
    for trace in _prediction_traces(measured, hover):
        built.add_trace(trace, row=1, col=2)
    _style(built, front, axis)
    return built


def _quality_traces(front: Front, dots: Sequence[Dot], hover: Hover) -> Iterator[Any]:
    from plotly.graph_objects import Scatter

    others = [dot for dot in dots if not dot.point.on_front and not dot.point.preset]
    members = [dot for dot in dots if dot.point.on_front]
    presets = [dot for dot in dots if dot.point.preset]
    yield _scatter("evaluated", others, hover, marker={"size": 7, "color": FAINT, "opacity": 0.5})
    steps = staircase(members, front.direction)
    yield Scatter(
        x=[dot.x for dot in steps],
        y=[dot.quality for dot in steps],
        mode="lines",
        line={"color": FRONT, "width": 2, "shape": "hv"},
        hoverinfo="skip",
        legendgroup="front",
        showlegend=False,
    )
    yield _scatter(
        "front",
        members,
        hover,
        legendgroup="front",
        marker={
            "size": 10,
            "color": FRONT,
            "line": {"color": "white", "width": 1.5},
            "symbol": ["circle-open" if _is_predicted(dot.point) else "circle" for dot in members],
        },
        error_x=_to_prediction(members),
        error_y=_doubt(members),
    )
    names, sides = _labels(dots, presets, members)
    yield _scatter(
        "published design",
        presets,
        hover,
        mode="markers+text",
        text=names,
        textposition=sides,
        textfont={"size": 11, "color": PRESET},
        marker={"size": 13, "symbol": "star", "color": PRESET, "line": {"color": "white", "width": 1}},
    )


def _scatter(name: str, dots: Sequence[Dot], hover: Hover, **style: Any) -> Any:
    from plotly.graph_objects import Scatter

    return Scatter(
        name=name,
        x=[dot.x for dot in dots],
        y=[dot.quality for dot in dots],
        customdata=[hover[dot.point.digest] for dot in dots],
        hovertemplate="%{customdata}<extra></extra>",
        **{"mode": "markers", **style},
    )


def _to_prediction(dots: Sequence[Dot]) -> dict[str, Any]:
    """Error bars that reach from what was measured to what had been predicted."""
    misses = [dot.value.predicted - dot.x for dot in dots]
    return {
        "symmetric": False,
        "array": [max(miss, 0.0) for miss in misses],
        "arrayminus": [max(-miss, 0.0) for miss in misses],
        "color": FRONT,
        "thickness": 1.2,
        "width": 4,
    }


def _is_predicted(point: Point) -> bool:
    """Whether the quality that is drawn was learned from others that were trained alone."""
    return point.delivered is not None and point.delivered.measured is None


def _doubt(dots: Sequence[Dot]) -> dict[str, Any]:
    """Error bars of a standard deviation where quality is predicted."""
    known = [dot.point.delivered if _is_predicted(dot.point) else None for dot in dots]
    doubts = [0.0 if value is None else value.predicted_std or 0.0 for value in known]
    return {"array": doubts, "color": FRONT, "thickness": 1.2, "width": 0, "visible": any(doubts)}


def _labels(
    dots: Sequence[Dot], presets: Sequence[Dot], members: Sequence[Dot]
) -> tuple[list[str], list[str]]:
    """Text and side of each preset's name; no text where it would cover something (hovering tells it)."""
    x = amount_scale([dot.x for dot in dots], 0.0, PLOT_WIDTH)
    y = linear_scale([dot.quality for dot in dots], PLOT_HEIGHT, 0.0)
    placed = place_labels(
        [(x(dot.x), y(dot.quality), dot.point.preset or "") for dot in presets],
        [(x(dot.x), y(dot.quality)) for dot in members],
        (0.0, 0.0, PLOT_WIDTH, PLOT_HEIGHT),
    )
    names = [dot.point.preset or "" if label else "" for dot, label in zip(presets, placed, strict=True)]
    return names, [label.side if label else "middle right" for label in placed]


def _bound_traces(axis: Axis) -> Iterator[Any]:
    from plotly.graph_objects import Scatter

    for bound in axis.bounds:
        yield Scatter(
            name=f"asked ≤ {bound:g} {axis.unit}".rstrip(),
            x=[bound, bound],
            y=padded([dot.quality for dot in axis.dots]),
            mode="lines",
            line={"color": INK, "width": 1, "dash": "dash"},
            hoverinfo="name",
        )


def _prediction_traces(dots: Sequence[Dot], hover: Hover) -> Iterator[Any]:
    from plotly.graph_objects import Scatter

    if not dots:
        return
    values = [value for dot in dots for value in (dot.value.predicted, dot.x)]
    low, high = min(values) * 0.9, max(values) * 1.1
    yield Scatter(
        name="within 5%",
        x=[low, high, high, low],
        y=[low * 0.95, high * 0.95, high * 1.05, low * 1.05],
        mode="lines",
        fill="toself",
        fillcolor=BAND,
        line={"width": 0},
        hoverinfo="skip",
    )
    yield Scatter(
        x=[low, high],
        y=[low, high],
        mode="lines",
        line={"color": MUTED, "width": 1, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )
    # A trace a colour: error bars take one, never a list as marks do.
    groups = (
        (MUTED, "circle", [dot for dot in dots if not dot.point.on_front and not dot.point.preset]),
        (FRONT, "circle", [dot for dot in dots if dot.point.on_front and not dot.point.preset]),
        (PRESET, "star", [dot for dot in dots if dot.point.preset]),
    )
    for colour, symbol, some in groups:
        bars = {"color": colour, "thickness": 1, "width": 0}
        yield Scatter(
            x=[dot.value.predicted for dot in some],
            y=[dot.value.measured for dot in some],
            error_x={"array": [dot.value.predicted_std or 0.0 for dot in some], **bars},
            error_y={"array": [dot.value.measured_std or 0.0 for dot in some], **bars},
            mode="markers",
            marker={"size": 9, "color": colour, "symbol": symbol, "line": {"color": "white", "width": 1}},
            customdata=[hover[dot.point.digest] for dot in some],
            hovertemplate="%{customdata}<extra></extra>",
            showlegend=False,
        )


def _hover(point: Point, front: Front, target: Target, strips: Strips) -> str:
    facts = [
        f"<b>{name}</b>{'&nbsp;' * (12 - len(name))}{escape(value)}"
        for name, value in describe_point(point, front.metric, target)
    ]
    layers = [
        f"{number} <span style='color:{cell.colour}'>{cell.glyph}{cell.bar}</span> {escape(cell.title)}"
        for number, cell in enumerate(strips.cells(point.architecture), 1)
    ]
    around = strips.around(point.architecture)
    return "<br>".join([*facts, *([escape(around)] if around else []), "", *layers])


def _style(built: Figure, front: Front, axis: Axis) -> None:
    line = {"gridcolor": GRID, "linecolor": FAINT, "ticks": "outside", "tickcolor": FAINT, "zeroline": False}
    values = [dot.x for dot in axis.dots]
    ticks = amount_ticks(values)
    kind = "log" if is_logarithmic(values) else "linear"
    amounts = {**line, "type": kind, "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
    built.update_xaxes(**amounts)
    built.update_xaxes(
        title=axis.title if axis.counted else f"{axis.title} (measured where it was, else predicted)",
        range=ends(values),
        row=1,
        col=1,
    )
    better = "lower" if front.direction.sign > 0 else "higher"
    built.update_yaxes(
        title=f"{readable_metric(front.metric)}, {fidelity_of(front)} ({better} is better)",
        range=padded([dot.quality for dot in axis.dots]),
        row=1,
        col=1,
        **line,
    )
    if not axis.counted:
        unit = f", {axis.unit}" if axis.unit else ""
        built.update_xaxes(title=f"predicted{unit}", row=1, col=2)
        built.update_yaxes(title=f"measured{unit}", row=1, col=2, **amounts)
    built.update_layout(
        height=HEIGHT,
        margin={"l": 64, "r": 24, "t": 56, "b": 96},
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor="white",
        plot_bgcolor="white",
        legend={"orientation": "h", "y": -0.16, "x": 0},
        hoverlabel={
            "bgcolor": "white",
            "bordercolor": FAINT,
            "align": "left",
            "font": {"family": MONOSPACE, "size": 12, "color": INK},
        },
    )
