"""Grids in tiles, which keep the cost of seeing what is near linear in the number of tokens.

For a window (`Neighbourhoods`) each axis is cut into pieces of a few places; the queries of a piece meet
one span of keys that holds the windows of all of them. At an edge pieces and spans are moved inwards, so that
none reaches beyond the grid. Where tokens are seen by the block (`Blocks`) each is in one block alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, device

__all__ = ["Blocks", "Neighbourhoods", "taken"]

MOST_TOKENS = 64
"""Of a tile: a smaller one computes fewer scores that the window then hides, in smaller products."""
FEWEST_TOKENS = 16


@dataclass(frozen=True)
class _Axis:
    """So many places, of which each sees those within a radius."""

    size: int
    radius: int
    piece: int

    @property
    def count(self) -> int:
        return -(-self.size // self.piece)

    @property
    def span(self) -> int:
        """Places that a piece meets."""
        return min(self.size, self.piece + 2 * self.radius)

    def queries(self, on: device) -> Tensor:
        """(count, piece) places; the last pieces may share some."""
        return self._from(0, self.piece, on)

    def keys(self, on: device) -> Tensor:
        """(count, span) places."""
        return self._from(self.radius, self.span, on)

    def _from(self, back: int, length: int, on: device) -> Tensor:
        import torch

        start = (torch.arange(self.count, device=on) * self.piece - back).clamp(0, self.size - length)
        return start.unsqueeze(1) + torch.arange(length, device=on)


@dataclass(frozen=True)
class Neighbourhoods:
    """The tokens of a grid, (N,) or (H, W), each of which sees those at most `radius` away along every axis,
    and the first `sinks` tokens.

    Tokens are numbered in row-major order, M tiles have Q queries and P keys each.
    """

    grid: tuple[int, ...]
    radius: int
    sinks: int = 0

    @property
    def _axes(self) -> list[_Axis]:
        # A tile has as many places along each axis as the window, within bounds.
        root = 1 / len(self.grid)
        least, most = round(FEWEST_TOKENS**root), round(MOST_TOKENS**root)
        piece = min(max(2 * self.radius + 1, least), most)
        return [_Axis(size, min(self.radius, size), min(piece, size)) for size in self.grid]

    @property
    def _seen_sinks(self) -> int:
        return min(self.sinks, math.prod(self.grid))

    def counts(self) -> tuple[int, int, int]:
        """M, Q and P."""
        tiles, queries, keys = (
            math.prod(sizes) for sizes in zip(*((a.count, a.piece, a.span) for a in self._axes), strict=True)
        )
        return tiles, queries, keys + self._seen_sinks

    def queries(self, on: device) -> Tensor:
        """(M, Q) tokens."""
        return self._tokens([axis.queries(on) for axis in self._axes])

    def keys(self, on: device) -> Tensor:
        """(M, P) tokens, the sinks first."""
        import torch

        near = self._tokens([axis.keys(on) for axis in self._axes])
        sinks = torch.arange(self._seen_sinks, device=on)
        return torch.cat([sinks.expand(near.shape[0], -1), near], dim=1)

    def hidden(self, on: device) -> Tensor:
        """(M, Q, P) which keys a query does not see there: beyond its window, or sinks that are within and
        count once."""
        import torch

        queries, keys = self.queries(on).unsqueeze(2), self.keys(on).unsqueeze(1)
        within = self.within(queries, keys)
        sink = torch.arange(keys.shape[2], device=on) < self._seen_sinks
        return torch.where(sink, within, ~within)

    def within(self, first: Tensor, second: Tensor) -> Tensor:
        """Whether tokens are in each other's windows."""
        import torch

        near = torch.ones((), dtype=torch.bool, device=first.device)
        for size in reversed(self.grid):
            near = near & ((first % size - second % size).abs() <= self.radius)
            first, second = (torch.div(x, size, rounding_mode="floor") for x in (first, second))
        return near

    def places(self, on: device) -> Tensor:
        """(N,) where among the M Q queries each token stands."""
        import torch

        tile = torch.zeros(1, dtype=torch.int64, device=on)
        place = torch.zeros(1, dtype=torch.int64, device=on)
        for axis in self._axes:
            here = torch.arange(axis.size, device=on)
            piece = torch.div(here, axis.piece, rounding_mode="floor")
            offset = here - (piece * axis.piece).clamp(max=axis.size - axis.piece)
            tile = (tile.unsqueeze(1) * axis.count + piece).flatten()
            place = (place.unsqueeze(1) * axis.piece + offset).flatten()
        return tile * self.counts()[1] + place

    def _tokens(self, axes: list[Tensor]) -> Tensor:
        """Places of pieces along each axis → numbers of the tokens of tiles."""
        tokens = axes[0]
        for size, places in zip(self.grid[1:], axes[1:], strict=True):
            rows = tokens.unsqueeze(1).unsqueeze(3) * size + places.unsqueeze(0).unsqueeze(2)
            tokens = rows.flatten(0, 1).flatten(1)
        return tokens


