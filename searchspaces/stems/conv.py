"""Convolutions and pools in front of the tokens (Compact Transformers; Hassani et al., 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from searchspaces.form import Grid, Input
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Initial, Sizes, Weight
from searchspaces.stems.stem import Stem, register_stem

if TYPE_CHECKING:
    from torch import Tensor


@register_stem("conv")
@dataclass(frozen=True)
class Conv(Stem):
    """Stages of a K × K convolution, relu and a 3 × 3 max pool with stride 2; D channels in the last, D/2 in
    those before.

    Attributes:
        kernel: K, odd.
        stages: how many.
    """

    kernel: int
    stages: int = 1

    example = "conv:3,2"
    limits: ClassVar = {"kernel": (1, 15), "stages": (1, 6)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel}; accepted: odd sizes")

    def grid(self, given: Input) -> tuple[int, ...]:
        """Half of each side, rounded up, a stage."""
        if not isinstance(given, Grid):
            raise ValueError(f"stem {self._text} does not take {given}; accepted: a grid")
        rows, columns = (-(-side // 2**self.stages) for side in given.size)
        return rows, columns

    @property
    def _text(self) -> str:
        return f"conv:{self.kernel}" + (f",{self.stages}" if self.stages > 1 else "")

    def shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """A kernel (outputs, inputs, K, K) a stage."""
        return {
            f"conv{self.kernel}_{self.stages}_{stage}": Weight(
                (outputs, inputs, self.kernel, self.kernel),
                ("width", "width" if stage else "", "", ""),
                Initial.KERNEL,
            )
            for stage, (inputs, outputs) in enumerate(self._channels(sizes))
        }

    def _channels(self, sizes: Sizes) -> Iterator[tuple[int, int]]:
        """Inputs and outputs of each stage."""
        given = sizes.form.input
        assert isinstance(given, Grid)
        before = given.channels
        for stage in range(self.stages):
            after = sizes.width if stage == self.stages - 1 else max(1, sizes.width // 2)
            yield before, after
            before = after

    def forward(self, inputs: Tensor, weights: Mapping[str, Tensor], sizes: Sizes) -> Tensor:
        """(B, C, H, W) → (B, N, D)."""
        from torch.nn.functional import conv2d, max_pool2d, relu

        x = inputs
        for name in self.shapes(sizes):
            x = conv2d(x, weights[name], padding=self.kernel // 2)
            x = max_pool2d(relu(x), 3, stride=2, padding=1)
        return x.flatten(2).transpose(1, 2)

    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Of each stage the convolution at the size before its pool, relu and pool."""
        given = sizes.form.input
        assert isinstance(given, Grid)
        operations = []
        rows, columns = given.size
        for inputs, outputs in self._channels(sizes):
            places = rows * columns
            macs = places * outputs * inputs * self.kernel**2
            operations += [
                Operation(OperationKind.MATMUL, macs=macs, elements=places * outputs),
                Operation(OperationKind.ELEMENTWISE, elements=2 * places * outputs, calls=2),
            ]
            rows, columns = -(-rows // 2), -(-columns // 2)
        return (*operations, Operation(OperationKind.GATHER, elements=tokens * sizes.width))
