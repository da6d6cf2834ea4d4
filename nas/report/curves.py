"""Curves of search strategies as one HTML file: hypervolume over evaluations, with spread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.report.palette import FAINT, FONT, GRID, INK, LINES

__all__ = ["curves_page"]


def curves_page(result: Mapping[str, Any]) -> str:
    """The whole document, of what `nas.bench.search.run_search_bench` returns."""
    from plotly.graph_objects import Figure, Scatter

    built = Figure()
    budgets = result["budgets"]
    for number, (name, found) in enumerate(result["strategies"].items()):
        colour = LINES[number % len(LINES)]
        above = [most - middle for most, middle in zip(found["most"], found["median"], strict=True)]
        below = [middle - least for least, middle in zip(found["least"], found["median"], strict=True)]
        built.add_trace(
            Scatter(
                name=name,
                x=budgets,
                y=found["median"],
                error_y={"symmetric": False, "array": above, "arrayminus": below, "thickness": 1},
                mode="lines+markers",
                line={"color": colour, "width": 2},
                marker={"size": 8, "symbol": number % len(LINES)},
            )
        )
    if result["best_known"]:
        built.add_hline(result["best_known"], line={"color": INK, "dash": "dot", "width": 1})
    axis = {"gridcolor": GRID, "linecolor": FAINT, "zeroline": False}
    built.update_xaxes(title="evaluations", type="log", tickvals=budgets, **axis)
    built.update_yaxes(title="hypervolume: median, least to most", **axis)
    built.update_layout(
        title=result["problem"],
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor="white",
        plot_bgcolor="white",
    )
    return built.to_html(include_plotlyjs=True)
