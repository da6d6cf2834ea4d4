"""Nesting a pretrained model: feed-forward units, and heads of keys and values, in the order of what they
contribute, so that the first ones are a good smaller block (MatFormer; Devvrit et al., 2023)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from nas.pretrained.streams import Passage, passages
from searchspaces.blocks import mix_tokens
from searchspaces.norms import rms_norm
from searchspaces.submodel import Submodel

__all__ = ["nest"]


def nest(model: Submodel, tokens: Tensor) -> None:
    """Reorder what every layer is made of by what it contributes on these (B, N) tokens, the largest first;
    the model's function stays the same.

    Feed-forward units are ordered by mean |activation| times the norm of their column of the projection down;
    heads of keys and values, each with the queries that share it, by the mean norm of what they add to the
    stream.
    """
    with torch.inference_mode():
        units: list[Tensor] = [torch.zeros(())] * model.architecture.depth
        groups = list(units)
        for row in tokens.split(1):
            for number, passage in enumerate(passages(row, model.architecture, model.weights)):
                units[number] = units[number] + _activity(passage.between, passage.weights)
                groups[number] = groups[number] + _added(passage)
        for layer, activity, added in zip(model.layers, units, groups, strict=True):
            weights = dict(layer.named_parameters())
            order = _falling(activity * weights["swiglu_down"].norm(dim=0))
            for name in ("swiglu_gate", "swiglu_up"):
                weights[name].data = weights[name][order]
            weights["swiglu_down"].data = weights["swiglu_down"][:, order].contiguous()
            order = _falling(added)
            for name in _PROJECTED & weights.keys():
                weights[name].data = _by_group(weights[name], len(order))[order].flatten(0, 1)
            weights["out"].data = _by_group(weights["out"].T, len(order))[order].flatten(0, 1).T.contiguous()


_PROJECTED = {f"{name}{kind}" for name in ("query", "key", "value") for kind in ("", "_bias")}


def _falling(scores: Tensor) -> Tensor:
    return scores.argsort(descending=True, stable=True)


def _by_group(weight: Tensor, groups: int) -> Tensor:
    """(G·S, …) → (G, S, …)."""
    return weight.unflatten(0, (groups, -1))


def _activity(x: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """(F,) summed |activation| of the hidden units."""
    normed = rms_norm(x, weights["channel_norm"])
    hidden = silu(linear(normed, weights["swiglu_gate"])) * linear(normed, weights["swiglu_up"])
    return hidden.abs().flatten(0, -2).sum(0)


def _added(passage: Passage) -> Tensor:
    """(G,) summed norms of what the heads of each group add to the stream."""
    out, layer = passage.weights["out"], passage.layer
    sizes = layer.sizes(out.shape[0])
    # With an identity in place of the output projection a mixer answers with its heads side by side.
    beside = {name: weight for name, weight in passage.weights.items() if name != "out_bias"}
    mixed = mix_tokens(passage.before, layer, {**beside, "out": torch.eye(sizes.inner)}, passage.turns)
    heads = mixed.unflatten(-1, (sizes.groups, -1)).flatten(0, -3)
    each = zip(heads.unbind(1), _by_group(out.T, sizes.groups), strict=True)
    return torch.stack([(rows @ columns).norm(dim=-1).sum() for rows, columns in each])
