"""SLAB's attention (Guo et al., 2024): linear attention of relu features, and a convolution of the values."""

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
from searchspaces.mixers.heads import BidirectionalHeadMixer
from searchspaces.mixers.mixer import Kind, Weights, register_mixer
from searchspaces.mixers.padding import of_tokens
from searchspaces.mixers.projected import LINEAR
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor

EPSILON = 1e-6
"""Added to what is divided by: relu features may all be zeros."""


@register_mixer("relu")
@dataclass(frozen=True)
class Relu(Kernelled, BidirectionalHeadMixer):
    """out_i = φ(q_i)·mean_j φ(k_j) v_jᵀ / (φ(q_i)·mean_j φ(k_j) + ε) + dw(v)_i with φ = relu, and a depthwise
    kernel for each dimension of a head, which all heads share.

    SLAB adds a learned position to every key, for which rotary positions stand here.

    Args:
        size: places along every axis of the grid.
    """

    size: int = 5

    glyph = "R"
    example = "relu"
    kind = Kind.KERNEL
    kernel = "relu(q)·relu(k), normalised, and a depthwise kernel"
    sparsity = "all tokens"
    source = "SLAB: Guo et al., 2024"
    family = LINEAR

    def own_shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """A kernel a dimension of a head."""
        taps = depthwise_taps(sizes.head_size, self.size, sizes.view.dimensions)
        return {f"taps{sizes.heads}": taps}

    def mix_bidirectional(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        weights: Weights,
        sizes: Sizes,
        present: Tensor | None = None,
    ) -> Tensor:
        """One state of all tokens."""
        queries, keys = q.relu(), k.relu()
        tokens: Any = int(k.shape[2])
        if present is not None:
            tokens = of_tokens(present, q).sum(2, keepdim=True)
        sums = keys.transpose(-1, -2) @ (v / tokens)
        weight = queries @ (keys.sum(2, keepdim=True) / tokens).transpose(-1, -2) + EPSILON
        mixed: Tensor = queries @ sums / weight + self._around(depthwise, v, weights, sizes)
        return mixed

    def mix_bidirectional_reference(
        self, q: Tensor, k: Tensor, v: Tensor, weights: Weights, sizes: Sizes
    ) -> Tensor:
        """Every pair's weight."""
        shares = q.relu() @ k.relu().transpose(-1, -2) / k.shape[2]
        mixed = shares @ v / (shares.sum(-1, keepdim=True) + EPSILON)
        return mixed + self._around(depthwise_reference, v, weights, sizes)

    def _around(self, convolve: Any, v: Tensor, weights: Weights, sizes: Sizes) -> Tensor:
        taps = weights[self.own_name(f"taps{sizes.heads}")]
        mixed: Tensor = convolve(v.flatten(0, 1), taps, sizes.view.grid, self.size)
        return mixed.reshape(v.shape[0], sizes.heads, int(v.shape[2]), int(v.shape[3]))

    def mix_bidirectional_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Features, one state and its use, the convolution."""
        inner, size = sizes.inner, sizes.head_size
        return (
            Operation(OperationKind.ELEMENTWISE, elements=4 * tokens * inner, calls=5),
            Operation(
                OperationKind.ATTENTION,
                macs=2 * tokens * inner * size + tokens * inner,
                elements=inner * size + tokens * (inner + sizes.heads),
                calls=3,
            ),
            Operation(OperationKind.ELEMENTWISE, elements=2 * tokens * inner, calls=2),
            *depthwise_operations(inner, self.size, sizes.view.dimensions, tokens),
        )
