"""Linear attention with the second-order Taylor series of exp (BASED; Arora et al., 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.kernel import KernelMixer
from searchspaces.mixers.mixer import Kind, register_mixer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

REDUCED = 16
"""Dimensions of a head that count, as many as BASED projects to: features grow with their square."""


@register_mixer("taylor")
@dataclass(frozen=True)
class Taylor(KernelMixer):
    """Weights are 1 + s + s²/2 with s = q·k/√d, which is at least 1/2.

    BASED has small projections of its own; here all mixers of a layer share theirs, so the first
    d = min(K, 16) dimensions of q and k are taken, which are whole pairs of rotary positions. Features
    are the (d + 1)(d + 2)/2 monomials of degree ≤ 2, each once: 153 at most, where 1 + d + d² would be 273.
    """

    glyph = "T"
    example = "taylor"
    kind = Kind.KERNEL
    kernel = "1 + s + s²/2, s = q·k/√d, normalised"
    sparsity = "all tokens"
    source = "BASED: Arora et al., 2024"

    def base(self, x: Tensor) -> Tensor:
        """The first d dimensions over d^(1/4)."""
        kept = self.base_size(int(x.shape[-1]))
        return x[..., :kept].mul(kept**-0.25)

    def weight(self, product: Tensor) -> Tensor:
        """1 + s + s²/2."""
        return (product * 0.5 + 1) * product + 1

    def features(self, base: Tensor) -> Tensor:
        """Every product of two entries of [x, 1], with the root of its coefficient in the weight."""
        import torch
        from torch.nn.functional import pad

        one = int(base.shape[-2])
        first, second = _pairs(one + 1, base.device)
        # Squares come with x_i² / 2 in the weight, everything else with coefficient 1.
        squares = (first == second) & (first != one)
        roots = torch.ones_like(first, dtype=base.dtype).masked_fill(squares, 0.5**0.5)
        extended = pad(base, (0, 0, 0, 1), value=1.0)
        scaled = extended.index_select(-2, second) * roots.unsqueeze(-1)
        return extended.index_select(-2, first) * scaled

    def base_size(self, head_size: int) -> int:
        """d."""
        return min(head_size, REDUCED)

    def feature_size(self, head_size: int) -> int:
        """(d + 1)(d + 2)/2."""
        size = self.base_size(head_size)
        return (size + 1) * (size + 2) // 2


def _pairs(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The i and j of all i ≤ j < `size`, row by row.

    Computed on the device, since a copy from the host's memory cannot be in a CUDA graph, and by operators
    that every engine has, which `torch.triu_indices` is not.
    """
    import torch

    rows = torch.arange(size, device=device)
    starts = rows * (2 * size + 1 - rows) // 2
    place = torch.arange(size * (size + 1) // 2, device=device)
    first = (place >= starts.unsqueeze(1)).sum(0) - 1
    return first, place - starts.index_select(0, first) + first
