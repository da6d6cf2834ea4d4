"""A vector for each token id."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.form import Input, Tokens
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Initial, Sizes, Weight
from searchspaces.stems.stem import Stem, register_stem

if TYPE_CHECKING:
    from torch import Tensor


@register_stem("embedding")
@dataclass(frozen=True)
class Embedding(Stem):
    """Rows of a table, times √D as in Vaswani et al. (2017, 3.4): a tied embedding starts small for the
    logits' sake, and without the factor its residual stream learns much more slowly."""

    example = "embedding"

    def grid(self, given: Input) -> tuple[int, ...]:
        """A sequence."""
        if not isinstance(given, Tokens):
            raise ValueError(f"stem embedding does not take {given}; accepted: tokens")
        return (given.length,) if given.length else ()

    def shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """(V, D)."""
        return {"embedding": Weight((sizes.form.vocabulary, sizes.width), ("", "width"), Initial.EMBEDDING)}

    def forward(self, inputs: Tensor, weights: Mapping[str, Tensor], sizes: Sizes) -> Tensor:
        """Token ids (B, N) → (B, N, D)."""
        from torch.nn.functional import embedding

        return embedding(inputs, weights["embedding"]) * math.sqrt(sizes.width)

    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """One copy a token."""
        return (Operation(OperationKind.GATHER, elements=tokens * sizes.width),)
