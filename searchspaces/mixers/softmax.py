"""Full causal softmax attention (Vaswani et al., 2017)."""

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
from searchspaces.mixers.mixer import Mixer, Shape, State, register_mixer
from searchspaces.operations import Operation, OperationKind

if TYPE_CHECKING:
    from torch import Tensor, dtype


@register_mixer("softmax")
@dataclass(frozen=True)
class Softmax(Mixer):
    """Position i sees every j ≤ i. Cost grows with N², the state with N."""

    glyph = "S"
    example = "softmax"

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """One masked product over the whole sequence."""
        import torch
        from torch.nn.functional import scaled_dot_product_attention

        # An additive mask exports to fewer and quicker operations than `is_causal`.
        mask = torch.full((q.shape[-2], q.shape[-2]), float("-inf"), device=q.device, dtype=q.dtype).triu(1)
        return scaled_dot_product_attention(q, k, v, attn_mask=mask)

    def reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Token by token."""
        return attend_one_by_one(q, k, v, [list(range(i + 1)) for i in range(q.shape[-2])])

    def init_state(self, batch: int, heads: int, head_size: int, dtype: dtype) -> State:
        """No keys, no values."""
        return empty_cache(batch, heads, head_size, dtype)

    def step(self, q: Tensor, k: Tensor, v: Tensor, state: State) -> tuple[Tensor, State]:
        """Attend to all keys so far."""
        state = append(state, k, v)
        return attend(q, state["k"], state["v"]), state

    def state_shapes(self, batch: int, heads: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """A key and a value a token."""
        return cache_shapes(batch, heads, head_size, tokens)

    def operations(self, width: int, heads: int, tokens: int) -> tuple[Operation, ...]:
        """Scores, softmax, weighted sum over N × N."""
        pairs = tokens * tokens
        return (
            Operation(OperationKind.ATTENTION, macs=2 * pairs * width, elements=pairs * heads, calls=2),
            Operation(OperationKind.ELEMENTWISE, elements=2 * pairs * heads, calls=2),
        )

    def step_operations(self, width: int, heads: int, context: int) -> tuple[Operation, ...]:
        """One row of the same."""
        return cached_step_operations(width, heads, context, context + 1)
