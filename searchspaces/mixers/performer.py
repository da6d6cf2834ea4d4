"""Linear attention with random positive features of softmax (Performer; Choromanski et al., 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from searchspaces.mixers.drawn import constant, generator
from searchspaces.mixers.linear import Linear
from searchspaces.mixers.mixer import Kind, register_mixer
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sizes

if TYPE_CHECKING:
    from torch import Tensor

EPSILON = 1e-4
"""Added to every feature, as the authors do: a key that is far from all directions still counts a little."""


@register_mixer("performer")
@dataclass(frozen=True)
class Performer(Linear):
    """Weights are φ(q)·φ(k), which estimate exp(q·k/√K): φ(x)_r = exp(w_r·y − |y|²/2), y = x/K^¼, with
    orthogonal directions w_r of length √K.

    They are drawn once, by the option's text and K: constants, no weights. |w|²/2 = K/2 is the largest
    exponent there is, and is taken off: a factor of all features changes no quotient.

    Args:
        directions: number of them, and of features.
    """

    directions: int = 64

    glyph = "P"
    example = "performer"
    kind = Kind.KERNEL
    kernel = "φ(q)·φ(k), φ random, estimates exp, normalised"
    sparsity = "all tokens"
    source = "Choromanski et al., 2021"
    limits: ClassVar[Mapping[str, tuple[int, int]]] = {"directions": (1, 1024)}

    def base(self, x: Tensor) -> Tensor:
        """The features."""
        size = int(x.shape[-1])
        y = x * size**-0.25
        across = y @ x.new_tensor(directions(self.directions, size)).T
        squares = y * y  # as a power LiteRT's converter takes it for no more than four axes
        features: Tensor = (across - squares.sum(-1, keepdim=True) / 2 - size / 2).exp() + EPSILON
        return features

    def base_size(self, head_size: int) -> int:
        """As many as directions."""
        return self.directions

    def feature_size(self, head_size: int) -> int:
        """As many as directions."""
        return self.directions

    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """The products with the directions, and as without them."""
        from searchspaces.mixers.chunks import chunk_count
        from searchspaces.mixers.kernel import CHUNK

        padded = chunk_count(tokens, CHUNK) * CHUNK
        return self._across(2 * padded * sizes.inner), *super().mix_operations(sizes, tokens)

    def mix_bidirectional_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """The same, of all tokens at once."""
        return self._across(2 * tokens * sizes.inner), *super().mix_bidirectional_operations(sizes, tokens)

    def mix_step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """The same for one token."""
        return self._across(sizes.inner + sizes.shared), *super().mix_step_operations(sizes, context)

    def _across(self, values: int) -> Operation:
        return Operation(OperationKind.MATMUL, macs=values * self.directions, elements=values, calls=2)


@constant
def directions(count: int, size: int) -> NDArray[np.float64]:
    """(count, K) rows of length √K, orthogonal within each K of them."""
    rng = generator(f"performer:{count}/{size}")
    blocks = []
    for _ in range(-(-count // size)):
        rotation, triangle = np.linalg.qr(rng.normal(size=(size, size)))
        blocks.append(rotation * np.sign(np.diag(triangle)))  # of one sign: evenly distributed, and unique
    rows: NDArray[np.float64] = np.concatenate(blocks)[:count] * np.sqrt(size)
    return rows
