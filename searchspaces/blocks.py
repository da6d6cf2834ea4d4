"""The arithmetic of a model, as pure functions of weights: what a supernet and a submodel both run.

Pre-norm residual blocks (Xiong et al., 2020) with RMSNorm (Zhang & Sennrich, 2019), rotary positions
(Su et al., 2021) on queries and keys before any mixer, and an output projection that is tied to the
embedding (Press & Wolf, 2017) unless the architecture says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding, linear

from searchspaces.architecture import NO_MIXER, Architecture, Layer
from searchspaces.channels import parse_channel
from searchspaces.mixers import parse_mixer
from searchspaces.mixers.mixer import Position, State
from searchspaces.norms import rms_norm
from searchspaces.projection import Projection
from searchspaces.rotary import Turns, rotary

__all__ = [
    "ExtendLayer",
    "ForwardLayer",
    "Weights",
    "channel_prefix",
    "embed",
    "extend",
    "extend_layer",
    "extend_tokens",
    "forward",
    "forward_layer",
    "last_hidden",
    "mix_channels",
    "mix_tokens",
    "positioned",
    "rms_norm",
    "turns_of",
]


@dataclass(frozen=True)
class Weights:
    """Everything that an architecture multiplies with, already cut to its sizes.

    Attributes:
        embedding: (V, D).
        norm: (D,) of the final norm.
        layers: of each layer by name: ``mixing_norm`` (D,) and the token mixer's where it has one;
            ``channel_norm`` (D,) and the channel mixer's own where it has one.
        head: (V, D) of the output projection; None where it is the embedding.
    """

    embedding: Tensor
    norm: Tensor
    layers: Sequence[Mapping[str, Tensor]]
    head: Tensor | None = None

    @property
    def output(self) -> Tensor:
        """(V, D) of the output projection."""
        return self.embedding if self.head is None else self.head


def channel_prefix(channel: str) -> str:
    """What the names of a channel mixer's weights begin with."""
    return channel.partition(":")[0] + "_"


def embed(tokens: Tensor, weight: Tensor) -> Tensor:
    """Token ids (…) and (V, D) → (…, D), times √D as in Vaswani et al. (2017, 3.4): a tied embedding starts
    small for the logits' sake, and without the factor its residual stream learns much more slowly."""
    return embedding(tokens, weight) * math.sqrt(weight.shape[1])


def positioned(layer: Layer) -> bool:
    """Whether a layer's token mixer reads rotary turns: it is then given those of its head size."""
    return parse_mixer(layer.mixer).positioned


def turns_of(positions: Tensor, architecture: Architecture) -> dict[Layer, Turns]:
    """The rotary turns of every layer whose mixer reads them, shared by those of equal ones."""
    made: dict[tuple[int, Projection], Turns] = {}
    turns = {}
    for layer in filter(positioned, architecture.layers):
        size = layer.sizes(architecture.width).head_size
        key = size, layer.projection
        if key not in made:
            made[key] = rotary(positions, *key)
        turns[layer] = made[key]
    return turns


def mix_tokens(x: Tensor, layer: Layer, weights: Mapping[str, Tensor], turns: Turns | None) -> Tensor:
    """(B, N, D) → what a layer's token mixer adds to it."""
    normed = rms_norm(x, weights["mixing_norm"])
    return parse_mixer(layer.mixer).forward(normed, weights, layer.sizes(int(x.shape[-1])), turns)


def mix_channels(x: Tensor, layer: Layer, weights: Mapping[str, Tensor]) -> Tensor:
    """(…, D) → what a layer's channel mixer adds to it."""
    prefix = channel_prefix(layer.channel)
    own = {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
    return parse_channel(layer.channel).forward(rms_norm(x, weights["channel_norm"]), own)


ForwardLayer = Callable[[Tensor, Layer, Mapping[str, Tensor], Turns | None], Tensor]
ExtendLayer = Callable[
    [Tensor, Layer, Mapping[str, Tensor], Turns | None, State, Position], tuple[Tensor, State]
]


def forward_layer(x: Tensor, layer: Layer, weights: Mapping[str, Tensor], turns: Turns | None) -> Tensor:
    """(B, N, D) → the same after a layer; turns are those of its head size, None where it needs none."""
    if layer.mixer != NO_MIXER:
        x = x + mix_tokens(x, layer, weights, turns)
    return x + mix_channels(x, layer, weights) if layer.ratio else x


def extend_layer(
    x: Tensor,
    layer: Layer,
    weights: Mapping[str, Tensor],
    turns: Turns | None,
    state: State,
    position: Position,
) -> tuple[Tensor, State]:
    """`forward_layer` of S more tokens (B, S, D) from `position` on, and the layer's next state."""
    if layer.mixer != NO_MIXER:
        mixed, state = extend_tokens(x, layer, weights, turns, state, position)
        x = x + mixed
    return x + mix_channels(x, layer, weights) if layer.ratio else x, state


def forward(
    tokens: Tensor, architecture: Architecture, weights: Weights, run: ForwardLayer = forward_layer
) -> Tensor:
    """(B, N) token ids → (B, N, V) logits; `run` computes a layer, and may be compiled."""
    return linear(last_hidden(tokens, architecture, weights, run), weights.output)


def last_hidden(
    tokens: Tensor, architecture: Architecture, weights: Weights, run: ForwardLayer = forward_layer
) -> Tensor:
    """(B, N) token ids → (B, N, D), what the output projection makes logits of."""
    x = embed(tokens, weights.embedding)
    positions = torch.arange(tokens.shape[1], device=tokens.device)
    turns = turns_of(positions, architecture)
    for layer, own in zip(architecture.layers, weights.layers, strict=True):
        x = run(x, layer, own, turns.get(layer))
    return rms_norm(x, weights.norm)


def extend(
    tokens: Tensor,
    position: Position,
    architecture: Architecture,
    weights: Weights,
    states: Sequence[State],
    run: ExtendLayer = extend_layer,
) -> tuple[Tensor, list[State]]:
    """(B, S) token ids from `position` on → (B, S, V) logits and the layers' next states; `run` as in
    `forward`."""
    x = embed(tokens, weights.embedding)
    # Made on the device: a copy from the host's memory cannot be in a CUDA graph.
    here = torch.arange(tokens.shape[1], device=tokens.device) + position
    turns = turns_of(here, architecture)
    following = []
    for layer, own, state in zip(architecture.layers, weights.layers, states, strict=True):
        x, state = run(x, layer, own, turns.get(layer), state, position)
        following.append(state)
    return linear(rms_norm(x, weights.norm), weights.output), following


def extend_tokens(
    x: Tensor,
    layer: Layer,
    weights: Mapping[str, Tensor],
    turns: Turns | None,
    state: State,
    position: Position,
) -> tuple[Tensor, State]:
    """(B, S, D) → what a layer's token mixer adds to S more tokens, and its next state."""
    normed = rms_norm(x, weights["mixing_norm"])
    sizes = layer.sizes(int(x.shape[-1]))
    return parse_mixer(layer.mixer).extend(normed, weights, sizes, turns, state, position)
