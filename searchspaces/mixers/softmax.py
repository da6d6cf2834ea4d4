"""Full softmax attention (Vaswani et al., 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.cache import (
    append,
    attend,
    attend_causally,
    attend_one_by_one,
    cache_shapes,
    cached_step_operations,
)
from searchspaces.mixers.heads import OnAllKept, TwoSightedHeadMixer
from searchspaces.mixers.mixer import Kind, Position, Shape, State, Weights, register_mixer
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sizes

if TYPE_CHECKING:
    from torch import Tensor


@register_mixer("softmax")
@dataclass(frozen=True)
class Softmax(TwoSightedHeadMixer):
    """Every token sees all others, or all before it. Cost grows with N², the state with N."""

    glyph = "S"
    example = "softmax"
    kind = Kind.ATTENTION
    kernel = "exp(q·k/√K), normalised"
    sparsity = "all tokens"
    source = "Vaswani et al., 2017"
    attends_to_all_kept = True

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Torch's causal kernel; exports put in its place what an engine runs fastest."""
        return attend_causally(q, k, v)

    def mix_reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Token by token."""
        return attend_one_by_one(q, k, v, [list(range(i + 1)) for i in range(q.shape[-2])])

    def mix_bidirectional(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        weights: Weights,
        sizes: Sizes,
        present: Tensor | None = None,
    ) -> Tensor:
        """Torch's kernel, without a mask where all tokens are there."""
        from torch.nn.functional import scaled_dot_product_attention

        seen = None if present is None else present[:, None, None, :]
        return scaled_dot_product_attention(q, k, v, seen)

    def mix_bidirectional_reference(
        self, q: Tensor, k: Tensor, v: Tensor, weights: Weights, sizes: Sizes
    ) -> Tensor:
        """Token by token."""
        tokens = q.shape[-2]
        return attend_one_by_one(q, k, v, [list(range(tokens))] * tokens)

    def mix_bidirectional_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """As many as of `mix`, which masks half of them."""
        return self.mix_operations(sizes, tokens)

    def mix_step(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, position: Position
    ) -> tuple[Tensor, State]:
        """Attend to all keys so far."""
        state = append(state, k.unsqueeze(2), v.unsqueeze(2))
        return attend(q, state["k"], state["v"]), state

    def on_all_kept(self) -> OnAllKept:
        """Those up to the position."""
        return _attend_up_to

    def mix_extend(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, position: Position
    ) -> tuple[Tensor, State]:
        """The same for several."""
        state = append(state, k, v)
        return attend_causally(q, state["k"], state["v"]), state

    def mix_state_shapes(self, batch: int, groups: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """A key and a value a token."""
        return cache_shapes(batch, groups, head_size, tokens)

    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Scores, softmax, weighted sum over N × N."""
        pairs = tokens * tokens
        return (
            Operation(
                OperationKind.ATTENTION, macs=2 * pairs * sizes.inner, elements=pairs * sizes.heads, calls=2
            ),
            Operation(OperationKind.ELEMENTWISE, elements=2 * pairs * sizes.heads, calls=2),
        )

    def mix_step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """One row of the same. The token's own key and value alone are written: engines append in place."""
        return cached_step_operations(sizes, 1, context + 1)


def _attend_up_to(q: Tensor, kept: State, position: Position) -> Tensor:
    import torch

    seen = torch.arange(kept["k"].shape[2], device=q.device) <= position
    return attend(q, kept["k"], kept["v"], seen)
