"""The pieces that models are composed of: each is exported to ONNX once, and then only called.

A block's inputs are activations (`AXES`) and weights, the latter by the names that they have in a
submodel's layer. The arithmetic is `searchspaces.blocks`', the same that supernets and submodels run.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

from searchspaces.architecture import EMBEDDING, NO_MIXER, Architecture, Layer
from searchspaces.form import LANGUAGE, Form, Tokens
from searchspaces.part import CAUSAL, Part, Sizes, View
from searchspaces.projection import PLAIN, Projection
from searchspaces.readouts import parse_readout
from searchspaces.stems import PaddedStem, parse_stem

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["AXES", "Answer", "Block", "Channels", "Mixing", "Opening", "Positions", "TokenMixer"]

AXES = {
    "tokens": {0: "batch", 1: "length"},
    "pixels": {0: "batch"},
    "series": {0: "batch"},
    "present": {0: "batch", 1: "length"},
    "x": {0: "batch", 1: "length"},
    "y": {0: "batch", 1: "length"},
    "cosine": {0: "length"},
    "sine": {0: "length"},
    "logits": {0: "batch", 1: "length"},
}
"""Activations, and those of their axes that any model file takes at any size."""

DIGIT, DIGITS = 128, 3
"""Positions are written in this base with so many digits: twice the longest workload that is accepted."""

EXAMPLE_BATCH, EXAMPLE_LENGTH, EXAMPLE_VOCABULARY = 2, 96, 32


@dataclass(frozen=True)
class Block(ABC):
    """A piece of a model; its fields are the numbers that are fixed in its graph.

    Attributes:
        width: D.
        view: how tokens lie: any number of them in a causal one, else those of the grid.
    """

    width: int
    view: View = field(default=CAUSAL, kw_only=True)

    @property
    @abstractmethod
    def outputs(self) -> tuple[str, ...]:
        """Activations that it computes, in order."""

    @property
    def name(self) -> str:
        """As an identifier, e.g. ``"Mixing_128_window_64_4"``."""
        told = (str(getattr(self, each.name)) for each in fields(self) if each.name != "view")
        grid = "x".join(map(str, self.view.grid)) + ("padded" if self.view.padded else "")
        return re.sub(r"\W", "_", "_".join([type(self).__name__, *filter(None, [*told, grid])]))

    def axes(self, name: str) -> dict[int, str]:
        """Those axes of an input or output that any model file takes at any size; none of a weight."""
        axes = AXES.get(name, {})
        fixed = bool(self.view.grid)
        return {axis: size for axis, size in axes.items() if not (fixed and size == "length")}

    @abstractmethod
    def example(self) -> dict[str, Tensor]:
        """Inputs by name, in order, of fitting shapes and types."""

    @abstractmethod
    def compute(self, inputs: dict[str, Tensor]) -> Tensor | tuple[Tensor, ...]:
        """Outputs, in order."""

    @property
    def length(self) -> int:
        """N of the example; where tokens all see each other, of every input."""
        return math.prod(self.view.grid) if self.view.grid else EXAMPLE_LENGTH

    def _activations(self) -> Tensor:
        import torch

        return torch.zeros(EXAMPLE_BATCH, self.length, self.width)

    def _present(self) -> dict[str, Tensor]:
        """Where the view is padded ``present`` (B, N), which tokens are there."""
        import torch

        there = torch.ones(EXAMPLE_BATCH, self.length, dtype=torch.bool)
        return {"present": there} if self.view.padded else {}


@dataclass(frozen=True)
class ModelBlock(Block):
    """A block around the layers.

    Attributes:
        option: of the stem or the readout.
        form: of the model; `LANGUAGE` of every language model, for graphs do not follow from a vocabulary.
        tied: whether tokens are told by the embedding.
    """

    option: str
    form: Form
    tied: bool

    @property
    def sizes(self) -> Sizes:
        """What it says to its part."""
        form = Form(Tokens(EXAMPLE_VOCABULARY)) if self.form.causal else self.form
        return Sizes(self.width, view=self.view, form=form, tied=self.tied)

    def weights(self, part: Part) -> dict[str, Tensor]:
        """Zeros."""
        import torch

        return {name: torch.zeros(weight.shape) for name, weight in part.shapes(self.sizes).items()}


@dataclass(frozen=True)
class Opening(ModelBlock):
    """What goes into a model, and its stem's weights → y: its tokens; and present, which are there, where the
    view is padded."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """See the class."""
        return ("y", "present") if self.view.padded else ("y",)

    @classmethod
    def of(cls, architecture: Architecture) -> Self:
        """That of a model."""
        return cls(architecture.width, architecture.stem, *_form(architecture), view=architecture.view)

    def example(self) -> dict[str, Tensor]:
        """Inputs as the form says, (B, N) tokens or (B, C, …) numbers, and weights."""
        import torch

        given = self.form.input
        kind = torch.int64 if isinstance(given, Tokens) else torch.float32
        shape = (EXAMPLE_BATCH, EXAMPLE_LENGTH) if self.form.causal else given.shape(EXAMPLE_BATCH)
        return {given.name: torch.zeros(shape, dtype=kind), **self.weights(parse_stem(self.option))}

    def compute(self, inputs: dict[str, Tensor]) -> Tensor | tuple[Tensor, ...]:
        """y (B, N, D) and present (B, N)."""
        stem, given = parse_stem(self.option), inputs[self.form.input.name]
        tokens = stem.forward(given, inputs, self.sizes)
        return (tokens, stem.present(given)) if isinstance(stem, PaddedStem) else tokens


@dataclass(frozen=True)
class Positions(Block):
    """tokens → cosine, sine: the rotary turns of one head size, shared by the layers that have it."""

    head_size: int
    projection: Projection = PLAIN

    outputs: ClassVar[tuple[str, ...]] = ("cosine", "sine")

    @cached_property
    def tables(self) -> list[tuple[Tensor, Tensor]]:
        """Turns by the last, the middle and the first digit of a position in base `DIGIT`."""
        import torch

        from searchspaces.rotary import ROTARY_BLOCK, rotary

        # This project's own turns repeat block by block.
        size = self.head_size if self.projection.base else math.gcd(ROTARY_BLOCK, self.head_size)
        positions = torch.arange(DIGIT)
        return [rotary(positions * DIGIT**power, size, self.projection) for power in range(DIGITS)]

    def example(self) -> dict[str, Tensor]:
        """tokens (B, N), whose length alone counts."""
        import torch

        assert self.tables  # made before the trace, which then takes them for constants
        return {"tokens": torch.zeros(EXAMPLE_BATCH, EXAMPLE_LENGTH, dtype=torch.int64)}

    def compute(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """cosine and sine, (N, K) each, of up to `DIGIT` ** `DIGITS` positions."""
        import torch

        return self.turns(torch.arange(inputs["tokens"].shape[1]))

    def turns(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines (N, K) of positions (N,).

        By the sums of angles of a position's digits: whole numbers and tables alone, for an engine that
        computes in half precision would round positions beyond 256 and turn neighbours alike.
        """
        import torch

        turned: tuple[Tensor, Tensor] | None = None
        for power, (cosines, sines) in enumerate(self.tables):
            digits = torch.div(positions, DIGIT**power, rounding_mode="trunc")
            if power < DIGITS - 1:
                digits = digits.remainder(DIGIT)
            cosine, sine = cosines[digits], sines[digits]
            if turned is not None:
                cosine, sine = cosine * turned[0] - sine * turned[1], sine * turned[0] + cosine * turned[1]
            turned = cosine, sine
        copies = self.head_size // int(cosine.shape[-1])
        return torch.cat([cosine] * copies, dim=-1), torch.cat([sine] * copies, dim=-1)


