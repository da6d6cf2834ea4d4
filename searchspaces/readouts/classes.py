"""A class of the whole input: by the mean of its tokens, or by a learned one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.form import Classes
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Initial, Sizes, Weight
from searchspaces.readouts.readout import Readout, register_readout

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Mean", "Pool"]


class _Pooled(Readout):
    """Tokens become one vector, of which ``classes`` (count, D) tells the class; readouts share it."""

    answers = Classes

    @abstractmethod
    def pooled(self, normed: Tensor, weights: Mapping[str, Tensor], present: Tensor | None) -> Tensor:
        """(B, N, D) → (B, D) of the tokens that are there, (B, N); all where None."""

    def own_shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """See the class."""
        return {"classes": Weight((_count(sizes), sizes.width), ("", "width"), Initial.EMBEDDING)}

    def read(
        self, normed: Tensor, weights: Mapping[str, Tensor], sizes: Sizes, present: Tensor | None = None
    ) -> Tensor:
        """(B, N, D) → (B, count)."""
        from torch.nn.functional import linear

        return linear(self.pooled(normed, weights, present), weights["classes"])

    def own_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """The mean, and one product."""
        count = _count(sizes)
        return (
            Operation(OperationKind.ELEMENTWISE, elements=sizes.width),
            Operation(OperationKind.MATMUL, macs=sizes.width * count, elements=count),
        )


def _count(sizes: Sizes) -> int:
    asked = sizes.form.output
    assert isinstance(asked, Classes)
    return asked.count


@register_readout("mean")
@dataclass(frozen=True)
class Mean(_Pooled):
    """The mean of all tokens."""

    example = "mean"

    def pooled(self, normed: Tensor, weights: Mapping[str, Tensor], present: Tensor | None) -> Tensor:
        """See the class."""
        if present is None:
            return normed.mean(1)
        there = present.to(normed.dtype).unsqueeze(2)
        mean: Tensor = (normed * there).sum(1) / there.sum(1)
        return mean


@register_readout("pool")
@dataclass(frozen=True)
class Pool(_Pooled):
    """A learned attention pool (Compact Transformers; Hassani et al., 2021): tokens weighted by the softmax
    of their products with ``pool`` (1, D)."""

    example = "pool"

    def own_shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """With the vector that weighs."""
        return {
            "pool": Weight((1, sizes.width), ("", "width"), Initial.ZEROS),
            **super().own_shapes(sizes),
        }

    def pooled(self, normed: Tensor, weights: Mapping[str, Tensor], present: Tensor | None) -> Tensor:
        """See the class."""
        from torch.nn.functional import linear

        scores = linear(normed, weights["pool"])
        if present is not None:
            scores = scores.masked_fill(~present.unsqueeze(2), float("-inf"))
        shares = scores.softmax(1)
        return (shares.transpose(1, 2) @ normed).squeeze(1)

    def own_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """The weights, their softmax, the weighted sum, and the product."""
        _, product = super().own_operations(sizes, tokens)
        return (
            Operation(OperationKind.MATMUL, macs=tokens * sizes.width, elements=tokens),
            Operation(OperationKind.ELEMENTWISE, elements=2 * tokens, calls=2),
            Operation(OperationKind.ATTENTION, macs=tokens * sizes.width, elements=sizes.width),
            product,
        )
