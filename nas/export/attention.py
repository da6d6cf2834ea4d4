"""Forms of causal softmax attention: graphs of one meaning, of which each engine runs another one fastest.

A block that attends causally calls the operator `OPERATOR` of q, k and v, (B, H, N, K) each; composing a
model puts a form in its place. Every form takes any batch and length. A block that goes on from earlier
tokens has more keys and values than queries, which are the last tokens': the standard form takes these, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import FunctionProto

__all__ = ["ATTENTION_DOMAIN", "CONTRIB", "FORMS", "OPERATOR", "STANDARD_FORM", "Form", "form_of"]

ATTENTION_DOMAIN = "nas.attention"
OPERATOR = "CausalAttention"
CONTRIB = "com.microsoft"
"""Of onnxruntime's own operators."""

BLOCK = 128
"""Queries a step of `blocks`: with 64 the copies of keys weigh more, with 256 the scores leave the cache."""

FLASH_STEP = 64
"""Queries at once of `flash` within a block's own triangle."""

Constants = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Form:
    """One way to compute causal softmax attention.

    Attributes:
        name: what manifests and events call it.
        domains: of its operators besides ONNX's own; empty where every engine must run it.
        body: of head count and head size: nodes in ONNX's textual syntax, and the constants that they name.
    """

    name: str
    domains: tuple[str, ...]
    body: Callable[[int, int], tuple[str, Constants]]

    def function(self, heads: int, head_size: int, opset: int) -> FunctionProto:
        """As an ONNX function of q, k and v."""
        from onnx import helper, numpy_helper, parser

        nodes, constants = self.body(heads, head_size)
        imports = ", ".join(f'"{domain}" : 1' for domain in (ATTENTION_DOMAIN, *self.domains))
        name = f"{OPERATOR}_{self.name}_{heads}_{head_size}"
        function = parser.parse_function(
            f'<domain: "{ATTENTION_DOMAIN}", opset_import: ["" : {opset}, {imports}]>\n'
            f"{name} (q, k, v) => (mixed) {{\n{nodes}\n}}"
        )
        values = [
            helper.make_node("Constant", [], [constant], value=numpy_helper.from_array(array))
            for constant, array in constants.items()
            if re.search(rf"\b{constant}\b", nodes)
        ]
        computed = list(function.node)
        del function.node[:]
        function.node.extend([*values, *computed])
        return function


def form_of(wanted: tuple[str, ...], standard_only: bool = False) -> Form:
    """The first of the names that there is a form of; one of ONNX's own operators alone where asked.

    Raises:
        ValueError: there is none.
    """
    for name in wanted:
        if name in FORMS and not (standard_only and FORMS[name].domains):
            return FORMS[name]
    raise ValueError(f"no form of causal attention among {', '.join(wanted)}; accepted: {', '.join(FORMS)}")


def _constants(head_size: int) -> Constants:
    integers = {"zero": [0], "one": [1], "two": [2], "three": [3], "four": [4]}
    return {
        "scale": np.array(head_size**-0.5, np.float32),
        "infinity": np.array(-np.inf, np.float32),
        "above": np.array(1, np.int64),
        **{name: np.array(value, np.int64) for name, value in integers.items()},
    }


def _whole(heads: int, head_size: int) -> tuple[str, Constants]:
    """All N × N scores, later keys masked: best for few tokens."""
    nodes = """
    scaled = Mul(q, scale)
    turned = Transpose<perm = [0, 1, 3, 2]>(k)
    length = Shape<start = 2, end = 3>(q)
    square = Concat<axis = 0>(length, length)
    seen = ConstantOfShape(square)
    hidden = Add(seen, infinity)
    mask = Trilu<upper = 1>(hidden, above)
    scores = MatMul(scaled, turned)
    masked = Add(scores, mask)
    weights = Softmax<axis = -1>(masked)
    mixed = MatMul(weights, v)
    """
    return nodes, _constants(head_size)


