"""Softmax attention and a depthwise convolution of the values (ResFormer; Tian et al., 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from searchspaces.mixers.depthwise import (
    Kernelled,
    depthwise,
    depthwise_operations,
    depthwise_reference,
    depthwise_taps,
)
from searchspaces.mixers.mixer import Kind, Weights, register_mixer
from searchspaces.mixers.softmax import Softmax
from searchspaces.operations import Operation
from searchspaces.part import Sight, Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor


@register_mixer("local")
@dataclass(frozen=True)
class Local(Kernelled, Softmax):
    """softmax(q kᵀ/√K) v + dw(v): all tokens, and once more those around each. Fresh taps are zeros.

    Args:
        size: places along every axis of the grid.
    """

    size: int = 3

    glyph = "Λ"
    example = "local"
    kind = Kind.ATTENTION
    kernel = "exp(q·k/√K), normalised, and a depthwise kernel"
    sparsity = "all tokens"
    source = "ResFormer: Tian et al., 2023"
    sights = frozenset({Sight.BIDIRECTIONAL})

    def own_shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """A kernel a channel of the values."""
        return {"taps": depthwise_taps(sizes.inner, self.size, sizes.view.dimensions)}

    def mix_bidirectional(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        weights: Weights,
        sizes: Sizes,
        present: Tensor | None = None,
    ) -> Tensor:
        """Attention, and torch's convolution."""
        mixed = super().mix_bidirectional(q, k, v, weights, sizes, present)
        return mixed + self._around(depthwise, v, weights, sizes)

    def mix_bidirectional_reference(
        self, q: Tensor, k: Tensor, v: Tensor, weights: Weights, sizes: Sizes
    ) -> Tensor:
        """Token by token."""
        mixed = super().mix_bidirectional_reference(q, k, v, weights, sizes)
        return mixed + self._around(depthwise_reference, v, weights, sizes)

    def _around(self, convolve: Any, v: Tensor, weights: Weights, sizes: Sizes) -> Tensor:
        batch, heads, tokens, size = v.shape
        rows = v.transpose(1, 2).reshape(batch, int(tokens), sizes.inner)
        mixed: Tensor = convolve(rows, weights[self.own_name("taps")], sizes.view.grid, self.size)
        return mixed.reshape(batch, int(tokens), int(heads), int(size)).transpose(1, 2)

    def mix_bidirectional_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Of both."""
        return (
            *super().mix_bidirectional_operations(sizes, tokens),
            *depthwise_operations(sizes.inner, self.size, sizes.view.dimensions, tokens),
        )
