"""The few SVG shapes that `nas.report.picture` draws with. Coordinates are pixels, y downwards."""

from __future__ import annotations

from html import escape
from unicodedata import east_asian_width

from nas.report.palette import INK

__all__ = ["circle", "line", "rect", "shortened", "star", "text", "text_width"]

STAR = "M0,-7.5 L2,-2.4 L7.2,-2.4 L3,1 L4.6,6.4 L0,3.2 L-4.6,6.4 L-3,1 L-7.2,-2.4 L-2,-2.4 Z"

CHARACTER = 0.58
"""Width of an ordinary character over the size of its text; of a wide one it is 1."""


def text_width(content: str, size: int) -> float:
    """About how many pixels a text takes."""
    return size * sum(1.0 if east_asian_width(one) in "WF" else CHARACTER for one in content)


def shortened(content: str, size: int, width: float) -> str:
    """The text, or as much of its beginning as fits into so many pixels, and an ellipsis."""
    if text_width(content, size) <= width:
        return content
    while content and text_width(content + "…", size) > width:
        content = content[:-1]
    return content + "…" if content else ""


def text(
    x: float,
    y: float,
    content: str,
    *,
    size: int = 12,
    fill: str = INK,
    anchor: str = "start",
    weight: int = 400,
    halo: bool = False,
) -> str:
    """A line of text with its baseline at y; `halo` sets it off from what lies below."""
    outline = ' stroke="white" stroke-width="3" paint-order="stroke" stroke-linejoin="round"' if halo else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}"{outline}>{escape(content)}</text>'
    )


def line(x1: float, y1: float, x2: float, y2: float, colour: str, dash: str = "none") -> str:
    """A thin straight line."""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-dasharray="{dash}"/>'
    )


def rect(x: float, y: float, width: float, height: float, fill: str, title: str = "") -> str:
    """A filled rectangle with slightly rounded corners."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" fill="{fill}">'
        f"<title>{escape(title)}</title></rect>"
    )


def circle(x: float, y: float, radius: float, fill: str, *, opacity: float = 1.0, title: str = "") -> str:
    """A filled circle with a thin white rim."""
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{fill}" opacity="{opacity:g}" '
        f'stroke="white"><title>{escape(title)}</title></circle>'
    )


def star(x: float, y: float, fill: str, title: str = "") -> str:
    """A five-pointed star around (x, y)."""
    return (
        f'<path d="{STAR}" transform="translate({x:.1f} {y:.1f})" fill="{fill}" stroke="white">'
        f"<title>{escape(title)}</title></path>"
    )