@dataclass(frozen=True)
class TokenMixer(Block):
    """A block that is a layer's token mixer.

    Attributes:
        mixer, heads, conv, kv_heads, projection: of the layer.
    """

    mixer: str
    heads: int
    conv: int
    kv_heads: int
    projection: Projection

    @classmethod
    def of(cls, layer: Layer, width: int, *others: int, view: View = CAUSAL) -> Self:
        """That of a layer of a model of width D; others are fields that it has besides."""
        genes = layer.mixer, layer.heads, layer.conv, layer.kv_heads, layer.projection
        return cls(width, *genes, *others, view=view)

    @property
    def layer(self) -> Layer:
        """A layer with this token mixer; the genes of its channel mixer do not count."""
        return Layer(self.mixer, self.heads, "", 0, self.conv, self.kv_heads, self.projection)

    @property
    def head_size(self) -> int:
        """K."""
        return self.layer.sizes(self.width).head_size

    def weights(self) -> dict[str, Tensor]:
        """The norm's and the mixer's, zeros."""
        import torch

        from searchspaces.submodel import mixing_shapes

        shapes = mixing_shapes(self.layer, self.width, self.view)
        return {name: torch.zeros(weight.shape) for name, weight in shapes.items()}


@dataclass(frozen=True)
class Mixing(TokenMixer):
    """x, cosine and sine where it reads them, and a token mixer's weights → y: x plus what it adds. On a grid
    the turns are constants."""

    outputs: ClassVar[tuple[str, ...]] = ("y",)

    @property
    def reads_turns(self) -> bool:
        """Whether cosine and sine are among its inputs."""
        from searchspaces.blocks import positioned

        return not self.view.grid and positioned(self.layer)

    @cached_property
    def grid_turns(self) -> tuple[Tensor, Tensor] | None:
        """Those of its grid; None where it has none, or its mixer reads none."""
        from searchspaces.blocks import positioned
        from searchspaces.rotary import grid_rotary

        if not (self.view.grid and positioned(self.layer)):
            return None
        return grid_rotary(self.view.grid, self.head_size)

    def example(self) -> dict[str, Tensor]:
        """x (B, N, D), the turns (N, K) and the weights."""
        import torch

        inputs = {"x": self._activations(), **self._present()}
        if self.reads_turns:
            for name in Positions.outputs:
                inputs[name] = torch.zeros(self.length, self.head_size)
        _ = self.grid_turns  # made before the trace, which then takes them for constants
        return inputs | self.weights()

    def compute(self, inputs: dict[str, Tensor]) -> Tensor:
        """y (B, N, D)."""
        from searchspaces.blocks import mix_tokens

        turns = (inputs["cosine"], inputs["sine"]) if self.reads_turns else self.grid_turns
        present = inputs.get("present")
        return inputs["x"] + mix_tokens(inputs["x"], self.layer, inputs, turns, self.view, present)


