"""Rotary positions (Su et al., 2021) that all head counts of a layer can share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from searchspaces.projection import PLAIN, Projection

__all__ = ["Turns", "grid_rotary", "rotary", "rotary_order", "turn"]

ROTARY_BASE = 10_000.0
GRID_BASE = 100.0
"""Of speeds on a grid, whose axes are short (Heo et al., 2024)."""
ROTARY_BLOCK = 16

Turns = tuple[Tensor, Tensor]
"""Cosines and signed sines, (N, K) each."""


def rotary(positions: Tensor, head_size: int, projection: Projection = PLAIN) -> Turns:
    """The turns of (N,) positions; any position, no table to run out of.

    Every `ROTARY_BLOCK` dimensions are turned alike, in pairs half a block apart. A dimension of a
    projection is then turned the same way whatever the number of heads it is split into, so that head
    counts can share projections; with pairs K/2 apart, as is usual, each would want its own.

    A pretrained model's turn pair i of K/2 by their own speeds. Its projections are read with the two rows of
    a pair half a block apart (`rotary_order`), so that all models turn alike but for the angles.
    """
    block = _rotary_block(head_size)
    blocks, pairs = head_size // block, block // 2
    if projection.base:
        speeds = torch.tensor(projection.frequencies(head_size), device=positions.device)
        angles = positions.to(torch.float32).unsqueeze(-1) * speeds
        cosines, sines = (torch.split(of, pairs, dim=-1) for of in (angles.cos(), angles.sin()))
    else:
        exponents = torch.arange(pairs, device=positions.device, dtype=torch.float32) / pairs
        angles = positions.to(torch.float32).unsqueeze(-1) * ROTARY_BASE**-exponents
        cosines, sines = (angles.cos(),) * blocks, (angles.sin(),) * blocks
    twice = [each for cosine in cosines for each in (cosine, cosine)]
    return torch.cat(twice, dim=-1), torch.cat([each for sine in sines for each in (-sine, sine)], dim=-1)


def grid_rotary(grid: tuple[int, ...], head_size: int, device: torch.device | None = None) -> Turns:
    """The turns of the places of a grid of one or two axes, in row-major order: as `rotary` on one axis; on
    two, the pairs of a block turn by one axis and the other in rotation."""
    if len(grid) == 1:
        return rotary(torch.arange(grid[0], device=device), head_size)
    block = _rotary_block(head_size)
    pairs = torch.arange(block // 2, device=device)
    axes = [torch.arange(size, device=device) for size in grid]
    places = torch.cartesian_prod(*axes).to(torch.float32)
    exponents = (pairs // len(grid)) / max(1, block // 2 // len(grid))
    angles = places[:, pairs % len(grid)] * GRID_BASE**-exponents
    cosine, sine, blocks = angles.cos(), angles.sin(), head_size // block
    return torch.cat([cosine, cosine] * blocks, dim=-1), torch.cat([-sine, sine] * blocks, dim=-1)


def rotary_order(head_size: int) -> Tensor:
    """(K,) which dimension of a head whose pairs are K/2 apart stands at each place of one whose pairs are
    half a block apart."""
    block = _rotary_block(head_size)
    halves = torch.arange(head_size).reshape(2, head_size // block, block // 2)
    return halves.transpose(0, 1).flatten()


def turn(x: Tensor, turns: Turns) -> Tensor:
    """(…, N, K) turned by its positions. Turns are single precision, for half would confuse distant
    positions; the result is of x's type."""
    cosine, sine = turns
    halves = torch.unflatten(x, -1, (-1, 2, _rotary_block(int(x.shape[-1])) // 2))
    return (x * cosine + halves.flip(-2).flatten(-3) * sine).to(x.dtype)


def _rotary_block(head_size: int) -> int:
    return math.gcd(ROTARY_BLOCK, head_size)
