"""Block-sparse softmax attention with global tokens (Longformer: Beltagy et al., 2020; BigBird: Zaheer
et al., 2020), causal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.mixer import Mixer, State, register_mixer
from searchspaces.operations import Operation, OperationKind

if TYPE_CHECKING:
    from torch import Tensor, dtype


@register_mixer("sparse")
@dataclass(frozen=True)
class Sparse(Mixer):
    """Position i sees the positions j ≤ i of its own block, of the block before, and the first
    `globals` positions (what BigBird calls global and StreamingLLM sinks).

    Args:
        block: tokens a block.
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
        from torch.nn.functional import pad

        size, shared = self.block, self.globals
        batch, heads, tokens, head_size = q.shape
        extra = -tokens % size
        blocks = (tokens + extra) // size
        q = pad(q * head_size**-0.5, (0, 0, 0, extra)).reshape(batch, heads, blocks, size, head_size)
        k = pad(k, (0, 0, size, extra)).reshape(batch, heads, blocks + 1, size, head_size)
        v = pad(v, (0, 0, size, extra)).reshape(batch, heads, blocks + 1, size, head_size)
        everywhere = (batch, heads, blocks, shared, head_size)
        keys = torch.cat([k[:, :, 1:2, :shared].expand(everywhere), k[:, :, :-1], k[:, :, 1:]], dim=3)
        values = torch.cat([v[:, :, 1:2, :shared].expand(everywhere), v[:, :, :-1], v[:, :, 1:]], dim=3)
        start = torch.arange(blocks, device=q.device)[:, None, None] * size
        query = torch.arange(size, device=q.device)[:, None]
        local = torch.arange(2 * size, device=q.device)[None, :] - size
        # In the first two blocks the globals are near as well: count them once, as local keys.
        far = (start >= 2 * size).expand(blocks, size, shared)
        seen = torch.cat([far, (local <= query) & (start + local >= 0)], dim=2)
        scores = (q @ keys.transpose(-1, -2)).masked_fill(~seen, float("-inf"))
        mixed = (scores.softmax(-1) @ values).reshape(batch, heads, blocks * size, head_size)
        return mixed[:, :, :tokens]

    def reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Token by token."""
        import torch

        rows = []
        for i in range(q.shape[-2]):
            near = (i // self.block - 1) * self.block
            seen = [j for j in range(i + 1) if j >= near or j < self.globals]
            scores = (q[..., i : i + 1, :] * k[..., seen, :]).sum(-1) / q.shape[-1] ** 0.5
            rows.append((scores.softmax(-1).unsqueeze(-1) * v[..., seen, :]).sum(-2))
        return torch.stack(rows, dim=-2)

    def init_state(self, batch: int, heads: int, head_size: int, dtype: dtype) -> State:
        """No keys, no values, position 0."""
        import torch

        empty = torch.empty(batch, heads, 0, head_size, dtype=dtype)
        position = torch.zeros((), dtype=torch.int64)
        return {"global_k": empty, "global_v": empty, "k": empty, "v": empty, "position": position}

    def step(self, q: Tensor, k: Tensor, v: Tensor, state: State) -> tuple[Tensor, State]:
        """Attend to the globals and to what is kept of this block and the one before."""
        import torch

        position = int(state["position"])
        kept = {name: state[name] for name in ("global_k", "global_v")}
        near_k, near_v = state["k"], state["v"]
        if position % self.block == 0 and near_k.shape[-2] > self.block:
            near_k, near_v = near_k[:, :, self.block :], near_v[:, :, self.block :]
        near_k = torch.cat([near_k, k.unsqueeze(-2)], dim=-2)
        near_v = torch.cat([near_v, v.unsqueeze(-2)], dim=-2)
        if position < self.globals:
            kept["global_k"] = torch.cat([kept["global_k"], k.unsqueeze(-2)], dim=-2)
            kept["global_v"] = torch.cat([kept["global_v"], v.unsqueeze(-2)], dim=-2)
        far = position >= 2 * self.block
        keys = torch.cat([kept["global_k"], near_k], dim=-2) if far else near_k
        values = torch.cat([kept["global_v"], near_v], dim=-2) if far else near_v
        scores = (keys @ q.unsqueeze(-1)).squeeze(-1) * q.shape[-1] ** -0.5
        out = (scores.softmax(-1).unsqueeze(-2) @ values).squeeze(-2)
        return out, {**kept, "k": near_k, "v": near_v, "position": state["position"] + 1}

    def _near(self, tokens: int) -> int:
        """Keys kept of the last token's block and the one before."""
        return 0 if tokens == 0 else tokens - max(0, (tokens - 1) // self.block - 1) * self.block

    def state_bytes(self, width: int, heads: int, tokens: int, itemsize: int = 4) -> int:
        """Globals and near keys and values, and the position (8 bytes)."""
        return 2 * (min(tokens, self.globals) + self._near(tokens)) * width * itemsize + 8

    def operations(self, width: int, heads: int, tokens: int) -> tuple[Operation, ...]:
        """Scores, softmax, weighted sum over N × (2 blocks + globals), and the copies of keys and values."""
        blocks = -(-tokens // self.block)
        row = 2 * self.block + self.globals
        pairs = blocks * self.block * row
        return (
            Operation(OperationKind.ATTENTION, macs=2 * pairs * width, elements=pairs * heads, calls=2),
            Operation(OperationKind.ELEMENTWISE, elements=2 * pairs * heads, calls=2),
            Operation(OperationKind.GATHER, elements=2 * blocks * row * width, calls=7),
        )

    def step_operations(self, width: int, heads: int, context: int) -> tuple[Operation, ...]:
        """One row."""
        seen = self._near(context) + (self.globals if context > 2 * self.block else 0)
        return (
            Operation(OperationKind.ATTENTION, macs=2 * seen * width, elements=seen * heads, calls=2),
            Operation(OperationKind.ELEMENTWISE, elements=2 * seen * heads, calls=2),
        )
