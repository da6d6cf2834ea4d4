"""Separable convolution as a token mixer (MobileNetV2: Sandler et al., 2018; ConvFormer: Yu et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.activations import star, star_shapes
from searchspaces.mixers.depthwise import (
    Kernelled,
    depthwise,
    depthwise_operations,
    depthwise_reference,
    depthwise_taps,
)
from searchspaces.mixers.mixer import Kind, Mixer, Weights, register_mixer
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Initial, Sight, Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.rotary import Turns

EXPANSION = 2


@register_mixer("conv")
@dataclass(frozen=True)
class Convolution(Kernelled, Mixer):
    """W₂ (u + dw(u)), u = star(W₁ x), with a depthwise convolution over 2 D channels.

    The identity beside it stands for a tap of 1 more in the middle: fresh taps are zeros and change nothing.

    Args:
        size: places along every axis of the grid.
    """

    size: int = 7

    glyph = "V"
    example = "conv:3"
    kind = Kind.CONVOLUTION
    kernel = "a depthwise kernel"
    sparsity = "a window"
    source = "ConvFormer: Yu et al., 2022"
    family = "convolution"
    sights = frozenset({Sight.BIDIRECTIONAL})

    def shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """Two matrices, the kernel and the activation's numbers."""
        width, hidden = sizes.width, EXPANSION * sizes.width
        own = {
            "up": Weight((hidden, width), ("width", "width")),
            "down": Weight((width, hidden), ("width", "width"), Initial.RESIDUAL),
            "taps": depthwise_taps(hidden, self.size, sizes.view.dimensions),
        }
        return {f"conv_{name}": weight for name, weight in (own | star_shapes()).items()}

    def forward(
        self,
        x: Tensor,
        weights: Weights,
        sizes: Sizes,
        turns: Turns | None,
        present: Tensor | None = None,
    ) -> Tensor:
        """See `Mixer.forward`."""
        from torch.nn.functional import linear

        hidden = self._hidden(x, weights)
        if present is not None:
            hidden = hidden * present.to(x.dtype).unsqueeze(2)
        mixed = hidden + depthwise(hidden, weights["conv_taps"], sizes.view.grid, self.size)
        return linear(mixed, weights["conv_down"])

    def reference(self, x: Tensor, weights: Weights, sizes: Sizes, turns: Turns | None) -> Tensor:
        """Token by token."""
        hidden = self._hidden(x, weights)
        mixed = hidden + depthwise_reference(hidden, weights["conv_taps"], sizes.view.grid, self.size)
        return mixed @ weights["conv_down"].T

    def _hidden(self, x: Tensor, weights: Weights) -> Tensor:
        from torch.nn.functional import linear

        return star(linear(x, weights["conv_up"]), weights["conv_scale"], weights["conv_shift"])

    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Two products, the activation, the convolution."""
        width, hidden = sizes.width, EXPANSION * sizes.width
        return (
            Operation(
                OperationKind.MATMUL,
                macs=2 * tokens * width * hidden,
                elements=tokens * (width + hidden),
                calls=2,
            ),
            Operation(OperationKind.ELEMENTWISE, elements=5 * tokens * hidden, calls=5),
            *depthwise_operations(hidden, self.size, sizes.view.dimensions, tokens),
        )
