"""The plain feed-forward block (Vaswani et al., 2017) with GELU (Hendrycks & Gimpel, 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.channels.channel import Channel, register_channel
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Initial, Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor


@register_channel("mlp")
@dataclass(frozen=True)
class Mlp(Channel):
    """D → F → D; the first F' of F units are the smaller block (MatFormer)."""

    example = "mlp"

    def shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """One matrix up, one down, no biases."""
        width, hidden = sizes.width, sizes.hidden
        return {
            "up": Weight((hidden, width), ("hidden", "width")),
            "down": Weight((width, hidden), ("width", "hidden"), Initial.RESIDUAL),
        }

    def forward(self, x: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """(…, D) → (…, D)."""
        from torch.nn.functional import gelu, linear

        return linear(gelu(linear(x, weights["up"])), weights["down"])

    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Two products and the activation."""
        width, hidden = sizes.width, sizes.hidden
        return (
            Operation(
                OperationKind.MATMUL,
                macs=2 * tokens * width * hidden,
                elements=tokens * (width + hidden),
                calls=2,
            ),
            Operation(OperationKind.ELEMENTWISE, elements=tokens * hidden, calls=1),
        )
