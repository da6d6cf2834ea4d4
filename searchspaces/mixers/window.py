"""Sliding-window softmax attention (Beltagy et al., 2020; Child et al., 2019), in blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.mixer import Mixer, State, register_mixer
from searchspaces.operations import Operation, OperationKind

if TYPE_CHECKING:
    from torch import Tensor, dtype


@register_mixer("window")
@dataclass(frozen=True)
class Window(Mixer):
    """Position i sees the W positions i - W < j ≤ i (itself included, as Mistral counts).

    The sequence is cut into blocks of W; a block of queries meets its own block of keys and the one
    before, so cost is N·2W and no N × N matrix exists.
    """

    window: int

    glyph = "W"
    example = "window:8"

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ValueError(f"window {self.window} must be at least 1")

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Blocks of W queries against 2W keys."""
        import torch
        from torch.nn.functional import pad

        size = self.window
        batch, heads, tokens, head_size = q.shape
        extra = -tokens % size
        blocks = (tokens + extra) // size
        q = pad(q * head_size**-0.5, (0, 0, 0, extra)).reshape(batch, heads, blocks, size, head_size)
        # One block of zeros in front, so that the first block has one before it; masked below.
        k = pad(k, (0, 0, size, extra)).reshape(batch, heads, blocks + 1, size, head_size)
        v = pad(v, (0, 0, size, extra)).reshape(batch, heads, blocks + 1, size, head_size)
        keys = torch.cat([k[:, :, :-1], k[:, :, 1:]], dim=3)
        values = torch.cat([v[:, :, :-1], v[:, :, 1:]], dim=3)
        query = torch.arange(size, device=q.device)[:, None]
        key = torch.arange(2 * size, device=q.device)[None, :] - size
        seen = (key <= query) & (key > query - size)
        first = torch.arange(blocks, device=q.device)[:, None, None] * size + key >= 0
        scores = (q @ keys.transpose(-1, -2)).masked_fill(~(seen & first), float("-inf"))
        mixed = (scores.softmax(-1) @ values).reshape(batch, heads, blocks * size, head_size)
        return mixed[:, :, :tokens]

    def reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Token by token."""
        import torch

        rows = []
        for i in range(q.shape[-2]):
            near = slice(max(0, i - self.window + 1), i + 1)
            scores = (q[..., i : i + 1, :] * k[..., near, :]).sum(-1) / q.shape[-1] ** 0.5
            rows.append((scores.softmax(-1).unsqueeze(-1) * v[..., near, :]).sum(-2))
        return torch.stack(rows, dim=-2)

    def init_state(self, batch: int, heads: int, head_size: int, dtype: dtype) -> State:
        """No keys, no values."""
        import torch

        empty = torch.empty(batch, heads, 0, head_size, dtype=dtype)
        return {"k": empty, "v": empty}

    def step(self, q: Tensor, k: Tensor, v: Tensor, state: State) -> tuple[Tensor, State]:
        """Attend to the last W keys."""
        import torch

        keys = torch.cat([state["k"], k.unsqueeze(-2)], dim=-2)[:, :, -self.window :]
        values = torch.cat([state["v"], v.unsqueeze(-2)], dim=-2)[:, :, -self.window :]
        scores = (keys @ q.unsqueeze(-1)).squeeze(-1) * q.shape[-1] ** -0.5
        out = (scores.softmax(-1).unsqueeze(-2) @ values).squeeze(-2)
        return out, {"k": keys, "v": values}

    def state_bytes(self, width: int, heads: int, tokens: int, itemsize: int = 4) -> int:
        """A key and a value for each of the last W tokens."""
        return 2 * min(tokens, self.window) * width * itemsize

    def operations(self, width: int, heads: int, tokens: int) -> tuple[Operation, ...]:
        """Scores, softmax, weighted sum over N × 2W, and the doubled keys and values."""
        pairs = -(-tokens // self.window) * self.window * 2 * self.window
        return (
            Operation(OperationKind.ATTENTION, macs=2 * pairs * width, elements=pairs * heads, calls=2),
            Operation(OperationKind.ELEMENTWISE, elements=2 * pairs * heads, calls=2),
            Operation(OperationKind.GATHER, elements=4 * tokens * width, calls=5),
        )

    def step_operations(self, width: int, heads: int, context: int) -> tuple[Operation, ...]:
        """One row of W."""
        seen = min(context, self.window)
        return (
            Operation(OperationKind.ATTENTION, macs=2 * seen * width, elements=seen * heads, calls=2),
            Operation(OperationKind.ELEMENTWISE, elements=2 * seen * heads, calls=2),
        )
