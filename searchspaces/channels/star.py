"""The plain feed-forward block with StarReLU (MetaFormer baselines; Yu et al., 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.activations import star, star_shapes
from searchspaces.channels.channel import register_channel
from searchspaces.channels.mlp import Mlp
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor


@register_channel("star")
@dataclass(frozen=True)
class Star(Mlp):
    """down (s relu(up x)² + b), s and b learned numbers; the first F' of F units are the smaller block."""

    example = "star"

    def shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """One matrix up, one down, and the activation's numbers."""
        return super().shapes(sizes) | star_shapes()

    def forward(self, x: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """(…, D) → (…, D)."""
        from torch.nn.functional import linear

        hidden = star(linear(x, weights["up"]), weights["scale"], weights["shift"])
        return linear(hidden, weights["down"])

    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Two products and the activation, which is four steps of arithmetic."""
        products, _ = super().operations(sizes, tokens)
        return products, Operation(OperationKind.ELEMENTWISE, elements=4 * tokens * sizes.hidden, calls=4)
