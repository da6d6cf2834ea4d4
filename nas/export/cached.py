"""Softmax attention of one token on all before it, by an operator that appends to its cache in place.

Composed of ONNX's own operators, a token copies all keys and values, to append its own: at 4,096 tokens that
takes longer than to attend to them (docs/results.md, "Decoding in place").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.export.attention import ATTENTION_DOMAIN, CONTRIB
from searchspaces.architecture import Layer
from searchspaces.mixers import HeadMixer, parse_mixer

if TYPE_CHECKING:
    from onnx import FunctionProto

__all__ = ["IN_PLACE", "appended_attention", "attends_in_place"]

IN_PLACE = "in place"
"""What manifests and events call it."""

HEAD_SIZE_MULTIPLE = 8
"""The operator takes no other head sizes."""


def attends_in_place(layer: Layer, width: int) -> bool:
    """Whether one token of a layer's mixer is mixed by what `appended_attention` computes."""
    mixer = parse_mixer(layer.mixer)
    attends = isinstance(mixer, HeadMixer) and mixer.attends_to_all_kept
    return attends and layer.sizes(width).head_size % HEAD_SIZE_MULTIPLE == 0


def appended_attention(layer: Layer, width: int, opset: int) -> FunctionProto:
    """q (B, H, 1, K), k and v (B, G, 1, K), the position () and the keys and values of the tokens before,
    (B, G, n, K) → mixed heads (B, H, 1, K), and keys and values with the token's (B, G, n + 1, K).

    Where next keys and values are bound to the memory of those before, which is then longer than the context,
    the token's are written behind these, and nothing is copied.
    """
    from onnx import parser

    sizes = layer.sizes(width)
    heads, groups, size = sizes.heads, sizes.groups, sizes.head_size
    return parser.parse_function(
        f"""<domain: "{ATTENTION_DOMAIN}", opset_import: ["" : {opset}, "{CONTRIB}" : 1]>
        Appended_{heads}_{groups}_{size} (q, k, v, position, state_k, state_v) => (mixed, next_k, next_v) {{
            query_row = Constant<value_ints = [0, 1, {heads * size}]>()
            row = Constant<value_ints = [0, 1, {groups * size}]>()
            apart = Constant<value_ints = [0, {heads}, 1, {size}]>()
            one = Constant<value_int = 1>()
            queries = Reshape(q, query_row)
            key = Reshape(k, row)
            value = Reshape(v, row)
            batch = Shape<start = 0, end = 1>(q)
            of_each = Expand(position, batch)
            last = Cast<to = 6>(of_each)
            count = Add(position, one)
            total = Cast<to = 6>(count)
            together, next_k, next_v = {CONTRIB}.GroupQueryAttention
                <num_heads = {heads}, kv_num_heads = {groups}>
                (queries, key, value, state_k, state_v, last, total)
            mixed = Reshape(together, apart)
        }}"""
    )
