"""Block-sparse softmax attention with global tokens (Longformer: Beltagy et al., 2020; BigBird: Zaheer
et al., 2020), causal."""

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
from searchspaces.mixers.chunks import chunk_count, into_chunks, out_of_chunks
from searchspaces.mixers.heads import HeadMixer
from searchspaces.mixers.mixer import Shape, State, register_mixer
from searchspaces.operations import Operation, OperationKind

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.part import Sizes


@register_mixer("sparse")
@dataclass(frozen=True)
class Sparse(HeadMixer):
    """Position i sees the positions j ≤ i of its own block, of the block before, and the first
    `globals` positions.

    These are BigBird's local and global blocks in causal form, without its random blocks: what remains
    is what StreamingLLM (Xiao et al., 2024) calls a window with sinks, so that the state is bounded. Cost is
    N (2 blocks + globals) and no N × N matrix exists.

    Args:
        block: C, tokens a block.
        globals: tokens at the start that everyone sees; a divisor of `block`.
    """

    block: int = 64
    globals: int = 32

    glyph = "B"
    example = "sparse:8,4"

    limits: ClassVar[Mapping[str, tuple[int, int]]] = {"block": (1, 4096), "globals": (1, 4096)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block % self.globals:
            raise ValueError(f"globals {self.globals} must divide the block {self.block}")

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Blocks of queries against [globals | block before | own block]."""
        import torch

        block = self.block
        queries = into_chunks(q * q.shape[-1] ** -0.5, block)
        count = queries.shape[2]
        keys, values = self._gathered(k), self._gathered(v)
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

    def _gathered(self, x: Tensor) -> Tensor:
        """(B, H, N, K) → (B, H, M, globals + 2 C, K): the globals, the block before and the own block."""
        import torch

        unit, per_block = self.globals, self.block // self.globals
        blocks = into_chunks(x, self.block, ahead=1)
        batch, heads, count, _, size = blocks.shape
        start = torch.arange(count - 1, device=x.device).unsqueeze(1) * per_block
        near = start + torch.arange(2 * per_block, device=x.device)
        table = torch.cat([torch.full_like(start, per_block), near], dim=1)
        units = blocks.reshape(batch, int(heads), -1, unit, int(size)).index_select(2, table.flatten())
        return units.reshape(batch, int(heads), -1, unit + 2 * self.block, int(size))

    def mix_reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Token by token."""
        seen = [
            [j for j in range(i + 1) if j >= (i // self.block - 1) * self.block or j < self.globals]
            for i in range(q.shape[-2])
        ]
        return attend_one_by_one(q, k, v, seen)

    def mix_step(self, q: Tensor, k: Tensor, v: Tensor, state: State) -> tuple[Tensor, State]:
        """Attend to what is kept of this block and the one before, and to the globals once those left."""
        import torch

        state = dict(state)
        if state["k"].shape[2] == 2 * self.block:  # this token begins a block
            for name in ("k", "v"):
                if state[f"global_{name}"].shape[2] == 0:
                    # A copy: a view would keep all of both blocks.
                    state[f"global_{name}"] = state[name][:, :, : self.globals].clone()
                state[name] = state[name][:, :, self.block :]
        state |= append(state, k, v)
        keys, values = (torch.cat([state[f"global_{name}"], state[name]], dim=2) for name in ("k", "v"))
        return attend(q, keys, values), state

    def _kept(self, tokens: int) -> tuple[int, int]:
        """Tokens whose keys and values are in the state: of two blocks at most, and globals that left
        them."""
        gone = max(0, (tokens - 1) // self.block - 1) * self.block
        return tokens - gone, self.globals if gone else 0

    def mix_state_shapes(self, batch: int, groups: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """A key and a value for each token that is kept."""
        near, distant = (cache_shapes(batch, groups, head_size, kept) for kept in self._kept(tokens))
        return near | {f"global_{name}": shape for name, shape in distant.items()}

    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Scores, softmax, weighted sum over N × (2 C + globals), and the copies of keys and values."""
        count = chunk_count(tokens, self.block)
        row = 2 * self.block + self.globals
        pairs = count * self.block * row
        return (
            Operation(OperationKind.GATHER, elements=2 * count * (row + self.block) * sizes.inner, calls=9),
            Operation(
                OperationKind.ATTENTION, macs=2 * pairs * sizes.inner, elements=pairs * sizes.heads, calls=2
            ),
            Operation(OperationKind.ELEMENTWISE, elements=pairs * (2 * sizes.heads + 1), calls=3),
        )

    def mix_step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """One row."""
        return cached_step_operations(sizes, sum(self._kept(context)), sum(self._kept(context + 1)))
