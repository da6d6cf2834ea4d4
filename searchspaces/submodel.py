"""A standalone model of one architecture: what is cut out of a supernet, and what ships."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from searchspaces.architecture import NO_MIXER, Architecture, Layer
from searchspaces.blocks import Weights, channel_prefix, extend, forward
from searchspaces.channels import parse_channel
from searchspaces.mixers import parse_mixer
from searchspaces.mixers.mixer import Shape, State
from searchspaces.part import CAUSAL, Initial, Sizes, View, Weight
from searchspaces.readouts import parse_readout
from searchspaces.stems import parse_stem

__all__ = [
    "DecodeState",
    "Submodel",
    "fresh",
    "has_bounded_state",
    "layer_shapes",
    "matrix_names",
    "mixing_shapes",
    "outer_shapes",
    "state_shapes",
]

EMBEDDING_SCALE = 0.02
"""See `Initial.EMBEDDING`."""


@dataclass(frozen=True)
class DecodeState:
    """What generation carries from call to call.

    Attributes:
        position: tokens so far.
        layers: the state of each layer's mixer.
    """

    position: int
    layers: tuple[State, ...]


def mixing_shapes(layer: Layer, width: int, view: View = CAUSAL) -> dict[str, Weight]:
    """Weights of a layer's token mixer and of the norm before it, by name; none without a mixer."""
    if layer.mixer == NO_MIXER:
        return {}
    return {"mixing_norm": _norm(width), **parse_mixer(layer.mixer).shapes(layer.sizes(width, view))}


def layer_shapes(layer: Layer, width: int, view: View = CAUSAL) -> dict[str, Weight]:
    """Weights of one layer by name: the norms and those of its parts."""
    shapes = mixing_shapes(layer, width, view)
    if layer.ratio:
        prefix = channel_prefix(layer.channel)
        own = parse_channel(layer.channel).shapes(layer.sizes(width, view))
        shapes |= {"channel_norm": _norm(width), **{prefix + name: weight for name, weight in own.items()}}
    return shapes


def outer_shapes(stem: str, readout: str, sizes: Sizes) -> dict[str, Weight]:
    """Weights that belong to no layer, by name: the stem's and the readout's, which may share some."""
    return {**parse_stem(stem).shapes(sizes), **parse_readout(readout).shapes(sizes)}


def _norm(width: int) -> Weight:
    return Weight((width,), ("width",), Initial.ONES)


class Submodel(nn.Module):
    """A model of one architecture. Parameters outside its layers have the names that stem and readout give
    them.

    Args:
        architecture: what to build.
        weights: copied, shaped as the architecture says; fresh where None.

    Fresh weights are drawn as each says (`searchspaces.part.Initial`).
    """

    def __init__(self, architecture: Architecture, weights: Weights | None = None) -> None:
        super().__init__()
        self.architecture = architecture
        if weights is None:
            weights = _fresh(architecture)
        for name, weight in weights.outer.items():
            self.register_parameter(name, _copied(weight))
        self.layers = nn.ModuleList(
            nn.ParameterDict({name: _copied(weight) for name, weight in own.items()})
            for own in weights.layers
        )

    @property
    def matrices(self) -> frozenset[str]:
        """Names of the parameters that map vectors to vectors."""
        return matrix_names(*_shapes(self.architecture))

    @property
    def weights(self) -> Weights:
        """As the blocks read them."""
        layers = [dict(layer.named_parameters()) for layer in self.layers]
        return Weights(dict(self.named_parameters(recurse=False)), layers)

    @property
    def like(self) -> Tensor:
        """A weight, for the type and the device of all."""
        return next(self.parameters())

    def forward(self, inputs: Tensor) -> Tensor:
        """What the form takes → what it asks for: (B, N) token ids → (B, N, V) logits, where position i
        depends on tokens ≤ i; or pixels (B, C, H, W) → (B, classes)."""
        return forward(inputs, self.architecture, self.weights)

    def init_state(self, batch: int) -> DecodeState:
        """The state before the first token, of the weights' type and on their device."""
        width, dtype = self.architecture.width, self.like.dtype
        states: list[State] = []
        for layer in self.architecture.layers:
            state = parse_mixer(layer.mixer).init_state(batch, layer.sizes(width), dtype)
            states.append({name: kept.to(self.like.device) for name, kept in state.items()})
        return DecodeState(0, tuple(states))

    def extend(self, tokens: Tensor, state: DecodeState) -> tuple[Tensor, DecodeState]:
        """(B, S) more token ids → (B, S, V) logits and the next state; equals `forward` of all tokens so far
        at these positions."""
        logits, states = extend(tokens, state.position, self.architecture, self.weights, state.layers)
        return logits, DecodeState(state.position + tokens.shape[1], tuple(states))


def state_shapes(architecture: Architecture, batch: int, context: int) -> list[dict[str, Shape]]:
    """What each layer's state holds after `context` tokens: shapes by name, none without a mixer."""
    return [
        parse_mixer(layer.mixer).state_shapes(batch, layer.sizes(architecture.width), context)
        for layer in architecture.layers
    ]


def has_bounded_state(architecture: Architecture) -> bool:
    """Whether no layer's state grows with the context."""
    return state_shapes(architecture, 1, 1) == state_shapes(architecture, 1, 1 << 20)


def matrix_names(outer: Mapping[str, Weight], layers: Sequence[Mapping[str, Weight]]) -> frozenset[str]:
    """Of the parameters of a model with these weights, those that map vectors to vectors."""
    named = [("", outer), *((f"layers.{number}.", shapes) for number, shapes in enumerate(layers))]
    return frozenset(
        prefix + name for prefix, shapes in named for name, weight in shapes.items() if weight.is_matrix
    )


def fresh(weight: Weight, depth: int) -> nn.Parameter:
    """A fresh weight of a model with `depth` layers."""
    shape = weight.shape
    match weight.initial:
        case Initial.ONES:
            return nn.Parameter(torch.ones(shape))
        case Initial.ZEROS:
            return nn.Parameter(torch.zeros(shape))
        case Initial.EMBEDDING:
            return nn.Parameter(torch.randn(shape) * EMBEDDING_SCALE)
        case Initial.KERNEL:
            return nn.Parameter(torch.randn(shape) * math.prod(shape[1:]) ** -0.5)
        case Initial.RESIDUAL:
            return nn.Parameter(torch.randn(shape) * (2 * depth * shape[-1]) ** -0.5)
        case Initial.MATRIX:
            return nn.Parameter(torch.randn(shape) * shape[-1] ** -0.5)


def _shapes(architecture: Architecture) -> tuple[dict[str, Weight], list[dict[str, Weight]]]:
    """Outside the layers, and of each."""
    outer = outer_shapes(architecture.stem, architecture.readout, architecture.sizes)
    width, view = architecture.width, architecture.view
    return outer, [layer_shapes(layer, width, view) for layer in architecture.layers]


def _fresh(architecture: Architecture) -> Weights:
    depth = architecture.depth
    outer, layers = _shapes(architecture)
    return Weights(
        {name: fresh(weight, depth) for name, weight in outer.items()},
        [{name: fresh(weight, depth) for name, weight in own.items()} for own in layers],
    )


def _copied(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format))
