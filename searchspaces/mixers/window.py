"""Sliding-window softmax attention (Beltagy et al., 2020; Child et al., 2019), in chunks; on grids in square
windows (Hassani et al., 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, ClassVar

from searchspaces.mixers.cache import (
    append,
    attend,
    attend_one_by_one,
    cache_shapes,
    cached_step_operations,
    keep_first,
)
from searchspaces.mixers.chunks import chunk_count, into_chunks, out_of_chunks, with_earlier
from searchspaces.mixers.heads import TwoSightedHeadMixer
from searchspaces.mixers.mixer import Kind, Position, Shape, State, Weights, register_mixer
from searchspaces.mixers.padding import hiding, of_tokens
from searchspaces.mixers.tiles import Neighbourhoods, taken
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sizes

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_CHUNK = 64
"""A smaller chunk computes fewer scores that the window then hides, in smaller products."""


@register_mixer("window")
@dataclass(frozen=True)
class Window(TwoSightedHeadMixer):
    """Position i sees the W positions i - W < j ≤ i (itself included, as Mistral counts), and the first
    `sinks` positions (StreamingLLM; Xiao et al., 2024).

    Chunks of C queries, C = min(W, 64), meet the W + C keys that any of them may see, and the sinks: cost is
    N (W + C + sinks) and no N × N matrix exists. The state keeps the last W keys and values, and the sinks
    that left them.

    Where tokens all see each other, a token sees those at most W/2 away (rounded down, as Longformer counts)
    along every axis of the grid.

    Args:
        window: W.
        sinks: tokens at the start that everyone sees.
    """

    window: int
    sinks: int = 0

    glyph = "W"
    example = "window:8"
    kind = Kind.ATTENTION
    kernel = "exp(q·k/√K), normalised"
    sparsity = "a window, and sinks"
    source = "Longformer: Beltagy et al., 2020; StreamingLLM: Xiao et al., 2024"
    limits: ClassVar[Mapping[str, tuple[int, int]]] = {"window": (1, 1 << 16), "sinks": (0, 1024)}

    @property
    def _chunk(self) -> int:
        return min(self.window, LARGEST_CHUNK)

    @property
    def _earlier(self) -> int:
        """Chunks before a query's own that its window reaches into."""
        return chunk_count(self.window - 1, self._chunk)

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """In chunks."""
        return self._mixed(q, self.seen(k), self.seen(v))

    def _mixed(self, q: Tensor, keys: Tensor, values: Tensor, position: Position = 0) -> Tensor:
        """Queries (B, H, N, K) from `position` on, each chunk against what `seen` gives it."""
        return out_of_chunks(self.scores(q, keys, position).softmax(-1) @ values, q.shape[2])

    def scores(self, q: Tensor, keys: Tensor, position: Position = 0) -> Tensor:
        """Of queries (B, H, N, K) from `position` on, in chunks, with the keys that `seen` gives each chunk:
        (B, H, M, C, sinks + (earlier + 1) C), −∞ where one is not seen."""
        import torch

        chunk, earlier = self._chunk, self._earlier
        queries = into_chunks(q * q.shape[-1] ** -0.5, chunk)
        start = torch.arange(queries.shape[2], device=q.device)[:, None, None] * chunk
        if not (isinstance(position, int) and position == 0):
            start = start + position
        query = torch.arange(chunk, device=q.device)[:, None]
        key = torch.arange(-earlier * chunk, chunk, device=q.device)
        # Added, not filled in: onnxruntime adds several times faster than it selects.
        band = torch.zeros(chunk, len(key), device=q.device, dtype=q.dtype)
        band = band.masked_fill((key > query) | (key <= query - self.window), float("-inf"))
        mask = torch.where(start + key < 0, float("-inf"), band)
        if self.sinks:
            sink = torch.arange(self.sinks, device=q.device)
            # A sink within the window counts once, there.
            near = torch.zeros(1, device=q.device, dtype=q.dtype).masked_fill(
                sink > start + query - self.window, float("-inf")
            )
            mask = torch.cat([near, mask], dim=2)
        scores: Tensor = queries @ keys.transpose(-1, -2) + mask
        return scores

    def seen(self, x: Tensor, before: Tensor | None = None, sinks: Tensor | None = None) -> Tensor:
        """(B, H, N, K) → (B, H, M, sinks + (earlier + 1) C, K): sinks, and chunks up to the own one.

        Args:
            before: (B, H, W, K), the last tokens before x; zeros where None.
            sinks: (B, H, sinks, K); the first of x where None.
        """
        import torch
        from torch.nn.functional import pad

        if before is not None:
            reached = self._earlier * self._chunk  # W - 1 tokens, or more for whole chunks
            before = pad(before, (0, 0, reached - self.window, 0))
        near = with_earlier(x, self._chunk, self._earlier, before)
        if not self.sinks:
            return near
        if sinks is None:
            sinks = pad(x, (0, 0, 0, self.sinks))[:, :, : self.sinks]
        first = sinks.unsqueeze(2)
        return torch.cat([first.expand(-1, -1, near.shape[2], -1, -1), near], dim=3)

    def mix_reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Token by token."""
        seen = [
            [j for j in range(i + 1) if j > i - self.window or j < self.sinks] for i in range(q.shape[-2])
        ]
        return attend_one_by_one(q, k, v, seen)

    def mix_bidirectional(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        weights: Weights,
        sizes: Sizes,
        present: Tensor | None = None,
    ) -> Tensor:
        """In tiles of the grid."""
        near, on = self._neighbourhoods(sizes), q.device
        keys = near.keys(on)
        # Added, not filled in: onnxruntime adds several times faster than it selects.
        mask = q.new_zeros(1).masked_fill(near.hidden(on), float("-inf"))
        if present is not None:
            mask = mask + hiding(taken(of_tokens(present, q), keys))
        queries = taken(q * q.shape[-1] ** -0.5, near.queries(on))
        mixed = (queries @ taken(k, keys).transpose(-1, -2) + mask).softmax(-1) @ taken(v, keys)
        return mixed.flatten(2, 3).index_select(2, near.places(on))

    def mix_bidirectional_reference(
        self, q: Tensor, k: Tensor, v: Tensor, weights: Weights, sizes: Sizes
    ) -> Tensor:
        """Token by token."""
        places = list(product(*map(range, sizes.view.grid)))
        seen = [
            [
                j
                for j, there in enumerate(places)
                if j < self.sinks
                or max(abs(a - b) for a, b in zip(here, there, strict=True)) <= self.window // 2
            ]
            for here in places
        ]
        return attend_one_by_one(q, k, v, seen)

    def _neighbourhoods(self, sizes: Sizes) -> Neighbourhoods:
        return Neighbourhoods(sizes.view.grid, self.window // 2, self.sinks)

    def mix_bidirectional_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Scores, softmax, weighted sum of every tile, and the copies."""
        tiles, queries, keys = self._neighbourhoods(sizes).counts()
        pairs = tiles * queries * keys
        copied = (tiles * (queries + 2 * keys) + tokens) * sizes.inner
        return (
            Operation(OperationKind.GATHER, elements=copied, calls=4),
            Operation(
                OperationKind.ATTENTION, macs=2 * pairs * sizes.inner, elements=pairs * sizes.heads, calls=2
            ),
            Operation(OperationKind.ELEMENTWISE, elements=2 * pairs * sizes.heads, calls=2),
        )

    def mix_step(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, position: Position
    ) -> tuple[Tensor, State]:
        """Attend to the last W keys, and to the sinks that left them."""
        import torch

        kept = self._following(k.unsqueeze(2), v.unsqueeze(2), state, position)
        seen = torch.arange(-self.window, 0, device=q.device) + position >= -1
        if not self.sinks:
            return attend(q, kept["k"], kept["v"], seen), kept
        left = torch.arange(self.sinks, device=q.device) <= position - self.window
        k, v = (torch.cat([kept[f"sink_{name}"], kept[name]], dim=2) for name in ("k", "v"))
        return attend(q, k, v, torch.cat([left, seen])), kept

    def mix_extend(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, position: Position
    ) -> tuple[Tensor, State]:
        """In chunks, as a whole sequence."""
        kept = self._following(k, v, state, position)
        keys = self.seen(k, state["k"], kept.get("sink_k"))
        values = self.seen(v, state["v"], kept.get("sink_v"))
        return self._mixed(q, keys, values, position), kept

    def _following(self, k: Tensor, v: Tensor, state: State, position: Position) -> State:
        """The state with the k and v (B, H, S, K) of tokens from `position` on."""
        kept = {name: y[:, :, -self.window :] for name, y in append(state, k, v).items()}
        if self.sinks:
            for name, new in {"k": k, "v": v}.items():
                kept[f"sink_{name}"] = keep_first(state[f"sink_{name}"], new, position)
        return kept

    def mix_state_shapes(self, batch: int, groups: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """A key and a value for each of the last W tokens, and for each sink."""
        near = cache_shapes(batch, groups, head_size, self.window)
        if not self.sinks:
            return near
        sinks = cache_shapes(batch, groups, head_size, self.sinks)
        return near | {f"sink_{name}": shape for name, shape in sinks.items()}

    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Scores, softmax, weighted sum over N × (W + C + sinks), and the repeated keys and values."""
        padded = chunk_count(tokens, self._chunk) * self._chunk
        near, pairs = (self._earlier + 1) * self._chunk, self.pairs(tokens)
        copied = (near // self._chunk + 1) * padded + self.sinks * padded // self._chunk
        return (
            Operation(OperationKind.GATHER, elements=2 * copied * sizes.inner, calls=5),
            Operation(
                OperationKind.ATTENTION,
                macs=2 * pairs * sizes.inner,
                elements=pairs * sizes.heads,
                calls=2,
            ),
            Operation(OperationKind.ELEMENTWISE, elements=pairs * (2 * sizes.heads + 1), calls=3),
        )

    def pairs(self, tokens: int) -> int:
        """Of a query and a key whose score is computed, those that are then hidden among them."""
        padded = chunk_count(tokens, self._chunk) * self._chunk
        return padded * ((self._earlier + 1) * self._chunk + self.sinks)

    def mix_step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """One row of W + sinks."""
        kept = self.window + self.sinks
        return cached_step_operations(sizes, kept + 1, kept)
