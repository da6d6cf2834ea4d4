"""The arithmetic of a model, as pure functions of weights: what a supernet and a submodel both run.

Pre-norm residual blocks (Xiong et al., 2020) with RMSNorm (Zhang & Sennrich, 2019), rotary positions
(Su et al., 2021) on queries and keys before any mixer, no biases, and an output projection tied to the
embedding (Press & Wolf, 2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding, linear

from searchspaces.architecture import NO_MIXER, Architecture, Layer
from searchspaces.channels import parse_channel
from searchspaces.mixers import parse_mixer
from searchspaces.mixers.mixer import State

__all__ = [
    "MIXING_WEIGHTS",
    "Weights",
    "channel_prefix",
    "embed",
    "forward",
    "mix_channels",
    "mix_tokens",
    "rms_norm",
    "rotary",
    "step",
    "step_tokens",
]

NORM_EPSILON = 1e-6
ROTARY_BASE = 10_000.0
ROTARY_BLOCK = 16

PROJECTIONS = ("query", "key", "value")

MIXING_WEIGHTS = ("mixing_norm", *PROJECTIONS, "out")
"""Of a layer with a token mixer: its norm (D,) and matrices (D, D), shared by all mixers and head counts."""


@dataclass(frozen=True)
class Weights:
    """Everything that an architecture multiplies with, already cut to its sizes.

    Attributes:
        embedding: (V, D).
        norm: (D,) of the final norm.
        layers: of each layer by name: the `MIXING_WEIGHTS` where it has a token mixer; ``channel_norm``
            (D,) and the channel mixer's own.
    """

    embedding: Tensor
    norm: Tensor
    layers: Sequence[Mapping[str, Tensor]]


def channel_prefix(channel: str) -> str:
    """What the names of a channel mixer's weights begin with."""
    return channel.partition(":")[0] + "_"


def embed(tokens: Tensor, weight: Tensor) -> Tensor:
    """Token ids (…) and (V, D) → (…, D), times √D as in Vaswani et al. (2017, 3.4): a tied embedding starts
    small for the logits' sake, and without the factor its residual stream learns much more slowly."""
    return embedding(tokens, weight) * math.sqrt(weight.shape[1])


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """(…, D) → (…, D)."""
    # In these terms onnxruntime finds its fused SimplifiedLayerNormalization.
    return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + NORM_EPSILON) * weight


def rotary(positions: Tensor, head_size: int) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines, (N, K) each, of (N,) positions; any position, no table to run out of.

    Every `ROTARY_BLOCK` dimensions are turned alike, in pairs half a block apart. A dimension of a
    projection is then turned the same way whatever the number of heads it is split into, so that head
    counts can share projections; with pairs K/2 apart, as is usual, each would want its own.
    """
    block = _rotary_block(head_size)
    exponents = torch.arange(block // 2, device=positions.device, dtype=torch.float32) / (block // 2)
    angles = positions.to(torch.float32).unsqueeze(-1) * ROTARY_BASE**-exponents
    cosine, sine = angles.cos(), angles.sin()
    blocks = head_size // block
    return torch.cat([cosine, cosine] * blocks, dim=-1), torch.cat([-sine, sine] * blocks, dim=-1)


def _rotary_block(head_size: int) -> int:
    return math.gcd(ROTARY_BLOCK, head_size)


def _turn(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Turns are single precision, for half would confuse distant positions; the result is of x's type."""
    cosine, sine = turns
    halves = torch.unflatten(x, -1, (-1, 2, _rotary_block(int(x.shape[-1])) // 2))
    return (x * cosine + halves.flip(-2).flatten(-3) * sine).to(x.dtype)


def mix_tokens(
    x: Tensor, layer: Layer, weights: Mapping[str, Tensor], turns: tuple[Tensor, Tensor]
) -> Tensor:
    """(B, N, D) → what a layer's token mixer adds to it."""
    batch, tokens, width = x.shape
    width = int(width)  # a constant in exports by tracing
    shape = batch, tokens, layer.heads, width // layer.heads
    normed = rms_norm(x, weights["mixing_norm"])
    # Three products: onnxruntime would copy all of one product's result to split it.
    q, k, v = (linear(normed, weights[name]).reshape(shape).transpose(1, 2) for name in PROJECTIONS)
    mixed = parse_mixer(layer.mixer).forward(_turn(q, turns), _turn(k, turns), v)
    return linear(mixed.transpose(1, 2).reshape(batch, tokens, width), weights["out"])


def mix_channels(x: Tensor, layer: Layer, weights: Mapping[str, Tensor]) -> Tensor:
    """(…, D) → what a layer's channel mixer adds to it."""
    prefix = channel_prefix(layer.channel)
    own = {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
    return parse_channel(layer.channel).forward(rms_norm(x, weights["channel_norm"]), own)


def forward(tokens: Tensor, architecture: Architecture, weights: Weights) -> Tensor:
    """(B, N) token ids → (B, N, V) logits."""
    x = embed(tokens, weights.embedding)
    positions = torch.arange(tokens.shape[1], device=tokens.device)
    heads = sorted({layer.heads for layer in architecture.layers if layer.mixer != NO_MIXER})
    turns = {h: rotary(positions, architecture.width // h) for h in heads}
    for layer, own in zip(architecture.layers, weights.layers, strict=True):
        if layer.mixer != NO_MIXER:
            x = x + mix_tokens(x, layer, own, turns[layer.heads])
        x = x + mix_channels(x, layer, own)
    return linear(rms_norm(x, weights.norm), weights.embedding)


def step(
    tokens: Tensor, position: int, architecture: Architecture, weights: Weights, states: Sequence[State]
) -> tuple[Tensor, list[State]]:
    """(B,) token ids at one position → (B, V) logits and the layers' next states."""
    x = embed(tokens, weights.embedding)
    here = torch.tensor([position], device=tokens.device)
    following = []
    for layer, own, state in zip(architecture.layers, weights.layers, states, strict=True):
        if layer.mixer != NO_MIXER:
            mixed, state = step_tokens(x, layer, own, rotary(here, architecture.width // layer.heads), state)
            x = x + mixed
        following.append(state)
        x = x + mix_channels(x, layer, own)
    return linear(rms_norm(x, weights.norm), weights.embedding), following


def step_tokens(
    x: Tensor, layer: Layer, weights: Mapping[str, Tensor], turns: tuple[Tensor, Tensor], state: State
) -> tuple[Tensor, State]:
    """(B, D) → what a layer's token mixer adds to one token, and its next state."""
    batch, width = x.shape
    shape = batch, layer.heads, width // layer.heads
    normed = rms_norm(x, weights["mixing_norm"])
    q, k, v = (linear(normed, weights[name]).reshape(shape) for name in PROJECTIONS)
    mixed, state = parse_mixer(layer.mixer).step(_turn(q, turns), _turn(k, turns), v, state)
    return linear(mixed.reshape(batch, width), weights["out"]), state
