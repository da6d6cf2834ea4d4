"""Square patches of an image (ViT; Dosovitskiy et al., 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from searchspaces.form import Grid, Input
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sizes, Weight
from searchspaces.stems.stem import Stem, register_stem

if TYPE_CHECKING:
    from torch import Tensor


@register_stem("patch")
@dataclass(frozen=True)
class Patch(Stem):
    """Each P × P pixels become a token, by one matrix.

    Attributes:
        side: P.
    """

    side: int

    example = "patch:2"
    limits: ClassVar = {"side": (1, 256)}

    def grid(self, given: Input) -> tuple[int, ...]:
        """(H/P, W/P)."""
        accepted = f"accepted: a grid whose sides {self.side} divides"
        if not isinstance(given, Grid):
            raise ValueError(f"stem patch:{self.side} does not take {given}; {accepted}")
        if any(side % self.side for side in given.size):
            raise ValueError(f"stem patch:{self.side} does not divide {given}; {accepted}")
        return given.size[0] // self.side, given.size[1] // self.side

    def shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """(D, C·P·P)."""
        given = sizes.form.input
        assert isinstance(given, Grid)
        return {f"patch{self.side}": Weight((sizes.width, given.channels * self.side**2), ("width", ""))}

    def forward(self, inputs: Tensor, weights: Mapping[str, Tensor], sizes: Sizes) -> Tensor:
        """(B, C, H, W) → (B, N, D)."""
        from torch.nn.functional import linear

        channels, side = int(inputs.shape[1]), self.side
        rows, columns = (int(size) // side for size in inputs.shape[2:])
        cut = inputs.reshape(-1, channels, rows, side, columns, side).permute(0, 2, 4, 1, 3, 5)
        return linear(cut.reshape(-1, rows * columns, channels * side**2), weights[f"patch{side}"])

    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """A copy of the pixels, and one product."""
        (weight,) = self.shapes(sizes).values()
        width, values = weight.shape
        return (
            Operation(OperationKind.GATHER, elements=tokens * values),
            Operation(OperationKind.MATMUL, macs=tokens * width * values, elements=tokens * width),
        )
