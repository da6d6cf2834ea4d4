"""Sliding-window softmax attention (Beltagy et al., 2020; Child et al., 2019), in chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.cache import (
    append,
    attend,
    attend_one_by_one,
    cache_shapes,
    cached_step_operations,
    empty_cache,
)
from searchspaces.mixers.chunks import chunk_count, into_chunks, out_of_chunks, with_earlier
from searchspaces.mixers.mixer import Mixer, Shape, State, register_mixer
from searchspaces.operations import Operation, OperationKind

if TYPE_CHECKING:
    from torch import Tensor, dtype

LARGEST_CHUNK = 64
"""A smaller chunk computes fewer scores that the window then hides, in smaller products."""


@register_mixer("window")
@dataclass(frozen=True)
class Window(Mixer):
    """Position i sees the W positions i - W < j ≤ i (itself included, as Mistral counts).

    Chunks of C queries, C = min(W, 64), meet the W + C keys that any of them may see: cost is
    N (W + C) and no N × N matrix exists. The state keeps the last W keys and values.

    Args:
        window: W.
    """

    window: int

    glyph = "W"
    example = "window:8"

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ValueError(f"window {self.window} must be at least 1")

    @property
    def _chunk(self) -> int:
        return min(self.window, LARGEST_CHUNK)

    @property
    def _earlier(self) -> int:
        """Chunks before a query's own that its window reaches into."""
        return chunk_count(self.window - 1, self._chunk)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """In chunks."""
        import torch

        chunk, earlier = self._chunk, self._earlier
        queries = into_chunks(q * q.shape[-1] ** -0.5, chunk)
        keys, values = with_earlier(k, chunk, earlier), with_earlier(v, chunk, earlier)
        start = torch.arange(queries.shape[2], device=q.device)[:, None, None] * chunk
        query = torch.arange(chunk, device=q.device)[:, None]
        key = torch.arange(-earlier * chunk, chunk, device=q.device)
        # Added, not filled in: onnxruntime adds several times faster than it selects.
        band = torch.zeros(chunk, len(key), device=q.device, dtype=q.dtype)
        band = band.masked_fill((key > query) | (key <= query - self.window), float("-inf"))
        mask = torch.where(start + key < 0, float("-inf"), band)
        mixed = (queries @ keys.transpose(-1, -2) + mask).softmax(-1) @ values
        return out_of_chunks(mixed, q.shape[2])

    def reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Token by token."""
        seen = [list(range(max(0, i - self.window + 1), i + 1)) for i in range(q.shape[-2])]
        return attend_one_by_one(q, k, v, seen)

    def init_state(self, batch: int, heads: int, head_size: int, dtype: dtype) -> State:
        """No keys, no values."""
        return empty_cache(batch, heads, head_size, dtype)

    def step(self, q: Tensor, k: Tensor, v: Tensor, state: State) -> tuple[Tensor, State]:
        """Attend to the last W keys."""
        state = {name: kept[:, :, -self.window :] for name, kept in append(state, k, v).items()}
        return attend(q, state["k"], state["v"]), state

    def state_shapes(self, batch: int, heads: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """A key and a value for each of the last W tokens."""
        return cache_shapes(batch, heads, head_size, min(tokens, self.window))

    def operations(self, width: int, heads: int, tokens: int) -> tuple[Operation, ...]:
        """Scores, softmax, weighted sum over N × (W + C), and the repeated keys and values."""
        padded = chunk_count(tokens, self._chunk) * self._chunk
        row = (self._earlier + 1) * self._chunk
        return (
            Operation(OperationKind.GATHER, elements=2 * (row // self._chunk + 1) * padded * width, calls=5),
            Operation(
                OperationKind.ATTENTION, macs=2 * padded * row * width, elements=padded * row * heads, calls=2
            ),
            Operation(OperationKind.ELEMENTWISE, elements=padded * row * (2 * heads + 1), calls=3),
        )

    def step_operations(self, width: int, heads: int, context: int) -> tuple[Operation, ...]:
        """One row of at most W."""
        return cached_step_operations(width, heads, min(context, self.window), min(context + 1, self.window))
