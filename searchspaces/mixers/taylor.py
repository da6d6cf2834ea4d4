"""Linear attention with the second-order Taylor feature map of exp (BASED; Arora et al., 2024)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.featured import FeaturedMixer
from searchspaces.mixers.mixer import register_mixer

if TYPE_CHECKING:
    from torch import Tensor

REDUCED = 16
"""Dimensions of a head that enter the map. BASED projects to 16; here the projections are shared by all
mixers of a layer, so the first 16 of the head's K are taken."""


@register_mixer("taylor")
@dataclass(frozen=True)
class Taylor(FeaturedMixer):
    """Weights are 1 + s + s²/2 with s = q·k/√r over the first r = min(K, 16) dimensions, which is at
    least 1/2. Features are [1, x, x⊗x/√2] of x scaled by r^(-1/4): 1 + r + r² of them."""

    glyph = "T"
    example = "taylor"

    def features(self, x: Tensor) -> Tensor:
        """(…, K) → (…, 1 + r + r²)."""
        import torch

        r = min(x.shape[-1], REDUCED)
        x = x[..., :r] * r**-0.25
        pairs = (x.unsqueeze(-1) * x.unsqueeze(-2)).flatten(-2) * math.sqrt(0.5)
        return torch.cat([torch.ones_like(x[..., :1]), x, pairs], dim=-1)

    def feature_size(self, head_size: int) -> int:
        """1 + r + r²."""
        r = min(head_size, REDUCED)
        return 1 + r + r * r
