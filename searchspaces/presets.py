"""Published designs as architectures: baselines on every plot, first members of every population."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from searchspaces.architecture import EMBEDDING, LOGITS, Architecture, Layer
from searchspaces.mixers import parse_mixer
from searchspaces.space import SearchSpace

__all__ = ["Preset", "presets"]


@dataclass(frozen=True, slots=True)
class Preset:
    """A design with a name and where it comes from."""

    name: str
    source: str
    architecture: Architecture


Layers = Callable[[SearchSpace, int], list[str]]
"""A space and a depth → the mixer option of each layer."""


@dataclass(frozen=True, slots=True)
class _Design:
    """A published design of token mixing.

    Attributes:
        source: where it comes from.
        layers: its token mixers.
        conv: taps of its short convolutions.
        stem, readout: names of those around its layers.
        strict: whether it is no such design with another readout.
    """

    source: str
    layers: Layers
    conv: int = 0
    stem: str = EMBEDDING
    readout: str = LOGITS
    strict: bool = True


_DESIGNS: dict[str, _Design] = {}


def _design(name: str, source: str, conv: int = 0) -> Callable[[Layers], Layers]:
    """A language model with short convolutions of as many taps, or of those of the space's nearest to it."""

    def register(layers: Layers) -> Layers:
        _DESIGNS[name] = _Design(source, layers, conv)
        return layers

    return register


def _encoder(
    name: str, source: str, mixer: str, size: int = 3, stem: str = "", readout: str = "mean"
) -> None:
    """A model that sees all of its input, with one mixer of a parameter near `size` in every layer; of any
    readout where it is a design of token mixing, which names no stem."""

    def layers(space: SearchSpace, depth: int) -> list[str]:
        return [_option(space, mixer, size)] * depth

    _DESIGNS[name] = _Design(source, layers, stem=stem, readout=readout, strict=bool(stem))


@_design("softmax", "Vaswani et al., 2017")
def _softmax(space: SearchSpace, depth: int) -> list[str]:
    return ["softmax"] * depth


