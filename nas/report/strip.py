"""An architecture in one line: a glyph and a bar for each layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from searchspaces.architecture import NO_MIXER, Architecture, Layer
from searchspaces.mixers import MIXERS, parse_mixer

__all__ = ["Cell", "Strips", "family_hues"]

BARS = "▁▂▃▄▅▆▇█"
HUES = (
    *("#1b8a3a", "#c8321e", "#d98200", "#9a3a94", "#1f6fb4", "#0f8b8d", "#8a5a2b", "#5a5fc0"),
    *("#b0306a", "#5d7316", "#00566b", "#7a2c1a", "#3c3c9e", "#a0682a"),
)
"""One a mixer, in the order of their names, those of plug-ins last; told apart in the common forms of
colour blindness by lightness as well as hue, and dark enough for text on white."""
NO_MIXER_HUE = "#8c8c8c"
LIGHTEST = 0.75
"""How far towards white the smallest parameter of a mixer family is tinted."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One layer, or one entry of the legend.

    Attributes:
        glyph: the mixer's character.
        bar: a block whose height stands for the feed-forward ratio.
        height: the same between 0 and 1.
        colour: ``"#rrggbb"`` of the mixer option.
        title: what the cell stands for, in words.
    """

    glyph: str
    bar: str
    height: float
    colour: str
    title: str


class Strips:
    """One visual language for a set of architectures: a hue for each mixer, a tint for each of its
    parameters, a bar height for each ratio, from the smallest that occurs to the largest.

    Args:
        architectures: everything that will be shown beside each other.
    """

    def __init__(self, architectures: Iterable[Architecture]) -> None:
        layers = [layer for architecture in architectures for layer in architecture.layers]
        self.ratios = sorted({layer.ratio for layer in layers})
        self.options = sorted({layer.mixer for layer in layers}, key=_parameters)
        self._colours = dict(self._colour_options())

    def _colour_options(self) -> Iterator[tuple[str, str]]:
        hues = family_hues()
        for option in self.options:
            if option == NO_MIXER:
                yield option, NO_MIXER_HUE
                continue
            name = _name(option)
            family = [other for other in self.options if _name(other) == name]
            tint = LIGHTEST * (1 - (family.index(option) + 1) / len(family))
            yield option, _towards_white(hues[name], tint)

    def colour(self, option: str) -> str:
        """Of a mixer option, ``"#rrggbb"``."""
        return self._colours[option]

    def cells(self, architecture: Architecture) -> tuple[Cell, ...]:
        """One a layer, first layer first."""
        return tuple(self._cell(layer) for layer in architecture.layers)

    def text(self, architecture: Architecture) -> str:
        """The strip without colour, e.g. ``"S█ W▃ W▁"``."""
        return " ".join(cell.glyph + cell.bar for cell in self.cells(architecture))

    def mixer_legend(self) -> tuple[Cell, ...]:
        """One a mixer option that occurs."""
        return tuple(
            Cell(parse_mixer(option).glyph, BARS[-1], 1.0, self._colours[option], option)
            for option in self.options
        )

    def ratio_legend(self) -> tuple[tuple[str, float], ...]:
        """(bar, ratio) of every ratio that occurs."""
        return tuple((self._bar(ratio), ratio) for ratio in self.ratios)

    def _cell(self, layer: Layer) -> Cell:
        title = f"{layer.mixer}, {layer.channel} ×{layer.ratio:g}"
        if layer.heads:
            title = f"{layer.mixer}, {layer.heads} heads, {layer.channel} ×{layer.ratio:g}"
        return Cell(
            parse_mixer(layer.mixer).glyph,
            self._bar(layer.ratio),
            (self.ratios.index(layer.ratio) + 1) / len(self.ratios),
            self._colours[layer.mixer],
            title,
        )

    def _bar(self, ratio: float) -> str:
        steps = len(self.ratios) - 1
        return BARS[self.ratios.index(ratio) * (len(BARS) - 1) // steps] if steps else BARS[-1]


def family_hues() -> dict[str, str]:
    """The colour of each mixer, ``"#rrggbb"`` by its name; that of no mixer left out."""
    names = [name for name in MIXERS.names() if name != NO_MIXER]
    return {name: HUES[number % len(HUES)] for number, name in enumerate(names)}


def _name(option: str) -> str:
    return option.partition(":")[0]


def _parameters(option: str) -> tuple[str, list[int]]:
    name, _, parameters = option.partition(":")
    return name, [int(part) for part in parameters.split(",") if part]


def _towards_white(colour: str, share: float) -> str:
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * share):02x}" for part in parts)