@dataclass(frozen=True)
class Blocks:
    """The tokens of a grid, (N,) or (H, W), in blocks of so many places along every axis; those at an edge
    may have fewer.

    Tokens and blocks are numbered in row-major order. M blocks have C places each; −1 is no token, no block.
    """

    grid: tuple[int, ...]
    side: int

    @property
    def _sides(self) -> list[int]:
        return [min(self.side, size) for size in self.grid]

    @property
    def counts(self) -> tuple[int, ...]:
        """Blocks along each axis."""
        return tuple(-(-size // side) for size, side in zip(self.grid, self._sides, strict=True))

    @property
    def places(self) -> int:
        """C."""
        return math.prod(self._sides)

    def tokens(self) -> NDArray[np.int64]:
        """(M, C) the tokens of each block."""
        axes = []
        for size, count, side in zip(self.grid, self.counts, self._sides, strict=True):
            place = np.arange(count)[:, None] * side + np.arange(side)
            axes.append(np.where(place < size, place, -1))
        return _crossed(axes, self.grid)

    def near(self, reach: int) -> NDArray[np.int64]:
        """(M, R) the blocks at most `reach` away from each along every axis, itself among them."""
        axes = []
        for count in self.counts:
            own, span = np.arange(count)[:, None], min(2 * reach + 1, count)
            other = (own - reach).clip(0, count - span) + np.arange(span)
            axes.append(np.where(abs(other - own) <= reach, other, -1))
        return _crossed(axes, self.counts)

    def tokens_of(self, blocks: NDArray[np.int64]) -> NDArray[np.int64]:
        """(M, R) blocks → (M, R C) their tokens."""
        tokens = np.append(self.tokens(), np.full((1, self.places), -1), axis=0)
        return tokens[blocks].reshape(len(blocks), -1)

    def found(self) -> NDArray[np.int64]:
        """(N,) where among the M C places each token is."""
        tokens = self.tokens().ravel()
        found = np.empty(math.prod(self.grid), np.int64)
        found[tokens[tokens >= 0]] = np.flatnonzero(tokens >= 0)
        return found


def _crossed(axes: list[NDArray[np.int64]], sizes: tuple[int, ...]) -> NDArray[np.int64]:
    """Numbers along each axis (m, n), of so many, → those of every pair of rows in row-major order."""
    crossed = axes[0]
    for size, axis in zip(sizes[1:], axes[1:], strict=True):
        first, second = crossed[:, None, :, None], axis[None, :, None, :]
        both = np.where((first < 0) | (second < 0), -1, first * size + second)
        crossed = both.reshape(len(crossed) * len(axis), -1)
    return crossed


def taken(x: Tensor, tokens: Tensor) -> Tensor:
    """(B, H, N, K) and (M, P) numbers → (B, H, M, P, K)."""
    rows = x.index_select(2, tokens.flatten())
    return rows.reshape(x.shape[0], int(x.shape[1]), *tokens.shape, int(x.shape[3]))
