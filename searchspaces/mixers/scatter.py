"""Softmax within a window, its random features beyond (Scatterbrain; Chen et al., 2021)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, ClassVar

from searchspaces.mixers.cache import append, cache_shapes
from searchspaces.mixers.chunks import chunk_count, into_chunks, out_of_chunks, with_earlier
from searchspaces.mixers.heads import TwoSightedHeadMixer
from searchspaces.mixers.mixer import Kind, Position, Shape, State, Weights, register_mixer
from searchspaces.mixers.padding import counted, of_tokens
from searchspaces.mixers.performer import directions
from searchspaces.mixers.tiles import Blocks, Neighbourhoods, taken
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sizes

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 64
SMALLEST_SIDE, LARGEST_SIDE = 4, 8
"""Of blocks on a grid of two axes."""
HIDDEN = -1e30
"""A score that counts for nothing, even beside others like it."""
LARGEST = 30.0
"""Exponent of what estimates are multiplied by. Sums of them that are smaller than its inverse are as good as
none, and dividing by them would have gradients without end."""
TOP = 60.0
"""Of a feature's exponent."""


@register_mixer("scatter")
@dataclass(frozen=True)
class Scatter(TwoSightedHeadMixer):
    """Weights are exp(q·k/√K) of the W tokens i − W < j ≤ i, and Performer's estimate of it, φ(q)·φ(k)/M, of
    those before; one sum divides all of them. Where tokens all see each other, those at most W/2 away along
    every axis of the grid are exact.

    The published sum of both, less the estimate within the window, is the same number: here what is within is
    never added, so that nothing cancels. The state is Σ φ(k) [v, 1] of tokens that left the window, and the
    last W − 1 keys and values.

    Args:
        window: W.
        directions: M, of the features.
    """

    window: int
    directions: int = 16

    glyph = "X"
    example = "scatter:8,12"
    kind = Kind.ATTENTION
    kernel = "exp(q·k/√K), beyond the window its random features, normalised"
    sparsity = "a window; all other tokens by low rank"
    source = "Scatterbrain: Chen et al., 2021"
    limits: ClassVar[Mapping[str, tuple[int, int]]] = {"window": (2, 4096), "directions": (1, 1024)}

    @property
    def _earlier(self) -> int:
        """Chunks before a query's own that its window reaches into."""
        return chunk_count(self.window - 1, CHUNK)

    def _exponents(self, x: Tensor) -> Tensor:
        """(…, K) → (…, M), those of features but for `_taken_off`."""
        size = int(x.shape[-1])
        y = x * size**-0.25
        across = y @ x.new_tensor(directions(self.directions, size)).T
        exponents: Tensor = across - y.square().sum(-1, keepdim=True) / 2 - _taken_off(size)
        return exponents

    def _joined(
        self, q: Tensor, near: tuple[Tensor, Tensor, Tensor], exact: Tensor, estimated: Tensor, far: Tensor
    ) -> Tensor:
        """Queries (…, C, K) and what they meet → (…, C, K).

        Args:
            near: keys (…, P, K), their features (…, P, M) and values with a one beside them (…, P, K + 1).
            exact, estimated: which of these count in either way, (…, C, P); the others do not.
            far: Σ φ(k) [v, 1] of all other tokens, (…, M, K + 1).
        """
        import torch

        keys, features, values = near
        size = int(q.shape[-1])
        hidden = q.new_zeros(1).masked_fill(~exact, HIDDEN)
        scores = (q * size**-0.5) @ keys.transpose(-1, -2) + hidden
        exponents = self._exponents(q)
        # Whatever is taken off here is put back below: constants, which need no gradients.
        most, top = scores.detach().amax(-1, keepdim=True), exponents.detach().amax(-1, keepdim=True)
        queries = (exponents - top).exp()
        estimates = queries @ features.transpose(-1, -2) * estimated.to(q.dtype)
        distant = queries @ far
        unit = top + (2 * _taken_off(size) - math.log(self.directions))
        total = (estimates.sum(-1, keepdim=True) + distant[..., -1:]).detach()
        level = torch.where(total.log() > -LARGEST, torch.maximum(most, unit + total.log()), most)
        scale = (unit - level).clamp(max=LARGEST).exp()
        shares = (scores - most).exp() * (most - level).exp() + estimates * scale
        sums = shares @ values + distant * scale
        # Only what fills the last chunk has no weight at all: its gradients, too, must be numbers.
        weight = sums[..., -1:]
        mixed: Tensor = sums[..., :-1] / (weight + (weight == 0).to(weight.dtype))
        return mixed

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """In chunks, from nothing."""
        shapes = self.mix_state_shapes(1, int(q.shape[1]), int(q.shape[3]), 0)
        start = {name: q.new_zeros(shape).expand(q.shape[0], -1, -1, -1) for name, shape in shapes.items()}
        return self._mixed(q, append(start, k, v), start["sums"], 0)

    def mix_extend(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, position: Position
    ) -> tuple[Tensor, State]:
        """In chunks, on top of what was."""
        cache = append(state, k, v)
        mixed = self._mixed(q, cache, state["sums"], position)
        left = q.shape[2]
        sums = state["sums"] + self._summed(cache["k"][:, :, :left], cache["v"][:, :, :left], position)
        return mixed, {name: cache[name][:, :, left:] for name in ("k", "v")} | {"sums": sums}

    def _summed(self, k: Tensor, v: Tensor, position: Position) -> Tensor:
        """Σ φ(k) [v, 1] over tokens (…, n, K) of a state's cache, which begins W − 1 before `position`."""
        import torch
        from torch.nn.functional import pad

        there = torch.arange(k.shape[-2], device=k.device) + position >= self.window - 1
        values = pad(v, (0, 1), value=1.0) * there.to(v.dtype).unsqueeze(-1)
        return self._exponents(k).exp().transpose(-1, -2) @ values

    def _mixed(self, q: Tensor, cache: State, sums: Tensor, position: Position) -> Tensor:
        """Queries (B, H, S, K) from `position` on; keys and values (B, H, W − 1 + S, K) in the cache."""
        import torch
        from torch.nn.functional import pad

        earlier, before = self._earlier, self.window - 1
        reach = earlier * CHUNK
        token = torch.arange(cache["k"].shape[2] + reach - before, device=q.device) - reach
        there = (token >= -before) & (token + position >= 0)
        keys, values = (pad(cache[name], (0, 0, reach - before, 0)) for name in ("k", "v"))
        values = pad(values, (0, 1), value=1.0) * there.to(q.dtype).unsqueeze(-1)
        features = self._exponents(keys).exp()
        near = [
            with_earlier(x[:, :, reach:], CHUNK, earlier, x[:, :, :reach]) for x in (keys, features, values)
        ]

        states = into_chunks(features, CHUNK).transpose(-1, -2) @ into_chunks(values, CHUNK)
        far = torch.cat([sums.unsqueeze(2), states[:, :, : -earlier - 1]], dim=2).cumsum(2)

        queries = into_chunks(q, CHUNK)
        start = torch.arange(queries.shape[2], device=q.device)[:, None, None] * CHUNK
        query = torch.arange(CHUNK, device=q.device)[:, None]
        key = torch.arange(-reach, CHUNK, device=q.device)
        present = (start + key >= -before) & (start + key + position >= 0) & (key <= query)
        within = key > query - self.window
        mixed = self._joined(queries, (near[0], near[1], near[2]), present & within, present & ~within, far)
        return out_of_chunks(mixed, q.shape[2])

    def mix_step(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, position: Position
    ) -> tuple[Tensor, State]:
        """The same for one token; what leaves the window is added to the sums."""
        import torch
        from torch.nn.functional import pad

        cache = append(state, k.unsqueeze(2), v.unsqueeze(2))
        exact = (torch.arange(self.window, device=q.device) + position >= self.window - 1).unsqueeze(0)
        near = (cache["k"], self._exponents(cache["k"]).exp(), pad(cache["v"], (0, 1), value=1.0))
        mixed = self._joined(q, near, exact, torch.zeros_like(exact), state["sums"])
        sums = state["sums"] + self._summed(cache["k"][:, :, :1], cache["v"][:, :, :1], position)
        return mixed, {name: cache[name][:, :, 1:] for name in ("k", "v")} | {"sums": sums}

    def mix_reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Every pair's weight."""
        import torch

        position = torch.arange(q.shape[2], device=q.device)
        back = position.unsqueeze(1) - position
        return self._weighed(q, k, v, back < self.window, (back >= 0).to(q.dtype))

    def _weighed(self, q: Tensor, k: Tensor, v: Tensor, exact: Tensor, seen: Tensor) -> Tensor:
        import torch

        size = q.shape[-1]
        of_query, of_key = ((self._exponents(x) + _taken_off(size)).exp() for x in (q, k))
        estimate = of_query @ of_key.mT
        shares = seen * torch.where(exact, (q @ k.mT * size**-0.5).exp(), estimate / self.directions)
        return shares @ v / shares.sum(-1, keepdim=True)

    def mix_state_shapes(self, batch: int, groups: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """M × (K + 1) sums, and the last W − 1 keys and values."""
        sums = (batch, groups, self.directions, head_size + 1)
        return cache_shapes(batch, groups, head_size, self.window - 1) | {"sums": sums}

    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Features, scores of both kinds, the weighted sum, a state a chunk and its use."""
        chunks = chunk_count(tokens, CHUNK)
        cached = chunk_count(self._earlier * CHUNK + tokens, CHUNK)
        met = self._earlier * CHUNK + tokens
        return self._operations(sizes, CHUNK, chunks, (self._earlier + 1) * CHUNK, met, cached)

    def mix_step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """One row of it."""
        heads, groups, features = sizes.heads, sizes.groups, self.directions
        row = sizes.head_size + 1
        shared = self.window * groups
        macs = (
            features * sizes.head_size * (heads + shared + groups)
            + heads * self.window * (sizes.head_size + features + row)
            + (heads + groups) * features * row
        )
        return (
            Operation(OperationKind.GATHER, elements=2 * shared * row, calls=4),
            Operation(OperationKind.ATTENTION, macs=macs, elements=2 * shared * features, calls=9),
            Operation(OperationKind.ELEMENTWISE, elements=6 * heads * self.window, calls=20),
        )

    def _operations(
        self, sizes: Sizes, chunk: int, chunks: int, row: int, met: int, cached: int
    ) -> tuple[Operation, ...]:
        """Of so many chunks of queries that meet so long a row each, of so many tokens and chunks of keys."""
        heads, features, size = sizes.heads, self.directions, sizes.head_size
        padded, values = chunks * chunk, size + 1
        pairs = padded * row
        macs = features * size * (padded + met) + pairs * (size + features + values)
        macs += features * values * (cached * chunk + padded)
        return (
            Operation(OperationKind.GATHER, elements=heads * chunks * row * (2 * size + features), calls=9),
            Operation(
                OperationKind.ATTENTION,
                macs=heads * macs,
                elements=heads * (2 * pairs + features * (padded + met) + 2 * padded * values),
                calls=7,
            ),
            Operation(OperationKind.ELEMENTWISE, elements=8 * heads * pairs, calls=20),
        )

    def mix_bidirectional(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        weights: Weights,
        sizes: Sizes,
        present: Tensor | None = None,
    ) -> Tensor:
        """In blocks, with what lies beyond those that a window reaches into."""
        import torch

        on, (blocks, reach) = q.device, self._blocks(sizes)
        cut, met, found = (
            torch.tensor(x, device=on)
            for x in (blocks.tokens(), blocks.tokens_of(blocks.near(reach)), blocks.found())
        )
        features, values = self._exponents(k).exp(), counted(v, present)
        own, key = cut.clamp(min=0), met.clamp(min=0)
        there = (met >= 0).unsqueeze(1)
        if present is not None:
            there = there & (taken(of_tokens(present, q), key) > 0).transpose(-1, -2)
        near = [taken(x, key) for x in (k, features, values)]

        filled = (cut >= 0).to(v.dtype).unsqueeze(-1)
        states = taken(features, own).transpose(-1, -2) @ (taken(values, own) * filled)
        far = _beyond(states, blocks.counts, reach)

        windows = Neighbourhoods(sizes.view.grid, self.window // 2)
        within = windows.within(own.unsqueeze(2), key.unsqueeze(1))
        queries = taken(q, own)
        mixed = self._joined(queries, (near[0], near[1], near[2]), there & within, there & ~within, far)
        return mixed.flatten(2, 3).index_select(2, found)

    def _blocks(self, sizes: Sizes) -> tuple[Blocks, int]:
        """And how many of them to either side a window reaches into."""
        side, radius = CHUNK, self.window // 2
        if sizes.view.dimensions > 1:
            side = min(max(2 * radius + 1, SMALLEST_SIDE), LARGEST_SIDE)
        return Blocks(sizes.view.grid, side), chunk_count(radius, side)

    def mix_bidirectional_reference(
        self, q: Tensor, k: Tensor, v: Tensor, weights: Weights, sizes: Sizes
    ) -> Tensor:
        """Every pair's weight."""
        import torch

        places = torch.tensor(list(product(*map(range, sizes.view.grid))), device=q.device)
        apart = (places.unsqueeze(1) - places).abs().amax(-1)
        return self._weighed(q, k, v, apart <= self.window // 2, torch.ones_like(apart, dtype=q.dtype))

    def mix_bidirectional_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """As `mix_operations`, in blocks to all sides."""
        blocks, reach = self._blocks(sizes)
        count = math.prod(blocks.counts)
        row = math.prod(min(2 * reach + 1, n) for n in blocks.counts) * blocks.places
        return self._operations(sizes, blocks.places, count, row, tokens, count)


def _taken_off(head_size: int) -> float:
    """From every exponent, of which K/2 = |w|²/2 is the largest: powers are numbers of single precision."""
    return max(0.0, head_size / 2 - TOP)


def _beyond(states: Tensor, counts: tuple[int, ...], reach: int) -> Tensor:
    """Sums (B, H, M, F, V) over the blocks of a grid that are further than `reach` from each along some axis,
    of what there is alone: nothing is taken off a larger sum."""
    if len(counts) == 1:
        return _apart(states, reach)
    import torch
    from torch.nn.functional import pad

    rows = counts[0]
    grid = torch.unflatten(states, 2, counts)
    # Of rows that are apart all blocks count, of the others those whose columns are.
    reached = min(reach, rows - 1)
    padded = pad(grid, (0, 0, 0, 0, 0, 0, reached, reached))
    near = sum((padded[:, :, i : i + rows] for i in range(1, 2 * reached + 1)), padded[:, :, :rows])
    beside = torch.unflatten(_apart(near.flatten(1, 2), reach), 1, (int(grid.shape[1]), rows))
    beyond: Tensor = _apart(grid.sum(3), reach).unsqueeze(3) + beside
    return beyond.flatten(2, 3)


def _apart(states: Tensor, reach: int) -> Tensor:
    """Sums (B, H, M, F, V) over those more than `reach` before or after each."""
    return _before(states, reach + 1) + _before(states.flip(2), reach + 1).flip(2)


def _before(states: Tensor, chunks: int) -> Tensor:
    """Sums (B, H, M, …) over those that are at least so many chunks earlier."""
    from torch.nn.functional import pad

    return pad(states.cumsum(2), (0, 0, 0, 0, chunks, 0))[:, :, : int(states.shape[2])]
