"""Nesting a pretrained model: feed-forward units in the order of what they contribute, so that the first ones
are a good smaller block (MatFormer; Devvrit et al., 2023)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from nas.pretrained.streams import passages
from searchspaces.norms import rms_norm
from searchspaces.submodel import Submodel

__all__ = ["nest"]


def nest(model: Submodel, tokens: Tensor) -> None:
    """Reorder the feed-forward units of every layer by mean |activation| on these (B, N) tokens times the
    norm of their column of the projection down, the largest first; the model's function stays the same."""
    with torch.inference_mode():
        scores: list[Tensor] = [torch.zeros(())] * model.architecture.depth
        for row in tokens.split(1):
            for number, passage in enumerate(passages(row, model.architecture, model.weights)):
                scores[number] = scores[number] + _activity(passage.between, passage.weights)
        for layer, activity in zip(model.layers, scores, strict=True):
            weights = dict(layer.named_parameters())
            order = (activity * weights["swiglu_down"].norm(dim=0)).argsort(descending=True, stable=True)
            for name in ("swiglu_gate", "swiglu_up"):
                weights[name].data = weights[name][order]
            weights["swiglu_down"].data = weights["swiglu_down"][:, order].contiguous()


def _activity(x: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """(F,) summed |activation| of the hidden units."""
    normed = rms_norm(x, weights["channel_norm"])
    hidden = silu(linear(normed, weights["swiglu_gate"])) * linear(normed, weights["swiglu_up"])
    return hidden.abs().flatten(0, -2).sum(0)