@dataclass(frozen=True)
class Channels(Block):
    """x and a layer's feed-forward weights → y: x plus what its channel mixer adds."""

    channel: str
    ratio: float

    outputs: ClassVar[tuple[str, ...]] = ("y",)

    @property
    def layer(self) -> Layer:
        """A layer with this channel mixer and nothing else."""
        return Layer(NO_MIXER, 0, self.channel, self.ratio)

    def example(self) -> dict[str, Tensor]:
        """x (B, N, D) and the layer's weights."""
        import torch

        from searchspaces.submodel import layer_shapes

        shapes = layer_shapes(self.layer, self.width)
        return {"x": self._activations()} | {name: torch.zeros(w.shape) for name, w in shapes.items()}

    def compute(self, inputs: dict[str, Tensor]) -> Tensor:
        """y (B, N, D)."""
        from searchspaces.blocks import mix_channels

        return inputs["x"] + mix_channels(inputs["x"], self.layer, inputs)


@dataclass(frozen=True)
class Answer(ModelBlock):
    """x and the readout's weights → logits."""

    outputs: ClassVar[tuple[str, ...]] = ("logits",)

    @classmethod
    def of(cls, architecture: Architecture) -> Self:
        """That of a model."""
        return cls(architecture.width, architecture.readout, *_form(architecture), view=architecture.view)

    def example(self) -> dict[str, Tensor]:
        """x (B, N, D) and weights, the embedding among them where it tells tokens."""
        shared = {}
        if self.form.causal and self.tied:
            shared = self.weights(parse_stem(EMBEDDING))
        own = self.weights(parse_readout(self.option))
        return {"x": self._activations(), **self._present(), **own, **shared}

    def compute(self, inputs: dict[str, Tensor]) -> Tensor:
        """logits (B, N, V), or (B, classes)."""
        from searchspaces.blocks import given

        present = given(inputs.get("present"))
        return parse_readout(self.option).forward(inputs["x"], inputs, self.sizes, *present)


def _form(architecture: Architecture) -> tuple[Form, bool]:
    return LANGUAGE if architecture.form.causal else architecture.form, architecture.tied
