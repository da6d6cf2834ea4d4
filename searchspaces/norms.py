"""The one norm of all models here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["NORM_EPSILON", "rms_norm"]

NORM_EPSILON = 1e-6


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """RMSNorm (Zhang & Sennrich, 2019), (…, D) → (…, D)."""
    import torch

    # In these terms onnxruntime finds its fused SimplifiedLayerNormalization.
    return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + NORM_EPSILON) * weight
