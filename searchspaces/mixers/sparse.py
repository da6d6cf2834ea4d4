"""Block-sparse softmax attention with global tokens (Longformer: Beltagy et al., 2020; BigBird: Zaheer
et al., 2020), causal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.cache import (
    append,
    attend,
    attend_one_by_one,
    cached_step_operations,
    empty_cache,
)
from searchspaces.mixers.chunks import chunk_count, into_chunks, out_of_chunks, with_earlier
from searchspaces.mixers.mixer import Mixer, State, register_mixer
from searchspaces.operations import Operation, OperationKind

if TYPE_CHECKING:
    from torch import Tensor, dtype


@register_mixer("sparse")
@dataclass(frozen=True)
class Sparse(Mixer):
    """Position i sees the positions j ≤ i of its own block, of the block before, and the first
    `globals` positions.

    These are BigBird's local and global blocks in causal form, without its random blocks: what remains
    is what StreamingLLM (Xiao et al., 2024) calls a window with sinks, so that the state is bounded. Cost is
    N (2 blocks + globals) and no N × N matrix exists.

    Args:
        block: C, tokens a block.
        globals: tokens at the start that everyone sees; at most `block`.
    """

    block: int = 64
    globals: int = 32

    glyph = "B"
    example = "sparse:8,4"

    def __post_init__(self) -> None:
        if not 1 <= self.globals <= self.block:
            raise ValueError(f"globals {self.globals} must be from 1 to the block {self.block}")

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Blocks of queries against [globals | block before | own block]."""
        import torch

        block = self.block
        queries = into_chunks(q * q.shape[-1] ** -0.5, block)
        count = queries.shape[2]
        keys, values = (self._with_globals(x, count) for x in (k, v))
        start = torch.arange(count, device=q.device)[:, None, None] * block
        query = torch.arange(block, device=q.device)[:, None]
        key = torch.arange(-block, block, device=q.device)
        local = (key > query) | (start + key < 0)
        # In the first two blocks the globals are near as well: they count once, as local keys.
        near = (start < 2 * block).expand(count, block, self.globals)
        hidden = torch.cat([near, local], dim=2)
        mask = torch.zeros(1, device=q.device, dtype=q.dtype).masked_fill(hidden, float("-inf"))
        mixed = (queries @ keys.transpose(-1, -2) + mask).softmax(-1) @ values
        return out_of_chunks(mixed, q.shape[2])

    def _with_globals(self, x: Tensor, count: int) -> Tensor:
        """(B, H, N, K) → (B, H, M, globals + 2 C, K)."""
        import torch
        from torch.nn.functional import pad

        batch, heads, _, size = x.shape
        shared = pad(x[:, :, : self.globals], (0, 0, 0, self.globals))[:, :, : self.globals]
        everywhere = shared.unsqueeze(2).expand(batch, heads, count, self.globals, size)
        return torch.cat([everywhere, with_earlier(x, self.block, 1)], dim=3)

    def reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Token by token."""
        seen = [
            [j for j in range(i + 1) if j >= (i // self.block - 1) * self.block or j < self.globals]
            for i in range(q.shape[-2])
        ]
        return attend_one_by_one(q, k, v, seen)

    def init_state(self, batch: int, heads: int, head_size: int, dtype: dtype) -> State:
        """No keys, no values."""
        empty = empty_cache(batch, heads, head_size, dtype)
        return empty | {f"global_{name}": kept for name, kept in empty.items()}

    def step(self, q: Tensor, k: Tensor, v: Tensor, state: State) -> tuple[Tensor, State]:
        """Attend to what is kept of this block and the one before, and to the globals once those left."""
        import torch

        state = dict(state)
        if state["k"].shape[2] == 2 * self.block:  # this token begins a block
            for name in ("k", "v"):
                if state[f"global_{name}"].shape[2] == 0:
                    state[f"global_{name}"] = state[name][:, :, : self.globals]
                state[name] = state[name][:, :, self.block :]
        state |= append(state, k, v)
        keys, values = (torch.cat([state[f"global_{name}"], state[name]], dim=2) for name in ("k", "v"))
        return attend(q, keys, values), state

    def _kept(self, tokens: int) -> int:
        """Tokens whose keys and values are in the state."""
        gone = max(0, (tokens - 1) // self.block - 1) * self.block
        return tokens - gone + (self.globals if gone else 0)

    def state_bytes(self, width: int, heads: int, tokens: int, itemsize: int = 4) -> int:
        """A key and a value for each token of two blocks at most, and for each global that left them."""
        return 2 * self._kept(tokens) * width * itemsize

    def operations(self, width: int, heads: int, tokens: int) -> tuple[Operation, ...]:
        """Scores, softmax, weighted sum over N × (2 C + globals), and the copies of keys and values."""
        count = chunk_count(tokens, self.block)
        row = 2 * self.block + self.globals
        pairs = count * self.block * row
        return (
            Operation(OperationKind.GATHER, elements=2 * count * (row + self.block) * width, calls=9),
            Operation(OperationKind.ATTENTION, macs=2 * pairs * width, elements=pairs * heads, calls=2),
            Operation(OperationKind.ELEMENTWISE, elements=pairs * (2 * heads + 1), calls=3),
        )

    def step_operations(self, width: int, heads: int, context: int) -> tuple[Operation, ...]:
        """One row."""
        return cached_step_operations(width, heads, self._kept(context), self._kept(context + 1))
