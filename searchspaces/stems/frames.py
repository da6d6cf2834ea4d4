"""The values of a series at one time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.form import Input, Series
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sizes, Weight
from searchspaces.stems.stem import PaddedStem, register_stem

if TYPE_CHECKING:
    from torch import Tensor


@register_stem("frames")
@dataclass(frozen=True)
class Frames(PaddedStem):
    """The channels of a moment become a token, by one matrix. Moments after the end of a series are NaN, and
    their tokens absent."""

    example = "frames"

    def grid(self, given: Input) -> tuple[int, ...]:
        """(N,)."""
        if not isinstance(given, Series):
            raise ValueError(f"stem frames does not take {given}; accepted: a series")
        return (given.length,)

    def shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """(D, C)."""
        given = sizes.form.input
        assert isinstance(given, Series)
        return {"frames": Weight((sizes.width, given.channels), ("width", ""))}

    def forward(self, inputs: Tensor, weights: Mapping[str, Tensor], sizes: Sizes) -> Tensor:
        """(B, C, N) → (B, N, D)."""
        from torch.nn.functional import linear

        there = inputs.masked_fill(inputs.isnan(), 0.0)
        return linear(there.transpose(1, 2), weights["frames"])

    def present(self, inputs: Tensor) -> Tensor:
        """Those whose channels are numbers."""
        return ~inputs[:, 0].isnan()

    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """One product."""
        (weight,) = self.shapes(sizes).values()
        width, channels = weight.shape
        return (
            Operation(OperationKind.GATHER, elements=tokens * channels),
            Operation(OperationKind.MATMUL, macs=tokens * width * channels, elements=tokens * width),
        )
