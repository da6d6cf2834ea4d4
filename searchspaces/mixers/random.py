"""A frozen random matrix as a token mixer (RandFormer; Yu et al., 2022)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from searchspaces.mixers.drawn import constant, generator
from searchspaces.mixers.mixer import Kind, Mixer, Weights, register_mixer
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sight, Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.rotary import Turns


@register_mixer("random")
@dataclass(frozen=True)
class Random(Mixer):
    """Token i gets Σ_j A_ij x_j with A (N, N) the softmax of rows of numbers drawn evenly from [0, 1).

    They are drawn once for each N: constants, no weights. RandFormer draws them for each layer; here all
    layers have the same.
    """

    glyph = "?"
    example = "random"
    kind = Kind.FIXED
    kernel = "random numbers"
    sparsity = "all tokens"
    source = "RandFormer: Yu et al., 2022"
    family = ""
    sights = frozenset({Sight.BIDIRECTIONAL})
    most_tokens = 4096  # whose matrix is 64 MiB

    def shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """None."""
        return {}

    def forward(
        self,
        x: Tensor,
        weights: Weights,
        sizes: Sizes,
        turns: Turns | None,
        present: Tensor | None = None,
    ) -> Tensor:
        """See `Mixer.forward`."""
        shares = x.new_tensor(_shares(math.prod(sizes.view.grid)))
        if present is None:
            mixed: Tensor = shares @ x
            return mixed
        there = present.to(x.dtype).unsqueeze(2)
        left = (shares * there.transpose(1, 2)).sum(-1, keepdim=True) / shares.sum(-1, keepdim=True)
        return shares @ (x * there) / left

    def reference(self, x: Tensor, weights: Weights, sizes: Sizes, turns: Turns | None) -> Tensor:
        """Token by token."""
        import torch

        shares = _shares(x.shape[1])
        rows = [sum(float(share) * x[:, j] for j, share in enumerate(row)) for row in shares]
        return torch.stack([row for row in rows if isinstance(row, torch.Tensor)], dim=1)

    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """One product."""
        written = tokens * sizes.width
        return (Operation(OperationKind.ATTENTION, macs=tokens * written, elements=written),)


@constant
def _shares(tokens: int) -> NDArray[np.float32]:
    """(N, N), rows that sum to 1."""
    drawn = np.exp(generator(f"random/{tokens}").random((tokens, tokens), np.float32))
    shares: NDArray[np.float32] = drawn / drawn.sum(1, keepdims=True)
    return shares
