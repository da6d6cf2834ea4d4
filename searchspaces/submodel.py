"""A standalone model of one architecture: what is cut out of a supernet, and what ships."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from searchspaces.architecture import NO_MIXER, Architecture, Layer
from searchspaces.blocks import MIXING_WEIGHTS, Weights, channel_prefix, forward, step
from searchspaces.channels import parse_channel
from searchspaces.mixers import parse_mixer
from searchspaces.mixers.mixer import Shape, State

__all__ = ["DecodeState", "Submodel", "layer_shapes", "state_shapes"]

EMBEDDING_SCALE = 0.02
"""Standard deviation of fresh embeddings: small, so that a fresh model's tied logits are nearly even."""


@dataclass(frozen=True)
class DecodeState:
    """What decoding carries from token to token.

    Attributes:
        position: tokens so far.
        layers: the state of each layer's mixer.
    """

    position: int
    layers: tuple[State, ...]


def layer_shapes(layer: Layer, width: int) -> dict[str, tuple[int, ...]]:
    """Weights of one layer by name, with their shapes."""
    shapes: dict[str, tuple[int, ...]] = {}
    if layer.mixer != NO_MIXER:
        shapes |= dict.fromkeys(MIXING_WEIGHTS, (width, width)) | {"mixing_norm": (width,)}
    shapes["channel_norm"] = (width,)
    own = parse_channel(layer.channel).shapes(width, round(layer.ratio * width))
    return shapes | {channel_prefix(layer.channel) + name: shape for name, (shape, _) in own.items()}


class Submodel(nn.Module):
    """A causal language model of one architecture.

    Args:
        architecture: what to build.
        weights: copied, shaped as the architecture says; fresh where None.

    Fresh norms are 1, fresh matrices normal with standard deviation 1/√columns, those that write to the
    residual stream divided by √2L more, and embeddings 0.02, both as in GPT-2.
    """

    def __init__(self, architecture: Architecture, weights: Weights | None = None) -> None:
        super().__init__()
        self.architecture = architecture
        if weights is None:
            weights = _fresh(architecture)
        self.embedding = _copied(weights.embedding)
        self.norm = _copied(weights.norm)
        self.layers = nn.ModuleList(
            nn.ParameterDict({name: _copied(weight) for name, weight in own.items()})
            for own in weights.layers
        )

    @property
    def weights(self) -> Weights:
        """As the blocks read them."""
        return Weights(self.embedding, self.norm, [dict(layer.named_parameters()) for layer in self.layers])

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N) token ids → (B, N, V) logits; position i depends on tokens ≤ i."""
        return forward(tokens, self.architecture, self.weights)

    def init_state(self, batch: int) -> DecodeState:
        """The state before the first token, of the weights' type and on their device."""
        width, dtype = self.architecture.width, self.embedding.dtype
        states: list[State] = []
        for layer in self.architecture.layers:
            state: State = {}
            if layer.mixer != NO_MIXER:
                state = parse_mixer(layer.mixer).init_state(batch, layer.heads, width // layer.heads, dtype)
            states.append({name: kept.to(self.embedding.device) for name, kept in state.items()})
        return DecodeState(0, tuple(states))

    def step(self, tokens: Tensor, state: DecodeState) -> tuple[Tensor, DecodeState]:
        """(B,) token ids → (B, V) logits and the next state; equals `forward` at that position."""
        logits, states = step(tokens, state.position, self.architecture, self.weights, state.layers)
        return logits, DecodeState(state.position + 1, tuple(states))


def state_shapes(architecture: Architecture, batch: int, context: int) -> list[dict[str, Shape]]:
    """What each layer's state holds after `context` tokens: shapes by name, none without a mixer."""
    return [
        parse_mixer(layer.mixer).state_shapes(batch, layer.heads, architecture.width // layer.heads, context)
        if layer.mixer != NO_MIXER
        else {}
        for layer in architecture.layers
    ]


def initial(name: str, shape: tuple[int, ...], depth: int) -> nn.Parameter:
    """A fresh weight of a model with `depth` layers; see `Submodel`."""
    if name.endswith("norm"):
        return nn.Parameter(torch.ones(shape))
    if name == "embedding":
        return nn.Parameter(torch.randn(shape) * EMBEDDING_SCALE)
    into_residual = name == "out" or name.endswith("_down")
    scale = (2 * depth) ** -0.5 if into_residual else 1.0
    return nn.Parameter(torch.randn(shape) * scale * shape[-1] ** -0.5)


def _fresh(architecture: Architecture) -> Weights:
    width, depth = architecture.width, architecture.depth
    shapes = [layer_shapes(layer, width) for layer in architecture.layers]
    return Weights(
        initial("embedding", (architecture.vocabulary, width), depth),
        initial("norm", (width,), depth),
        [{name: initial(name, shape, depth) for name, shape in own.items()} for own in shapes],
    )


def _copied(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format))
