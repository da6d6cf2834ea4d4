"""The pieces that models are composed of: each is exported to ONNX once, and then only called.

A block's inputs are activations (`AXES`) and weights, the latter by the names that they have in a
submodel's layer. The arithmetic is `searchspaces.blocks`', the same that supernets and submodels run.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

from searchspaces.architecture import NO_MIXER, Architecture, Layer
from searchspaces.projection import PLAIN, Projection

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["AXES", "Block", "Channels", "Embedding", "Logits", "Mixing", "Positions", "TokenMixer"]

AXES = {
    "tokens": {0: "batch", 1: "length"},
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
    """

    width: int

    @property
    @abstractmethod
    def outputs(self) -> tuple[str, ...]:
        """Activations that it computes, in order."""

    @property
    def name(self) -> str:
        """As an identifier, e.g. ``"Mixing_128_window_64_4"``."""
        numbers = (str(getattr(self, field.name)) for field in fields(self))
        return re.sub(r"\W", "_", "_".join([type(self).__name__, *filter(None, numbers)]))

    def axes(self, name: str) -> dict[int, str]:
        """Those axes of an input or output that any model file takes at any size; none of a weight."""
        return AXES.get(name, {})

    @abstractmethod
    def example(self) -> dict[str, Tensor]:
        """Inputs by name, in order, of fitting shapes and types."""

    @abstractmethod
    def compute(self, inputs: dict[str, Tensor]) -> Tensor | tuple[Tensor, ...]:
        """Outputs, in order."""

    def _activations(self) -> Tensor:
        import torch

        return torch.zeros(EXAMPLE_BATCH, EXAMPLE_LENGTH, self.width)


@dataclass(frozen=True)
class Embedding(Block):
    """tokens → y."""

    outputs: ClassVar[tuple[str, ...]] = ("y",)

    def example(self) -> dict[str, Tensor]:
        """tokens (B, N) and embedding (V, D)."""
        import torch

        tokens = torch.zeros(EXAMPLE_BATCH, EXAMPLE_LENGTH, dtype=torch.int64)
        return {"tokens": tokens, "embedding": torch.zeros(EXAMPLE_VOCABULARY, self.width)}

    def compute(self, inputs: dict[str, Tensor]) -> Tensor:
        """y (B, N, D)."""
        from searchspaces.blocks import embed

        return embed(inputs["tokens"], inputs["embedding"])


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
    def of(cls, layer: Layer, width: int, *others: int) -> Self:
        """That of a layer of a model of width D; others are fields that it has besides."""
        genes = layer.mixer, layer.heads, layer.conv, layer.kv_heads, layer.projection
        return cls(width, *genes, *others)

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

        return {name: torch.zeros(w.shape) for name, w in mixing_shapes(self.layer, self.width).items()}


@dataclass(frozen=True)
class Mixing(TokenMixer):
    """x, cosine and sine where it reads them, and a token mixer's weights → y: x plus what it adds."""

    outputs: ClassVar[tuple[str, ...]] = ("y",)

    def example(self) -> dict[str, Tensor]:
        """x (B, N, D), the turns (N, K) and the weights."""
        import torch

        from searchspaces.blocks import positioned

        inputs = {"x": self._activations()}
        if positioned(self.layer):
            for name in Positions.outputs:
                inputs[name] = torch.zeros(EXAMPLE_LENGTH, self.head_size)
        return inputs | self.weights()

    def compute(self, inputs: dict[str, Tensor]) -> Tensor:
        """y (B, N, D)."""
        from searchspaces.blocks import mix_tokens

        turns = (inputs["cosine"], inputs["sine"]) if "cosine" in inputs else None
        return inputs["x"] + mix_tokens(inputs["x"], self.layer, inputs, turns)


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
class Logits(Block):
    """x, norm and the output projection → logits.

    Attributes:
        projection: name of the output projection's weight.
    """

    projection: str

    outputs: ClassVar[tuple[str, ...]] = ("logits",)

    @classmethod
    def of(cls, architecture: Architecture) -> Self:
        """That of a model."""
        return cls(architecture.width, "embedding" if architecture.tied else "head")

    def example(self) -> dict[str, Tensor]:
        """x (B, N, D), norm (D,) and the projection (V, D)."""
        import torch

        rows = torch.zeros(EXAMPLE_VOCABULARY, self.width)
        return {"x": self._activations(), "norm": torch.zeros(self.width), self.projection: rows}

    def compute(self, inputs: dict[str, Tensor]) -> Tensor:
        """logits (B, N, V)."""
        from torch.nn.functional import linear

        from searchspaces.norms import rms_norm

        return linear(rms_norm(inputs["x"], inputs["norm"]), inputs[self.projection])
