"""Short causal depthwise convolutions: each channel over its last few tokens (Mamba; Gu & Dao, 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Initial, Weight

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MOST_TAPS", "convolution_operations", "convolve", "kept_for", "taps_of"]

MOST_TAPS = 64
"""Of a kernel: beyond it a window is the cheaper mixer."""


def taps_of(channels: int, taps: int) -> Weight:
    """(channels, taps), stored by distance from the token: a shorter kernel is a prefix of a longer one."""
    return Weight((channels, taps), ("width", ""), Initial.ZEROS)


def convolve(x: Tensor, taps: Tensor, before: Tensor | None = None) -> Tensor:
    """y_t = x_t + Σ_s taps[:, s] x_{t−s} of x (B, N, C), s from 0: fresh taps, zeros, change nothing.

    Args:
        taps: (C, width).
        before: (B, width − 1, C), the tokens before x; zeros where None.
    """
    import torch
    from torch.nn.functional import pad

    width = int(taps.shape[1])
    padded = pad(x, (0, 0, width - 1, 0)) if before is None else torch.cat([before, x], dim=1)
    y = x * (taps[:, 0] + 1)
    for back in range(1, width):
        y = y + padded[:, width - 1 - back : -back] * taps[:, back]
    return y


def kept_for(x: Tensor, before: Tensor) -> Tensor:
    """The last tokens of `before` and x (B, N, C) that the next call needs, as many as `before` has."""
    import torch

    return torch.cat([before, x], dim=1)[:, -before.shape[1] :]


def convolution_operations(channels: int, taps: int, tokens: int, calls: int = 1) -> tuple[Operation, ...]:
    """Of `calls` such convolutions over so many channels in all: a copy with zeros in front, a product and a
    sum a tap."""
    written = tokens * channels
    return (
        Operation(OperationKind.GATHER, elements=written, calls=calls),
        Operation(OperationKind.ELEMENTWISE, elements=(2 * taps - 1) * written, calls=calls * (2 * taps - 1)),
    )
