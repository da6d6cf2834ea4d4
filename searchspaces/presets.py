"""Published designs as architectures: baselines on every plot, first members of every population."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from searchspaces.architecture import Architecture, Layer
from searchspaces.space import SearchSpace

__all__ = ["Preset", "presets"]


@dataclass(frozen=True, slots=True)
class Preset:
    """A design with a name and where it comes from."""

    name: str
    source: str
    architecture: Architecture


Design = Callable[[int], list[str]]
"""Depth → the mixer of each layer; an empty list where the design does not exist at that depth."""

_DESIGNS: list[tuple[str, str, Design]] = []


def _design(name: str, source: str) -> Callable[[Design], Design]:
    def register(design: Design) -> Design:
        _DESIGNS.append((name, source, design))
        return design

    return register


@_design("softmax", "Vaswani et al., 2017")
def _softmax(depth: int) -> list[str]:
    return ["softmax"] * depth


@_design("masformer", "MASFormer: full attention in few layers, windows elsewhere; Zhang et al., 2023")
def _masformer(depth: int) -> list[str]:
    full = max(1, depth // 4)
    return ["window:64"] * (depth - full) + ["softmax"] * full


@_design("based", "BASED: Taylor linear attention and short windows; Arora et al., 2024")
def _based(depth: int) -> list[str]:
    return [("taylor", "window:64")[i % 2] for i in range(depth)]


@_design("linear", "Katharopoulos et al., 2020")
def _linear(depth: int) -> list[str]:
    return ["linear"] * depth


@_design("sparse", "Longformer, Beltagy et al., 2020; BigBird, Zaheer et al., 2020")
def _sparse(depth: int) -> list[str]:
    return ["sparse"] * depth


def presets(space: SearchSpace) -> dict[str, Preset]:
    """Every design that the space contains, by name.

    Token mixing designs stand at every depth with the widest feed-forward; `matformer` stands at the
    largest depth with each smaller feed-forward ratio (Devvrit et al., 2023).
    """
    return {preset.name: preset for preset in _all(space) if space.contains(preset.architecture)}


def _all(space: SearchSpace) -> Iterator[Preset]:
    spec = space.spec
    width, ratio, channel = max(spec.width), max(spec.layer.ratio), spec.layer.channel[0]
    heads = sorted(spec.layer.heads)[len(spec.layer.heads) // 2]

    def build(mixers: list[str], ratio: float) -> Architecture:
        return Architecture(spec.vocabulary, width, tuple(Layer(m, heads, channel, ratio) for m in mixers))

    for name, source, design in _DESIGNS:
        for depth in sorted(spec.depth):
            yield Preset(f"{name}-L{depth}", source, build(design(depth), ratio))
    for smaller in sorted(spec.layer.ratio)[:-1]:
        depth = max(spec.depth)
        source = "MatFormer granularity; Devvrit et al., 2023"
        yield Preset(f"matformer-L{depth}-x{smaller:g}", source, build(["softmax"] * depth, smaller))
