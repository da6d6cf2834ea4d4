"""The curves of `run_search_bench` as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["plot_search_bench"]


def plot_search_bench(result: Mapping[str, Any]) -> str:
    """An HTML page: median hypervolume by evaluations, a band from the least to the most."""
    import plotly.graph_objects as go
    from plotly.colors import qualitative

    figure = go.Figure()
    budgets = result["budgets"]
    for number, (name, found) in enumerate(result["strategies"].items()):
        colour = qualitative.Plotly[number % len(qualitative.Plotly)]
        figure.add_scatter(
            x=[*budgets, *budgets[::-1]],
            y=[*found["most"], *found["least"][::-1]],
            fill="toself",
            fillcolor=colour,
            opacity=0.15,
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            legendgroup=name,
        )
        figure.add_scatter(
            x=budgets,
            y=found["median"],
            mode="lines+markers",
            name=name,
            legendgroup=name,
            line={"color": colour},
        )
    if result["best_known"] is not None:
        figure.add_hline(result["best_known"], line_dash="dot", annotation_text="best known")
    figure.update_xaxes(type="log", title="evaluations")
    figure.update_yaxes(title="hypervolume")
    figure.update_layout(title=f"{result['problem']}: median of seeds, least to most")
    return str(figure.to_html(include_plotlyjs=True))