@_design("masformer", "MASFormer: full attention in few layers, windows elsewhere; Zhang et al., 2023")
def _masformer(space: SearchSpace, depth: int) -> list[str]:
    # How many layers and which is ours to choose at these depths: a quarter, the first ones.
    full = max(1, depth // 4)
    return ["softmax"] * full + [_option(space, "window", space.spec.context // 4)] * (depth - full)


@_design("based", "BASED: Taylor linear attention and short windows; Arora et al., 2024", conv=4)
def _based(space: SearchSpace, depth: int) -> list[str]:
    pair = "taylor", _option(space, "window", 64)
    return [pair[i % 2] for i in range(depth)]


@_design("linear", "Katharopoulos et al., 2020")
def _linear(space: SearchSpace, depth: int) -> list[str]:
    return ["linear"] * depth


@_design("sparse", "Longformer, Beltagy et al., 2020; BigBird, Zaheer et al., 2020")
def _sparse(space: SearchSpace, depth: int) -> list[str]:
    return [_option(space, "sparse", 64)] * depth


@_design("decay", "Linear attention with RetNet's fixed decays; Sun et al., 2023")
def _decay(space: SearchSpace, depth: int) -> list[str]:
    return ["decay"] * depth


@_design("gated", "Scalar gates; Mamba-2, Dao & Gu, 2024; GLA, Yang et al., 2024", conv=4)
def _gated(space: SearchSpace, depth: int) -> list[str]:
    return ["gated"] * depth


@_design("decay-hybrid", "Three layers with fixed decays to one of softmax, after Jamba; Lieber et al., 2024")
def _decay_hybrid(space: SearchSpace, depth: int) -> list[str]:
    return _three_to_one("decay", depth)


@_design("gated-deltanet", "Gated DeltaNet; Yang et al., 2025", conv=4)
def _gated_delta(space: SearchSpace, depth: int) -> list[str]:
    return ["gateddelta"] * depth


@_design("qwen3-next", "Three layers of Gated DeltaNet to one of softmax; Qwen3-Next, 2025", conv=4)
def _gated_delta_hybrid(space: SearchSpace, depth: int) -> list[str]:
    return _three_to_one("gateddelta", depth)


@_design("lfm2", "Two gated convolutions to one layer of softmax; LFM2, Liquid AI, 2025")
def _lfm2(space: SearchSpace, depth: int) -> list[str]:
    return ["softmax" if i % 3 == 2 else "gatedconv" for i in range(depth)]


_encoder("vit", "ViT; Dosovitskiy et al., 2021", "softmax", stem="patch")
_encoder("transformer", "Vaswani et al., 2017", "softmax")
_encoder("cct", "Compact Transformers; Hassani et al., 2021", "softmax", stem="conv", readout="pool")
_encoder("poolformer", "PoolFormer; Yu et al., 2022", "pool")
_encoder("convformer", "ConvFormer; MetaFormer baselines, Yu et al., 2024", "conv", size=7)
_encoder("resformer", "ResFormer's local position encoding; Tian et al., 2023", "local")
_encoder("linear-encoder", "Katharopoulos et al., 2020", "linear")
_encoder("slab", "SLAB's attention; Guo et al., 2024", "relu", size=5)
_encoder("performer", "Performer; Choromanski et al., 2021", "performer", size=64)
_encoder("flowformer", "Flowformer; Wu et al., 2022", "flow")
_encoder("longformer", "Longformer; Beltagy et al., 2020", "window", size=64)
_encoder("bigbird", "BigBird; Zaheer et al., 2020", "sparse", size=64)
_encoder("reformer", "Reformer; Kitaev et al., 2020", "lsh", size=64)
_encoder("linformer", "Linformer; Wang et al., 2020", "linformer", size=64)


def _three_to_one(mixer: str, depth: int) -> list[str]:
    """Every fourth layer, or the last one of fewer, is softmax."""
    return ["softmax" if i % 4 == 3 or i == depth - 1 < 3 else mixer for i in range(depth)]


def presets(space: SearchSpace) -> dict[str, Preset]:
    """Every design that the space contains, by name; no two are the same architecture.

    Designs of token mixing, of language models or of those that see all of an input as the space's are, stand
    at every depth, ``NAME-LDEPTH``, with the largest width, the middle
    number of heads, the first of key-value heads and the widest feed-forward; ``matformer-LDEPTH-xRATIO``
    at the largest depth with each smaller feed-forward (MatFormer granularities, Devvrit et al., 2023), and
    ``…-mixed`` with feed-forwards that widen with depth, as large together as that one's (Mix'n'Match there).
    """
    found: dict[str, Preset] = {}
    seen: set[str] = set()
    for preset in _all(space):
        if space.contains(preset.architecture) and preset.architecture.digest not in seen:
            seen.add(preset.architecture.digest)
            found[preset.name] = preset
    return found


def _all(space: SearchSpace) -> Iterator[Preset]:
    spec = space.spec
    width, ratio, channel = max(spec.width), max(spec.layer.ratio), spec.layer.channel[0]
    heads = sorted(spec.layer.heads)[len(spec.layer.heads) // 2]
    # The narrower ones of softmax stand where the wide one does: behind patches where a space has them.
    patches = bool(_options(spec.stem, "patch") and _options(spec.readout, "mean"))
    plain = "softmax" if space.form.causal else "vit" if patches else "transformer"

    def build(mixers: list[str], ratios: Sequence[float], design: _Design = _DESIGNS[plain]) -> Architecture:
        taps = min(spec.layer.conv, key=lambda option: abs(option - design.conv))
        layers = (
            Layer(mixer, heads, channel, of, taps, spec.layer.kv_heads[0], spec.layer.projection)
            for mixer, of in zip(mixers, ratios, strict=True)
        )
        readout = "" if _falls_back(design, spec.readout) else design.readout
        around = _named(spec.stem, design.stem), _named(spec.readout, readout)
        return Architecture(spec.vocabulary, width, tuple(layers), spec.tied, space.form, *around)

    # Behind those that are what their names say: of two that are one model the first one counts.
    designs = sorted(_DESIGNS.items(), key=lambda named: _falls_back(named[1], spec.readout))
    for name, design in designs:
        if space.form.causal == (design.readout == LOGITS):
            for depth in sorted(spec.depth):
                whole = build(design.layers(space, depth), [ratio] * depth, design)
                yield Preset(f"{name}-L{depth}", design.source, whole)
    deepest, ratios = space.max_depth, sorted(spec.layer.ratio)
    source = "MatFormer granularity; Devvrit et al., 2023"
    for smaller in ratios[:-1]:
        granularity = build(["softmax"] * deepest, [smaller] * deepest)
        yield Preset(f"matformer-L{deepest}-x{smaller:g}", source, granularity)
    source = "MatFormer's Mix'n'Match; Devvrit et al., 2023"
    for below, middle, above in zip(ratios, ratios[1:], ratios[2:], strict=False):
        balance = Fraction(above - middle) / Fraction(middle - below)
        narrower, wider = balance.numerator, balance.denominator
        if narrower + wider <= deepest:
            mixed = [below] * narrower + [middle] * (deepest - narrower - wider) + [above] * wider
            name = f"matformer-L{deepest}-x{middle:g}-mixed"
            yield Preset(name, source, build(["softmax"] * deepest, mixed))


def _falls_back(design: _Design, readouts: tuple[str, ...]) -> bool:
    """Whether a design takes another readout than its own, which a space has not."""
    return not design.strict and not _options(readouts, design.readout)


def _options(options: tuple[str, ...], name: str) -> list[str]:
    """Those of that name."""
    return [option for option in options if option.partition(":")[0] == name]


def _named(options: tuple[str, ...], name: str) -> str:
    """The first of the options of that name, or the first of all where none is wanted; the name, which the
    space then does not contain, where it has none."""
    if not name:
        return options[0]
    return next(iter(_options(options, name)), name)


def _option(space: SearchSpace, mixer: str, size: int) -> str:
    """The space's option of a mixer whose parameter is nearest to `size`; the mixer's name, which the
    space then does not contain, where it has none."""
    options = _options(space.spec.layer.mixer, mixer)

    def distance(option: str) -> int:
        first: int = next(iter(vars(parse_mixer(option)).values()), size)
        return abs(first - size)

    return min(options, key=distance, default=mixer)
