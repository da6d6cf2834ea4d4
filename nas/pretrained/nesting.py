"""Nesting a pretrained model: feed-forward units, and heads of keys and values, those last that are missed
least, so that the first ones are a good smaller block (MatFormer; Devvrit et al., 2023)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import add

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from nas.pretrained.fitting import Moments, before_projection, order_of_removal
from nas.pretrained.streams import Passage, passages_of_rows
from searchspaces.norms import rms_norm
from searchspaces.submodel import Submodel

__all__ = ["nest"]


def nest(model: Submodel, tokens: Tensor, nested: Callable[[int, Moments], None]) -> None:
    """Reorder what every layer is made of on these (B, N) tokens, what is missed most first; the model's
    function stays the same.

    Feed-forward units are ordered by what others cannot make up for (`fitting.order_of_removal`); heads of
    keys and values, each with the queries that share it, by the mean norm of what they add to the stream.

    Args:
        nested: called with each layer's number as soon as it is nested, and with the moments of its units'
            activations, in their order.
    """
    with torch.inference_mode():
        for number, rows in enumerate(passages_of_rows(tokens, model.architecture, model.weights)):
            weights = dict(model.layers[number].named_parameters())
            units = reduce(add, (Moments.of(_activations(row.between, weights)) for row in rows))
            order = order_of_removal(weights["swiglu_down"], units)
            for name in ("swiglu_gate", "swiglu_up"):
                weights[name].data = weights[name][order]
            weights["swiglu_down"].data = weights["swiglu_down"][:, order].contiguous()
            added = reduce(add, map(_added, rows))
            groups = added.argsort(descending=True, stable=True)
            for name in _PROJECTED & weights.keys():
                weights[name].data = _by_group(weights[name], len(groups))[groups].flatten(0, 1)
            columns = _by_group(weights["out"].T, len(groups))[groups].flatten(0, 1)
            weights["out"].data = columns.T.contiguous()
            nested(number, units.ordered(order))


_PROJECTED = {f"{name}{kind}" for name in ("query", "key", "value") for kind in ("", "_bias")}


def _by_group(weight: Tensor, groups: int) -> Tensor:
    """(G·S, …) → (G, S, …)."""
    return weight.unflatten(0, (groups, -1))


def _activations(x: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """(…, F) of the hidden units."""
    normed = rms_norm(x, weights["channel_norm"])
    return silu(linear(normed, weights["swiglu_gate"])) * linear(normed, weights["swiglu_up"])


def _added(passage: Passage) -> Tensor:
    """(G,) summed norms of what the heads of each group add to the stream."""
    out = passage.weights["out"]
    groups = passage.layer.sizes(out.shape[0]).groups
    mixed = before_projection(passage.before, passage.layer, passage.weights, passage.turns)
    heads = mixed.unflatten(-1, (groups, -1)).flatten(0, -3)
    each = zip(heads.unbind(1), _by_group(out.T, groups), strict=True)
    return torch.stack([(rows @ columns).norm(dim=-1).sum() for rows, columns in each])
