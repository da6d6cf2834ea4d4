"""Activations with weights of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from searchspaces.part import Initial, Weight

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["star", "star_shapes"]


def star(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """StarReLU (Yu et al., 2022): s relu(x)² + b, with s and b (1,)."""
    return scale * x.relu().square() + shift


def star_shapes() -> dict[str, Weight]:
    """``scale`` and ``shift``, 1 and 0 at first."""
    return {"scale": Weight((1,), ("",), Initial.ONES), "shift": Weight((1,), ("",), Initial.ZEROS)}