PADDED = """
    length = Shape<start = 2, end = 3>(q)
    tokens = Squeeze(length)
    rounded = Add(tokens, last)
    blocks = Div(rounded, block)
    padded = Mul(blocks, block)
    filled = Unsqueeze(padded, zero)
    missing = Sub(filled, length)
    pads = Concat<axis = 0>(six, missing, zero)
    scaled = Mul(q, scale)
    queries = Pad(scaled, pads)
    square = Concat<axis = 0>(width, width)
    none = ConstantOfShape(square)
    hidden = Add(none, infinity)
    triangle = Trilu<upper = 1>(hidden, above)
"""
"""N, the number of blocks, the scaled queries with zeros up to a whole number of blocks, a block's mask."""


def _block_constants(head_size: int, block: int) -> Constants:
    return _constants(head_size) | {
        "block": np.array(block, np.int64),
        "last": np.array(block - 1, np.int64),
        "width": np.array([block], np.int64),
        "six": np.zeros(6, np.int64),
        "true": np.array(True),
    }


def _blocks(heads: int, head_size: int) -> tuple[str, Constants]:
    """Blocks of queries, each against the keys up to its end: half of the scores, few at a time."""
    nodes = f"""{PADDED}
    earlier = Sub(filled, width)
    keys = Shape<start = 2, end = 3>(k)
    before = Sub(keys, length)
    ahead = Add(earlier, before)
    wide = Concat<axis = 0>(width, ahead)
    seen = ConstantOfShape(wide)
    table = Concat<axis = 1>(seen, triangle)
    stacked = Loop<body = each (int64 number, bool go) =>
      (bool on, float[b, {heads}, {BLOCK}, {head_size}] out) {{
      on = Identity(go)
      at = Mul(number, block)
      start = Unsqueeze(at, zero)
      end = Add(start, width)
      last_query = Min(end, length)
      stop = Add(last_query, before)
      query = Slice(queries, start, end, two)
      key = Slice(k, zero, stop, two)
      value = Slice(v, zero, stop, two)
      turned = Transpose<perm = [0, 1, 3, 2]>(key)
      scores = MatMul(query, turned)
      left = Sub(earlier, start)
      right = Add(left, stop)
      mask = Slice(table, left, right, one)
      masked = Add(scores, mask)
      weights = Softmax<axis = -1>(masked)
      out = MatMul(weights, value)
    }}>(blocks, true)
    ordered = Transpose<perm = [1, 2, 0, 3, 4]>(stacked)
    joined = Reshape(ordered, heads_apart)
    mixed = Slice(joined, zero, length, two)
    """
    return nodes, _block_constants(head_size, BLOCK) | {
        "heads_apart": np.array([0, heads, -1, head_size], np.int64),
    }


