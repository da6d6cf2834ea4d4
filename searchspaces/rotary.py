"""Rotary positions (Su et al., 2021) that all head counts of a layer can share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["Turns", "rotary", "turn"]

ROTARY_BASE = 10_000.0
ROTARY_BLOCK = 16

Turns = tuple[Tensor, Tensor]
"""Cosines and signed sines, (N, K) each."""


def rotary(positions: Tensor, head_size: int) -> Turns:
    """The turns of (N,) positions; any position, no table to run out of.

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


def turn(x: Tensor, turns: Turns) -> Tensor:
    """(…, N, K) turned by its positions. Turns are single precision, for half would confuse distant
    positions; the result is of x's type."""
    cosine, sine = turns
    halves = torch.unflatten(x, -1, (-1, 2, _rotary_block(int(x.shape[-1])) // 2))
    return (x * cosine + halves.flip(-2).flatten(-3) * sine).to(x.dtype)


def _rotary_block(head_size: int) -> int:
    return math.gcd(ROTARY_BLOCK, head_size)
