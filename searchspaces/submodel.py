"""A standalone model of one architecture: what is cut out of a supernet, and what ships."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from searchspaces.architecture import NO_MIXER, Architecture, Layer
from searchspaces.blocks import Weights, channel_prefix, extend, forward
from searchspaces.channels import parse_channel
from searchspaces.mixers import parse_mixer
from searchspaces.mixers.mixer import Shape, State
from searchspaces.part import Initial, Weight

__all__ = [
    "DecodeState",
    "Submodel",
    "fresh",
    "has_bounded_state",
    "layer_shapes",
    "matrix_names",
    "mixing_shapes",
    "state_shapes",
    "stem_shapes",
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


def mixing_shapes(layer: Layer, width: int) -> dict[str, Weight]:
    """Weights of a layer's token mixer and of the norm before it, by name; none without a mixer."""
    if layer.mixer == NO_MIXER:
        return {}
    return {"mixing_norm": _norm(width), **parse_mixer(layer.mixer).shapes(layer.sizes(width))}


def layer_shapes(layer: Layer, width: int) -> dict[str, Weight]:
    """Weights of one layer by name: the norms and those of its parts."""
    shapes = mixing_shapes(layer, width)
    if layer.ratio:
        prefix = channel_prefix(layer.channel)
        own = parse_channel(layer.channel).shapes(layer.sizes(width))
        shapes |= {"channel_norm": _norm(width), **{prefix + name: weight for name, weight in own.items()}}
    return shapes


def stem_shapes(vocabulary: int, width: int, tied: bool = True) -> dict[str, Weight]:
    """Weights that belong to no layer: embedding, final norm and, where it is not tied, the output
    projection."""
    rows = Weight((vocabulary, width), ("", "width"), Initial.EMBEDDING)
    return {"embedding": rows, "norm": _norm(width)} | ({} if tied else {"head": rows})


def _norm(width: int) -> Weight:
    return Weight((width,), ("width",), Initial.ONES)


class Submodel(nn.Module):
    """A causal language model of one architecture.

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
        self.embedding = _copied(weights.embedding)
        self.norm = _copied(weights.norm)
        self.head = None if weights.head is None else _copied(weights.head)
        self.layers = nn.ModuleList(
            nn.ParameterDict({name: _copied(weight) for name, weight in own.items()})
            for own in weights.layers
        )

    @property
    def matrices(self) -> frozenset[str]:
        """Names of the parameters that map vectors to vectors."""
        width = self.architecture.width
        shapes = (layer_shapes(layer, width) for layer in self.architecture.layers)
        return matrix_names(shapes)

    @property
    def weights(self) -> Weights:
        """As the blocks read them."""
        layers = [dict(layer.named_parameters()) for layer in self.layers]
        return Weights(self.embedding, self.norm, layers, self.head)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N) token ids → (B, N, V) logits; position i depends on tokens ≤ i."""
        return forward(tokens, self.architecture, self.weights)

    def init_state(self, batch: int) -> DecodeState:
        """The state before the first token, of the weights' type and on their device."""
        width, dtype = self.architecture.width, self.embedding.dtype
        states: list[State] = []
        for layer in self.architecture.layers:
            state = parse_mixer(layer.mixer).init_state(batch, layer.sizes(width), dtype)
            states.append({name: kept.to(self.embedding.device) for name, kept in state.items()})
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


def matrix_names(layers: Iterable[Mapping[str, Weight]]) -> frozenset[str]:
    """Of the parameters of a model with these layers, those that map vectors to vectors."""
    return frozenset(
        f"layers.{number}.{name}"
        for number, shapes in enumerate(layers)
        for name, weight in shapes.items()
        if weight.is_matrix
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
        case Initial.RESIDUAL:
            return nn.Parameter(torch.randn(shape) * (2 * depth * shape[-1]) ** -0.5)
        case Initial.MATRIX:
            return nn.Parameter(torch.randn(shape) * shape[-1] ** -0.5)


def _fresh(architecture: Architecture) -> Weights:
    width, depth = architecture.width, architecture.depth
    shapes_of_stem = stem_shapes(architecture.vocabulary, width, architecture.tied)
    stem = {name: fresh(weight, depth) for name, weight in shapes_of_stem.items()}
    shapes = [layer_shapes(layer, width) for layer in architecture.layers]
    layers = [{name: fresh(weight, depth) for name, weight in own.items()} for own in shapes]
    return Weights(stem["embedding"], stem["norm"], layers, stem.get("head"))


def _copied(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format))
