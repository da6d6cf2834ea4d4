"""Full causal softmax attention (Vaswani et al., 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.mixer import Mixer, State, register_mixer
from searchspaces.operations import Operation, OperationKind

if TYPE_CHECKING:
    from torch import Tensor, dtype


@register_mixer("softmax")
@dataclass(frozen=True)
class Softmax(Mixer):
    """Every token sees itself and all before it; cost grows with N², state with N."""

    glyph = "S"
    example = "softmax"

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """One masked product over the whole sequence."""
        import torch

        n = q.shape[-2]
        position = torch.arange(n, device=q.device)
        future = position[None, :] > position[:, None]
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        return scores.masked_fill(future, float("-inf")).softmax(-1) @ v

    def reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Token by token."""
        import torch

        rows = []
        for i in range(q.shape[-2]):
            scores = (q[..., i : i + 1, :] * k[..., : i + 1, :]).sum(-1) / q.shape[-1] ** 0.5
            rows.append((scores.softmax(-1).unsqueeze(-1) * v[..., : i + 1, :]).sum(-2))
        return torch.stack(rows, dim=-2)

    def init_state(self, batch: int, heads: int, head_size: int, dtype: dtype) -> State:
        """No keys, no values."""
        import torch

        empty = torch.empty(batch, heads, 0, head_size, dtype=dtype)
        return {"k": empty, "v": empty}

    def step(self, q: Tensor, k: Tensor, v: Tensor, state: State) -> tuple[Tensor, State]:
        """Attend to all keys so far."""
        import torch

        keys = torch.cat([state["k"], k.unsqueeze(-2)], dim=-2)
        values = torch.cat([state["v"], v.unsqueeze(-2)], dim=-2)
        scores = (keys @ q.unsqueeze(-1)).squeeze(-1) * q.shape[-1] ** -0.5
        out = (scores.softmax(-1).unsqueeze(-2) @ values).squeeze(-2)
        return out, {"k": keys, "v": values}

    def state_bytes(self, width: int, heads: int, tokens: int, itemsize: int = 4) -> int:
        """A key and a value a token."""
        return 2 * tokens * width * itemsize

    def operations(self, width: int, heads: int, tokens: int) -> tuple[Operation, ...]:
        """Scores, softmax, weighted sum over N × N."""
        pairs = tokens * tokens
        return (
            Operation(OperationKind.ATTENTION, macs=2 * pairs * width, elements=pairs * heads, calls=2),
            Operation(OperationKind.ELEMENTWISE, elements=2 * pairs * heads, calls=2),
        )

    def step_operations(self, width: int, heads: int, context: int) -> tuple[Operation, ...]:
        """One row of the same."""
        return (
            Operation(OperationKind.ATTENTION, macs=2 * context * width, elements=context * heads, calls=2),
            Operation(OperationKind.ELEMENTWISE, elements=2 * context * heads, calls=2),
        )
