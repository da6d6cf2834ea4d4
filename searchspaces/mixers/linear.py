"""Linear attention with the elu + 1 feature map (Katharopoulos et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.featured import FeaturedMixer
from searchspaces.mixers.mixer import register_mixer

if TYPE_CHECKING:
    from torch import Tensor


@register_mixer("linear")
@dataclass(frozen=True)
class Linear(FeaturedMixer):
    """Weights are φ(q)·φ(k) with φ(x) = elu(x) + 1; cost grows with N, state does not grow."""

    glyph = "L"
    example = "linear"

    def features(self, x: Tensor) -> Tensor:
        """(…, K) → (…, K), all above 0."""
        from torch.nn.functional import elu

        return elu(x) + 1

    def feature_size(self, head_size: int) -> int:
        """K."""
        return head_size
