"""Tokens that append their keys and values, in place, to those of all tokens before.

Composed of concatenations a token copies all of them, to append its own: at 4,096 tokens that takes longer
than to attend to them (docs/results.md, "Decoding in place"). An engine that may write outputs into the
memory of inputs need not, by either of two functions: full softmax attention has an operator of onnxruntime's
own, and what attends otherwise to what is kept a scatter, which is ONNX's.

Where next keys and values are bound to the memory of those before, which is then longer than the context, the
token's are written behind these, and nothing is copied. Where they are not, all are copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.export.attention import ATTENTION_DOMAIN, CONTRIB
from searchspaces.architecture import Layer
from searchspaces.mixers import HeadMixer, parse_mixer

if TYPE_CHECKING:
    from onnx import FunctionProto

__all__ = ["IN_PLACE", "appended", "appended_attention", "appends_in_place", "attends_in_place"]

IN_PLACE = "in place"
"""What manifests and events call it."""

HEAD_SIZE_MULTIPLE = 8
"""The operator takes no other head sizes."""


def appends_in_place(layer: Layer) -> bool:
    """Whether one token of a layer's mixer is mixed by what either function leaves."""
    mixer = parse_mixer(layer.mixer)
    return isinstance(mixer, HeadMixer) and mixer.on_all_kept() is not None


def attends_in_place(layer: Layer, width: int) -> bool:
    """Whether it is mixed by what `appended_attention` computes."""
    mixer = parse_mixer(layer.mixer)
    attends = isinstance(mixer, HeadMixer) and mixer.attends_to_all_kept
    return attends and layer.sizes(width).head_size % HEAD_SIZE_MULTIPLE == 0


def appended(opset: int) -> FunctionProto:
    """k and v (B, G, 1, K), the position () and the keys and values of the tokens before, (B, G, n, K) → keys
    and values with the token's, (B, G, n + 1, K), or of n where these have room behind the position."""
    from onnx import parser

    # Rows are scattered rather than their elements: 13 against 36 µs for 9 heads of 64.
    return parser.parse_function(
        f"""<domain: "{ATTENTION_DOMAIN}", opset_import: ["" : {opset}]>
        Appended (k, v, position, state_k, state_v) => (next_k, next_v) {{
            each = Shape<start = 0, end = 3>(k)
            yes = Constant<value_int = 1>()
            there = Expand(yes, each)
            found = NonZero(there)
            rows = Transpose(found)
            behind = Constant<value_ints = [0, 0, 1]>()
            further = Mul(behind, position)
            moved = Add(rows, further)
            three = Constant<value_ints = [3]>()
            ranked = Concat<axis = 0>(each, three)
            places = Reshape(moved, ranked)
            room = Shape<start = 2, end = 3>(state_k)
            fits = Less(position, room)
            next_k, next_v = If(fits) <
                then_branch = written () => (float[b, g, n, s] written_k, float[b, g, n, s] written_v) {{
                    written_k = ScatterND(state_k, places, k)
                    written_v = ScatterND(state_v, places, v)
                }},
                else_branch = longer () => (float[b, g, m, s] longer_k, float[b, g, m, s] longer_v) {{
                    longer_k = Concat<axis = 2>(state_k, k)
                    longer_v = Concat<axis = 2>(state_v, v)
                }}
            >
        }}"""
    )


def appended_attention(layer: Layer, width: int, opset: int) -> FunctionProto:
    """q (B, H, 1, K) besides → mixed heads (B, H, 1, K), by softmax over all of these, and keys and values
    with the token's."""
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
