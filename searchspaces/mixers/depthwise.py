"""Depthwise convolutions on grids of one or two axes: each channel over the places around a token."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, ClassVar

from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Initial, Part, Weight

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Kernelled",
    "depthwise",
    "depthwise_operations",
    "depthwise_reference",
    "depthwise_taps",
]


class Kernelled(Part):
    """A part that looks at the places around each token, `size` along every axis of the grid.

    Attributes:
        size: an odd number, for a token stands in the middle.
    """

    size: int
    limits: ClassVar[Mapping[str, tuple[int, int]]] = {"size": (1, 31)}  # beyond it attention is cheaper

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % 2 == 0:
            raise ValueError(f"size {self.size}; accepted: odd numbers")


def depthwise_taps(channels: int, kernel: int, dimensions: int) -> Weight:
    """(channels, kernel^dimensions), zeros at first, stored by distance from the middle: those of a smaller
    kernel are the first of a larger one's."""
    return Weight((channels, kernel**dimensions), ("width", ""), Initial.ZEROS)


def depthwise(x: Tensor, taps: Tensor, grid: tuple[int, ...], kernel: int) -> Tensor:
    """y_p = Σ_s taps[:, s] x_{p + offset_s} of x (B, N, C), zeros beyond the grid."""
    from torch.nn.functional import conv1d, conv2d

    channels, dimensions = int(taps.shape[0]), len(grid)
    offsets = _offsets(kernel, dimensions)
    where = {offset: number for number, offset in enumerate(offsets)}
    order = [where[offset] for offset in sorted(offsets)]
    weight = taps[:, order].reshape(channels, 1, *[kernel] * dimensions)
    image = x.transpose(1, 2).reshape(-1, channels, *grid)
    convolve = conv1d if dimensions == 1 else conv2d
    mixed = convolve(image, weight, padding=kernel // 2, groups=channels)
    return mixed.flatten(2).transpose(1, 2)


def depthwise_reference(x: Tensor, taps: Tensor, grid: tuple[int, ...], kernel: int) -> Tensor:
    """The same by the formula, token by token."""
    import torch

    places = list(product(*map(range, grid)))
    number = {place: token for token, place in enumerate(places)}
    rows = []
    for place in places:
        row = torch.zeros_like(x[:, 0])
        for tap, offset in enumerate(_offsets(kernel, len(grid))):
            there = tuple(a + b for a, b in zip(place, offset, strict=True))
            if there in number:
                row = row + taps[:, tap] * x[:, number[there]]
        rows.append(row)
    return torch.stack(rows, dim=1)


def depthwise_operations(channels: int, kernel: int, dimensions: int, tokens: int) -> tuple[Operation, ...]:
    """A product a tap and token, and the layout changed there and back."""
    written = tokens * channels
    return (
        Operation(OperationKind.GATHER, elements=2 * written, calls=2),
        Operation(OperationKind.ATTENTION, macs=written * kernel**dimensions, elements=written),
    )


def _offsets(kernel: int, dimensions: int) -> list[tuple[int, ...]]:
    """Of the places that a kernel reaches, in rings around the middle."""
    reach = kernel // 2
    places = product(range(-reach, reach + 1), repeat=dimensions)
    return sorted(places, key=lambda place: (max(map(abs, place)), math.hypot(*place), place))
