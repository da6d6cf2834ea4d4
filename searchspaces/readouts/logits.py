"""The next token of every token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.form import NextToken
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Initial, Sizes, Weight
from searchspaces.readouts.readout import Readout, register_readout

if TYPE_CHECKING:
    from torch import Tensor


@register_readout("logits")
@dataclass(frozen=True)
class Logits(Readout):
    """By the embedding once more (Press & Wolf, 2017), or by ``head``, a matrix of its own."""

    example = "logits"
    answers = NextToken

    def own_shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """(V, D) where it is not the embedding."""
        return {name: weight for name, weight in self._projection(sizes).items() if not sizes.tied}

    def _projection(self, sizes: Sizes) -> dict[str, Weight]:
        name = "embedding" if sizes.tied else "head"
        return {name: Weight((sizes.form.vocabulary, sizes.width), ("", "width"), Initial.EMBEDDING)}

    def read(
        self, normed: Tensor, weights: Mapping[str, Tensor], sizes: Sizes, present: Tensor | None = None
    ) -> Tensor:
        """(B, N, D) → (B, N, V)."""
        from torch.nn.functional import linear

        (name,) = self._projection(sizes)
        return linear(normed, weights[name])

    def own_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """One product."""
        vocabulary = sizes.form.vocabulary
        macs = tokens * sizes.width * vocabulary
        return (Operation(OperationKind.MATMUL, macs=macs, elements=tokens * vocabulary),)
