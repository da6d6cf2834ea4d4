"""Sliding-window softmax attention (Beltagy et al., 2020; Child et al., 2019), in chunks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from searchspaces.mixers.cache import (
    append,
    attend,
    attend_one_by_one,
    cache_shapes,
    cached_step_operations,
)
from searchspaces.mixers.chunks import chunk_count, into_chunks, out_of_chunks, with_earlier
from searchspaces.mixers.heads import HeadMixer
from searchspaces.mixers.mixer import Shape, State, register_mixer
from searchspaces.operations import Operation, OperationKind

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.part import Sizes

LARGEST_CHUNK = 64
"""A smaller chunk computes fewer scores that the window then hides, in smaller products."""


@register_mixer("window")
@dataclass(frozen=True)
class Window(HeadMixer):
    """Position i sees the W positions i - W < j ≤ i (itself included, as Mistral counts), and the first
    `sinks` positions (StreamingLLM; Xiao et al., 2024).

    Chunks of C queries, C = min(W, 64), meet the W + C keys that any of them may see, and the sinks: cost is
    N (W + C + sinks) and no N × N matrix exists. The state keeps the last W keys and values, and the sinks
    that left them.

    Args:
        window: W.
        sinks: tokens at the start that everyone sees.
    """

    window: int
    sinks: int = 0

    glyph = "W"
    example = "window:8"
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
        import torch

        chunk, earlier = self._chunk, self._earlier
        queries = into_chunks(q * q.shape[-1] ** -0.5, chunk)
        keys, values = self._seen(k), self._seen(v)
        start = torch.arange(queries.shape[2], device=q.device)[:, None, None] * chunk
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
        mixed = (queries @ keys.transpose(-1, -2) + mask).softmax(-1) @ values
        return out_of_chunks(mixed, q.shape[2])

    def _seen(self, x: Tensor) -> Tensor:
        """(B, H, N, K) → (B, H, M, sinks + (earlier + 1) C, K): sinks, and chunks up to the own one."""
        import torch
        from torch.nn.functional import pad

        near = with_earlier(x, self._chunk, self._earlier)
        if not self.sinks:
            return near
        first = pad(x, (0, 0, 0, self.sinks))[:, :, : self.sinks].unsqueeze(2)
        return torch.cat([first.expand(-1, -1, near.shape[2], -1, -1), near], dim=3)

    def mix_reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Token by token."""
        seen = [
            [j for j in range(i + 1) if j > i - self.window or j < self.sinks] for i in range(q.shape[-2])
        ]
        return attend_one_by_one(q, k, v, seen)

    def mix_step(self, q: Tensor, k: Tensor, v: Tensor, state: State) -> tuple[Tensor, State]:
        """Attend to the last W keys, and to the sinks that left them."""
        import torch

        cache = append(state, k, v)
        kept = {name: cache[name][:, :, -self.window :] for name in cache}
        if not self.sinks:
            return attend(q, kept["k"], kept["v"]), kept
        left = {name: cache[name][:, :, : -self.window] for name in cache}  # one token at most
        for name in ("k", "v"):
            kept[f"sink_{name}"] = torch.cat([state[f"sink_{name}"], left[name]], dim=2)[:, :, : self.sinks]
        seen = (torch.cat([kept[f"sink_{name}"], kept[name]], dim=2) for name in ("k", "v"))
        return attend(q, *seen), kept

    def mix_state_shapes(self, batch: int, groups: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """A key and a value for each of the last W tokens, and for each sink before these."""
        near = cache_shapes(batch, groups, head_size, min(tokens, self.window))
        if not self.sinks:
            return near
        left = cache_shapes(batch, groups, head_size, min(self.sinks, max(0, tokens - self.window)))
        return near | {f"sink_{name}": shape for name, shape in left.items()}

    def _kept(self, tokens: int) -> int:
        """Tokens that are in the state after so many."""
        return min(tokens, self.window) + min(self.sinks, max(0, tokens - self.window))

    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Scores, softmax, weighted sum over N × (W + C + sinks), and the repeated keys and values."""
        padded = chunk_count(tokens, self._chunk) * self._chunk
        near = (self._earlier + 1) * self._chunk
        row, pairs = near + self.sinks, padded * (near + self.sinks)
        copied = (near // self._chunk + 1) * padded + self.sinks * padded // self._chunk
        return (
            Operation(OperationKind.GATHER, elements=2 * copied * sizes.inner, calls=5),
            Operation(
                OperationKind.ATTENTION,
                macs=2 * padded * row * sizes.inner,
                elements=pairs * sizes.heads,
                calls=2,
            ),
            Operation(OperationKind.ELEMENTWISE, elements=pairs * (2 * sizes.heads + 1), calls=3),
        )

    def mix_step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """One row of at most W + sinks."""
        return cached_step_operations(sizes, self._kept(context), self._kept(context + 1))
