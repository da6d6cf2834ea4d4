"""The gated feed-forward block with SiLU (SwiGLU; Shazeer, 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.channels.channel import Channel, register_channel
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Initial, Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor


@register_channel("swiglu")
@dataclass(frozen=True)
class SwiGlu(Channel):
    """down (silu(gate x) ⊙ up x); the first F' of F units are the smaller block."""

    example = "swiglu"

    def shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """Two matrices up, one down, no biases."""
        width, hidden = sizes.width, sizes.hidden
        return {
            "gate": Weight((hidden, width), ("hidden", "width")),
            "up": Weight((hidden, width), ("hidden", "width")),
            "down": Weight((width, hidden), ("width", "hidden"), Initial.RESIDUAL),
        }

    def forward(self, x: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """(…, D) → (…, D)."""
        from torch.nn.functional import linear, silu

        return linear(silu(linear(x, weights["gate"])) * linear(x, weights["up"]), weights["down"])

    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Three products, the activation and the gating."""
        width, hidden = sizes.width, sizes.hidden
        return (
            Operation(
                OperationKind.MATMUL,
                macs=3 * tokens * width * hidden,
                elements=tokens * (width + 2 * hidden),
                calls=3,
            ),
            Operation(OperationKind.ELEMENTWISE, elements=3 * tokens * hidden, calls=3),
        )