def _flash(block: int, heads: int, head_size: int) -> tuple[str, Constants]:
    """Blocks of queries: a fused kernel that knows no mask for the keys before the block, plain products for
    its own triangle. Larger blocks call the kernel less often, on keys that are copied for each call, and
    leave more to the triangles.

    The two meet within the kernel. Let o be what a query's own block gives and l the logarithm of its sum of
    exponentials. One more key in front of all others scores l, by one more dimension of the head in which
    queries hold l, that key 1 and the others 0; its value is 1 in one more dimension and 0 elsewhere. What
    the kernel finds there is the weight w of the own block among all keys, and the whole is the rest plus
    w o: exact, and as safe from overflow as the softmax itself.
    """
    wide, steps = head_size + 1, block // FLASH_STEP
    constants = _block_constants(head_size, block)
    own = []
    for step in range(steps):
        end = (step + 1) * FLASH_STEP
        constants[f"from_{step}"] = np.array([step * FLASH_STEP], np.int64)
        constants[f"to_{step}"] = np.array([end], np.int64)
        own.append(f"""
    query_{step} = Slice(query_blocks, from_{step}, to_{step}, three)
    key_{step} = Slice(key_blocks, zero, to_{step}, three)
    value_{step} = Slice(value_blocks, zero, to_{step}, three)
    turned_{step} = Transpose<perm = [0, 1, 2, 4, 3]>(key_{step})
    scores_{step} = MatMul(query_{step}, turned_{step})
    rows_{step} = Slice(triangle, from_{step}, to_{step}, zero)
    mask_{step} = Slice(rows_{step}, zero, to_{step}, one)
    masked_{step} = Add(scores_{step}, mask_{step})
    weights_{step} = Softmax<axis = -1>(masked_{step})
    own_{step} = MatMul(weights_{step}, value_{step})
    score_{step} = ReduceMax<keepdims = 1>(masked_{step}, four)
    weight_{step} = ReduceMax<keepdims = 1>(weights_{step}, four)
    logarithm_{step} = Log(weight_{step})
    sum_{step} = Sub(score_{step}, logarithm_{step})""")
    nodes = f"""{PADDED}
    keys = Pad(k, pads)
    values = Pad(v, pads)
    query_blocks = Reshape(queries, apart)
    key_blocks = Reshape(keys, apart)
    value_blocks = Reshape(values, apart)
    {"".join(own)}
    own_blocks = Concat<axis = 3>({", ".join(f"own_{step}" for step in range(steps))})
    sum_blocks = Concat<axis = 3>({", ".join(f"sum_{step}" for step in range(steps))})
    own = Reshape(own_blocks, together)
    sums = Reshape(sum_blocks, column)
    wide_queries = Concat<axis = 3>(queries, sums)
    batch = Shape<start = 0, end = 1>(q)
    sink_shape = Concat<axis = 0>(batch, sink_rest)
    sinks = Expand(sink, sink_shape)
    longer_keys = Pad(k, one_more)
    longer_values = Pad(v, one_more)
    sink_keys = Concat<axis = 2>(sinks, longer_keys)
    sink_values = Concat<axis = 2>(sinks, longer_values)
    stacked = Loop<body = each (int64 number, bool go) =>
      (bool on, float[b, {block}, {heads}, {wide}] out) {{
      on = Identity(go)
      at = Mul(number, block)
      start = Unsqueeze(at, zero)
      end = Add(start, width)
      stop = Add(start, one)
      query = Slice(wide_queries, start, end, two)
      key = Slice(sink_keys, zero, stop, two)
      value = Slice(sink_values, zero, stop, two)
      turned = Transpose<perm = [0, 2, 1, 3]>(query)
      flat = Reshape(turned, rows)
      fused = {CONTRIB}.MultiHeadAttention<num_heads = {heads}, scale = 1.0>(flat, key, value)
      out = Reshape(fused, split)
    }}>(blocks, true)
    ordered = Transpose<perm = [1, 3, 0, 2, 4]>(stacked)
    joined = Reshape(ordered, heads_apart)
    rest = Slice(joined, zero, size, three)
    weight = Slice(joined, size, wide_size, three)
    weighed = Mul(weight, own)
    both = Add(rest, weighed)
    mixed = Slice(both, zero, length, two)
    """
    sink = np.zeros((1, 1, 1, wide), np.float32)
    sink[..., -1] = 1
    shapes = {
        "apart": [0, heads, -1, block, head_size],
        "together": [0, heads, -1, head_size],
        "column": [0, heads, -1, 1],
        "sink_rest": [heads, 1, wide],
        "one_more": [0, 0, 0, 0, 0, 0, 0, 1],
        "rows": [0, -1, heads * wide],
        "split": [0, -1, heads, wide],
        "heads_apart": [0, heads, -1, wide],
        "size": [head_size],
        "wide_size": [wide],
    }
    return nodes, constants | {"sink": sink} | {n: np.array(s, np.int64) for n, s in shapes.items()}


STANDARD_FORM = "blocks"
"""Of ONNX's own operators, and good at any length."""

FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (
        Form("whole", (), _whole),
        Form(STANDARD_FORM, (), _blocks),
        Form("flash", (CONTRIB,), partial(_flash, 256)),
        Form("flash512", (CONTRIB,), partial(_flash, 512)),
    )
}
