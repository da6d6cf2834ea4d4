"""Attention to a few mixtures of all tokens (Linformer; Wang et al., 2020)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from searchspaces.mixers.cache import attend_one_by_one
from searchspaces.mixers.heads import BidirectionalHeadMixer
from searchspaces.mixers.mixer import Kind, Weights, register_mixer
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor


@register_mixer("linformer")
@dataclass(frozen=True)
class Linformer(BidirectionalHeadMixer):
    """softmax(q (E k)ᵀ/√K) F v with E and F (R, N) learned, for all heads alike: R rows stand for N tokens.

    Args:
        rank: R; fewer rows are the first of more.
    """

    rank: int = 32

    glyph = "N"
    example = "linformer:8"
    kind = Kind.ATTENTION
    kernel = "exp(q·k/√K), normalised, of keys that are mixed"
    sparsity = "low rank"
    source = "Linformer: Wang et al., 2020"
    limits: ClassVar[Mapping[str, tuple[int, int]]] = {"rank": (1, 4096)}

    def own_shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """E and F."""
        rows = Weight((self.rank, math.prod(sizes.view.grid)), ("", ""))
        return {"keys": rows, "values": rows}

    def mix_bidirectional(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        weights: Weights,
        sizes: Sizes,
        present: Tensor | None = None,
    ) -> Tensor:
        """By torch's kernel."""
        from torch.nn.functional import scaled_dot_product_attention

        keys, values = (weights[self.own_name(name)] for name in ("keys", "values"))
        return scaled_dot_product_attention(q, keys @ k, values @ v)

    def mix_bidirectional_reference(
        self, q: Tensor, k: Tensor, v: Tensor, weights: Weights, sizes: Sizes
    ) -> Tensor:
        """Token by token."""
        import torch

        keys, values = (weights[self.own_name(name)] for name in ("keys", "values"))
        k, v = (torch.einsum("rn,bhnk->bhrk", rows, x) for rows, x in ((keys, k), (values, v)))
        return attend_one_by_one(q, k, v, [list(range(self.rank))] * q.shape[2])

    def mix_bidirectional_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """The mixtures, scores, softmax and weighted sum."""
        inner, scores = sizes.inner, tokens * self.rank * sizes.heads
        return (
            Operation(
                OperationKind.ATTENTION,
                macs=4 * tokens * self.rank * inner,
                elements=2 * self.rank * inner + scores + tokens * inner,
                calls=4,
            ),
            Operation(OperationKind.ELEMENTWISE, elements=2 * scores, calls=2),
        )
