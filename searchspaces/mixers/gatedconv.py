"""The gated short convolution of LFM2 (Liquid AI, 2025): no attention at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from searchspaces.mixers.convolution import (
    MOST_TAPS,
    convolution_operations,
    convolve,
    kept_for,
    taps_of,
)
from searchspaces.mixers.mixer import CausalMixer, Kind, Position, Shape, State, Weights, register_mixer
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Initial, Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.rotary import Turns


@register_mixer("gatedconv")
@dataclass(frozen=True)
class GatedConvolution(CausalMixer):
    """out = W_o (c ⊙ conv(b ⊙ v)) with b, c and v projections of the tokens, and a causal depthwise
    convolution.

    Of its projections ``value`` and ``out`` are those of the layer, which mixers of heads have too.

    Args:
        taps: of the convolution, the token itself included.
    """

    taps: int = 3

    glyph = "C"
    example = "gatedconv"
    kind = Kind.CONVOLUTION
    kernel = "a depthwise kernel, gated by tokens"
    sparsity = "a few tokens"
    source = "LFM2: Liquid AI, 2025"
    family = "convolution"
    limits: ClassVar[Mapping[str, tuple[int, int]]] = {"taps": (2, MOST_TAPS)}

    def shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """Four matrices (D, D) and the kernel (D, taps)."""
        width = sizes.width
        names = ("convolution_before", "convolution_after", "value")
        shapes = {name: Weight((width, width), ("width", "width")) for name in names}
        shapes["out"] = Weight((width, width), ("width", "width"), Initial.RESIDUAL)
        return shapes | {"convolution_taps": taps_of(width, self.taps)}

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

        mixed = convolve(self._gated(x, weights), weights["convolution_taps"])
        return linear(linear(x, weights["convolution_after"]) * mixed, weights["out"])

    def _gated(self, x: Tensor, weights: Weights) -> Tensor:
        from torch.nn.functional import linear

        return linear(x, weights["convolution_before"]) * linear(x, weights["value"])

    def reference(self, x: Tensor, weights: Weights, sizes: Sizes, turns: Turns | None) -> Tensor:
        """Token by token."""
        import torch

        gated, taps = self._gated(x, weights), weights["convolution_taps"]
        rows = []
        for i in range(x.shape[1]):
            mixed = gated[:, i] + sum(gated[:, i - s] * taps[:, s] for s in range(min(self.taps, i + 1)))
            rows.append((x[:, i] @ weights["convolution_after"].T * mixed) @ weights["out"].T)
        return torch.stack(rows, dim=1)

    def extend(
        self,
        x: Tensor,
        weights: Weights,
        sizes: Sizes,
        turns: Turns | None,
        state: State,
        position: Position,
    ) -> tuple[Tensor, State]:
        """See `Mixer.extend`."""
        from torch.nn.functional import linear

        before = state["before"]
        gated = self._gated(x, weights)
        mixed = convolve(gated, weights["convolution_taps"], before)
        out = linear(linear(x, weights["convolution_after"]) * mixed, weights["out"])
        return out, {"before": kept_for(gated, before)}

    def state_shapes(self, batch: int, sizes: Sizes, tokens: int) -> dict[str, Shape]:
        """The tokens that the convolution reaches back to."""
        return {"before": (batch, self.taps - 1, sizes.width)}

    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Four products, the convolution and the gates."""
        width = sizes.width
        products = Operation(
            OperationKind.MATMUL, macs=4 * tokens * width**2, elements=4 * tokens * width, calls=4
        )
        gates = Operation(OperationKind.ELEMENTWISE, elements=2 * tokens * width, calls=2)
        return products, gates, *convolution_operations(width, self.taps, tokens)

    def step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """The same for one token."""
        return self.operations(sizes, 1)
