"""The arithmetic of a model, as pure functions of weights: what a supernet and a submodel both run.

Pre-norm residual blocks (Xiong et al., 2020) with RMSNorm (Zhang & Sennrich, 2019), rotary positions
(Su et al., 2021) on queries and keys before any mixer, and an output projection that is tied to the
embedding (Press & Wolf, 2017) unless the architecture says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from searchspaces.architecture import NO_MIXER, Architecture, Layer
from searchspaces.channels import parse_channel
from searchspaces.mixers import parse_mixer
from searchspaces.mixers.mixer import CausalMixer, Position, State
from searchspaces.norms import rms_norm
from searchspaces.part import CAUSAL, View
from searchspaces.projection import Projection
from searchspaces.readouts import parse_readout
from searchspaces.rotary import Turns, grid_rotary, rotary
from searchspaces.stems import PaddedStem, parse_stem

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
    "present_in",
    "read_out",
    "rms_norm",
    "turns_of",
]


@dataclass(frozen=True)
class Weights:
    """Everything that an architecture multiplies with, already cut to its sizes.

    Attributes:
        outer: of the stem and of the readout, by name.
        layers: of each layer by name: ``mixing_norm`` (D,) and the token mixer's where it has one;
            ``channel_norm`` (D,) and the channel mixer's own where it has one.
    """

    outer: Mapping[str, Tensor]
    layers: Sequence[Mapping[str, Tensor]]


def channel_prefix(channel: str) -> str:
    """What the names of a channel mixer's weights begin with."""
    return channel.partition(":")[0] + "_"


def embed(inputs: Tensor, architecture: Architecture, weights: Weights) -> Tensor:
    """What goes into a model → its tokens (B, N, D)."""
    return parse_stem(architecture.stem).forward(inputs, weights.outer, architecture.sizes)


def present_in(inputs: Tensor, architecture: Architecture) -> Tensor | None:
    """Which of a model's tokens are there, (B, N) of bool; None where all of any input are."""
    stem = parse_stem(architecture.stem)
    return stem.present(inputs) if isinstance(stem, PaddedStem) else None


def read_out(
    x: Tensor, architecture: Architecture, weights: Weights, present: Tensor | None = None
) -> Tensor:
    """Tokens behind the last layer (B, N, D), and which are there → what the model answers."""
    return parse_readout(architecture.readout).forward(x, weights.outer, architecture.sizes, *given(present))


def positioned(layer: Layer) -> bool:
    """Whether a layer's token mixer reads rotary turns: it is then given those of its head size."""
    return parse_mixer(layer.mixer).positioned


def turns_of(positions: Tensor, architecture: Architecture) -> dict[Layer, Turns]:
    """The rotary turns of every layer whose mixer reads them, shared by those of equal ones.

    Args:
        positions: (N,) in a sequence; where tokens lie on a grid their places in it count instead.
    """
    grid = architecture.view.grid
    made: dict[tuple[int, Projection], Turns] = {}
    turns = {}
    for layer in filter(positioned, architecture.layers):
        size = layer.sizes(architecture.width).head_size
        key = size, layer.projection
        if key not in made:
            made[key] = (
                rotary(positions, *key) if len(grid) < 2 else grid_rotary(grid, size, positions.device)
            )
        turns[layer] = made[key]
    return turns


def mix_tokens(
    x: Tensor,
    layer: Layer,
    weights: Mapping[str, Tensor],
    turns: Turns | None,
    view: View = CAUSAL,
    present: Tensor | None = None,
) -> Tensor:
    """(B, N, D) → what a layer's token mixer adds to it; of tokens that are absent it is any number."""
    normed, sizes = rms_norm(x, weights["mixing_norm"]), layer.sizes(int(x.shape[-1]), view)
    return parse_mixer(layer.mixer).forward(normed, weights, sizes, turns, *given(present))


def given(present: Tensor | None) -> tuple[Tensor, ...]:
    """As a last argument, for parts that know of none: plug-ins of before take models whose tokens are all
    there."""
    return () if present is None else (present,)


def mix_channels(x: Tensor, layer: Layer, weights: Mapping[str, Tensor]) -> Tensor:
    """(…, D) → what a layer's channel mixer adds to it."""
    prefix = channel_prefix(layer.channel)
    own = {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
    return parse_channel(layer.channel).forward(rms_norm(x, weights["channel_norm"]), own)


ForwardLayer = Callable[[Tensor, Layer, Mapping[str, Tensor], Turns | None, View, Tensor | None], Tensor]
ExtendLayer = Callable[
    [Tensor, Layer, Mapping[str, Tensor], Turns | None, State, Position], tuple[Tensor, State]
]


def forward_layer(
    x: Tensor,
    layer: Layer,
    weights: Mapping[str, Tensor],
    turns: Turns | None,
    view: View = CAUSAL,
    present: Tensor | None = None,
) -> Tensor:
    """(B, N, D) → the same after a layer; turns are those of its head size, None where it needs none."""
    if layer.mixer != NO_MIXER:
        x = x + mix_tokens(x, layer, weights, turns, view, present)
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
    inputs: Tensor, architecture: Architecture, weights: Weights, run: ForwardLayer = forward_layer
) -> Tensor:
    """What the architecture's form takes → what it asks for: of a language model (B, N) token ids → (B, N, V)
    logits; `run` computes a layer, and may be compiled."""
    hidden = last_hidden(inputs, architecture, weights, run)
    return read_out(hidden, architecture, weights, present_in(inputs, architecture))


def last_hidden(
    inputs: Tensor, architecture: Architecture, weights: Weights, run: ForwardLayer = forward_layer
) -> Tensor:
    """What goes into a model → its tokens behind the last layer (B, N, D), which `read_out` takes."""
    x, present = embed(inputs, architecture, weights), present_in(inputs, architecture)
    positions = torch.arange(x.shape[1], device=x.device)
    turns = turns_of(positions, architecture)
    for layer, own in zip(architecture.layers, weights.layers, strict=True):
        x = run(x, layer, own, turns.get(layer), architecture.view, present)
    return x


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
    x = embed(tokens, architecture, weights)
    # Made on the device: a copy from the host's memory cannot be in a CUDA graph.
    here = torch.arange(tokens.shape[1], device=tokens.device) + position
    turns = turns_of(here, architecture)
    following = []
    for layer, own, state in zip(architecture.layers, weights.layers, states, strict=True):
        x, state = run(x, layer, own, turns.get(layer), state, position)
        following.append(state)
    return read_out(x, architecture, weights), following


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
    mixer = parse_mixer(layer.mixer)
    assert isinstance(mixer, CausalMixer)  # others stand in no model that tells the next token
    return mixer.extend(normed, weights, sizes, turns, state, position)
