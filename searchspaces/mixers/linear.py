"""Linear attention with the elu + 1 feature map (Katharopoulos et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.kernel import KernelMixer
from searchspaces.mixers.mixer import Kind, register_mixer

if TYPE_CHECKING:
    from torch import Tensor


@register_mixer("linear")
@dataclass(frozen=True)
class Linear(KernelMixer):
    """Weights are φ(q)·φ(k) with φ(x) = elu(x) + 1."""

    glyph = "L"
    example = "linear"
    kind = Kind.KERNEL
    kernel = "φ(q)·φ(k), φ = elu + 1, normalised"
    sparsity = "all tokens"
    source = "Katharopoulos et al., 2020"

    def base(self, x: Tensor) -> Tensor:
        """elu(x) + 1, all above 0."""
        # In these terms, for onnxruntime's Elu is not vectorised.
        return x.clamp(max=0).exp() + x.relu()

    def weight(self, product: Tensor) -> Tensor:
        """The product itself."""
        return product

    def features(self, base: Tensor) -> Tensor:
        """The base itself."""
        return base

    def base_size(self, head_size: int) -> int:
        """K."""
        return head_size

    def feature_size(self, head_size: int) -> int:
        """K."""
        return head_size
