"""A pretrained model's weights in this project's terms, and back.

What its norms and its embedding do otherwise is folded into weights, exactly:

- Here every norm has ε = 10⁻⁶. RMSNorm of a residual stream that is s times as large, with s² times ε, is
  the same; so whatever writes to the stream is multiplied by s = √(10⁻⁶/ε), and so are queries and keys that
  are normed.
- Here an embedding is multiplied by √D. Its rows are divided by that; where they are the output projection
  too, the final norm is multiplied by what they lost.
- Here the two dimensions of a rotary pair are half a block apart, there half a head: rows are reordered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.architecture import Architecture
from searchspaces.norms import NORM_EPSILON

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Term", "from_theirs", "terms", "to_theirs"]


@dataclass(frozen=True, slots=True)
class Term:
    """One weight.

    Attributes:
        own: its name in a `Submodel`.
        theirs: its name there.
        factor: own weight over theirs.
        head_size: of heads whose rows are reordered; 0 where none are.
    """

    own: str
    theirs: str
    factor: float = 1.0
    head_size: int = 0


def terms(architecture: Architecture, epsilon: float) -> Iterator[Term]:
    """Every weight of a model whose layers all have softmax attention over some span, or no mixer, and gated
    channel mixers, or none.

    Args:
        epsilon: of its norms.
    """
    scale, root = math.sqrt(NORM_EPSILON / epsilon), math.sqrt(architecture.width)
    yield Term("embedding", "model.embed_tokens.weight", scale / root)
    yield Term("norm", "model.norm.weight", root / scale if architecture.tied else 1.0)
    if not architecture.tied:
        yield Term("head", "lm_head.weight")
    for number, layer in enumerate(architecture.layers):
        own, theirs, sizes = f"layers.{number}.", f"model.layers.{number}.", layer.sizes(architecture.width)
        if layer.heads:
            yield Term(f"{own}mixing_norm", f"{theirs}input_layernorm.weight")
            for name, short, turned in (("query", "q", True), ("key", "k", True), ("value", "v", False)):
                size = sizes.head_size if turned else 0
                factor = scale if turned and sizes.norms else 1.0
                yield Term(f"{own}{name}", f"{theirs}self_attn.{short}_proj.weight", factor, size)
                if sizes.bias:
                    yield Term(f"{own}{name}_bias", f"{theirs}self_attn.{short}_proj.bias", factor, size)
                if sizes.norms and turned:
                    yield Term(f"{own}{name}_norm", f"{theirs}self_attn.{short}_norm.weight", 1.0, size)
            yield Term(f"{own}out", f"{theirs}self_attn.o_proj.weight", scale)
            if sizes.out_bias:
                yield Term(f"{own}out_bias", f"{theirs}self_attn.o_proj.bias", scale)
        if layer.ratio:
            yield Term(f"{own}channel_norm", f"{theirs}post_attention_layernorm.weight")
            for name, factor in (("gate", 1.0), ("up", 1.0), ("down", scale)):
                yield Term(f"{own}{layer.channel}_{name}", f"{theirs}mlp.{name}_proj.weight", factor)


def from_theirs(
    architecture: Architecture, epsilon: float, weight: Callable[[str], Tensor]
) -> dict[str, Tensor]:
    """Own weights by name, float32.

    Args:
        weight: theirs by name, of any floating type.
    """
    from searchspaces.rotary import rotary_order

    found = {}
    for term in terms(architecture, epsilon):
        value = weight(term.theirs).float()
        if term.head_size:
            heads = value.unflatten(0, (-1, term.head_size))
            value = heads[:, rotary_order(term.head_size)].flatten(0, 1)
        found[term.own] = value * term.factor if term.factor != 1 else value
    return found


def to_theirs(architecture: Architecture, epsilon: float, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Inverse of `from_theirs`: their weights by name, float32."""
    from searchspaces.rotary import rotary_order

    found = {}
    for term in terms(architecture, epsilon):
        value = weights[term.own].float()
        if term.head_size:
            heads = value.unflatten(0, (-1, term.head_size))
            value = heads[:, rotary_order(term.head_size).argsort()].flatten(0, 1)
        found[term.theirs] = (value / term.factor).contiguous()
    return found
