"""An architecture in one line: a glyph and a bar for each layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from colorsys import hls_to_rgb
from dataclasses import dataclass

from searchspaces.architecture import NO_MIXER, Architecture, Layer
from searchspaces.mixers import Kind, mixers, parse_mixer

__all__ = ["Cell", "Strips", "family_hues"]

BARS = "▁▂▃▄▅▆▇█"
HUES = {
    Kind.ATTENTION: 0.04,
    Kind.KERNEL: 0.58,
    Kind.RECURRENT: 0.80,
    Kind.CONVOLUTION: 0.36,
    Kind.FIXED: 0.13,
    Kind.OTHER: 0.93,
}
"""Of each kind of mixer, parts of a turn. Mixers of one kind differ by lightness and a little in hue, so that
they are told apart in the common forms of colour blindness, too; all are dark enough for text on white."""
AROUND, DARKEST, LIGHT = 0.05, 0.24, 0.46
SATURATION = 0.72
NO_MIXER_HUE = "#8c8c8c"
UNKNOWN, UNKNOWN_HUE = "¤", "#5c5c5c"
"""Of a mixer that a service of a later version knows, or a plug-in that is not installed here."""
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
    """One visual language for a set of architectures: a hue for each kind of mixer, a shade for each mixer,
    a tint for each of its parameters, a bar height for each ratio, from the smallest that occurs to the
    largest.

    Args:
        architectures: everything that will be shown beside each other.
    """

    def __init__(self, architectures: Iterable[Architecture]) -> None:
        every = list(architectures)
        layers = [layer for architecture in every for layer in architecture.layers]
        self._stems = {architecture.stem for architecture in every}
        self._readouts = {architecture.readout for architecture in every}
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
            yield option, _towards_white(hues.get(name, UNKNOWN_HUE), tint)

    def colour(self, option: str) -> str:
        """Of a mixer option, ``"#rrggbb"``."""
        return self._colours[option]

    def cells(self, architecture: Architecture) -> tuple[Cell, ...]:
        """One a layer, first layer first."""
        return tuple(self._cell(layer) for layer in architecture.layers)

    def around(self, architecture: Architecture) -> str:
        """What stands around its layers, e.g. ``"patch:4 pool"``, as far as that differs among all."""
        differ = (self._stems, architecture.stem), (self._readouts, architecture.readout)
        return " ".join(option for options, option in differ if len(options) > 1)

    def text(self, architecture: Architecture) -> str:
        """The strip without colour, e.g. ``"S█ W▃ W▁"``."""
        return " ".join(cell.glyph + cell.bar for cell in self.cells(architecture))

    def mixer_legend(self) -> tuple[Cell, ...]:
        """One a mixer option that occurs."""
        return tuple(
            Cell(_glyph(option), BARS[-1], 1.0, self._colours[option], option) for option in self.options
        )

    def ratio_legend(self) -> tuple[tuple[str, float], ...]:
        """(bar, ratio) of every ratio that occurs."""
        return tuple((self._bar(ratio), ratio) for ratio in self.ratios)

    def _cell(self, layer: Layer) -> Cell:
        title = f"{layer.mixer}, {layer.channel} ×{layer.ratio:g}"
        if layer.heads:
            title = f"{layer.mixer}, {layer.heads} heads, {layer.channel} ×{layer.ratio:g}"
        return Cell(
            _glyph(layer.mixer),
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
    found = {}
    for kind, hue in HUES.items():
        names = [name for name, cls in mixers().items() if cls.kind is kind and name != NO_MIXER]
        for number, name in enumerate(names):
            place = number / max(1, len(names) - 1)
            lightness = DARKEST + (LIGHT - DARKEST) * place
            rgb = hls_to_rgb((hue + AROUND * (2 * place - 1)) % 1.0, lightness, SATURATION)
            found[name] = "#" + "".join(f"{round(255 * part):02x}" for part in rgb)
    return found


def _glyph(option: str) -> str:
    try:
        return parse_mixer(option).glyph
    except ValueError:
        return UNKNOWN


def _name(option: str) -> str:
    return option.partition(":")[0]


def _parameters(option: str) -> tuple[str, list[int]]:
    name, _, parameters = option.partition(":")
    return name, [int(part) for part in parameters.split(",") if part.isdigit()]


def _towards_white(colour: str, share: float) -> str:
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * share):02x}" for part in parts)
