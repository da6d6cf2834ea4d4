"""Graphs as the exporter writes them, without what computes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["simplified"]

ROUNDS = 2
"""Over a graph, at most: what one leaves constant or unused the next can fold."""


def simplified(model: ModelProto) -> ModelProto:
    """Constants folded, equal nodes merged, and left out what tracing writes down though it does nothing.

    The passes are those of `onnxscript.optimizer.optimize`, with the rewriting rules that traced blocks meet:
    to try all of its forty-odd on every node takes half of an export's time.
    """
    import onnx_ir
    from onnx_ir.passes import common
    from onnxscript.optimizer import fold_constants_ir
    from onnxscript.rewriter import RewritePass
    from onnxscript.rewriter.rules import common as rules

    rewrite = RewritePass(
        [
            rules.div_by_1_rule,
            rules.sub_0_rule,
            rules.no_op_cast_rule,
            rules.no_op_expand_rule,
            rules.no_op_transpose_rule,
            rules.transpose_transpose_rule,
            rules.reshape_reshape_rule,
            rules.collapse_slice_rule,
            rules.collapse_slice2_rule,
            rules.unsqueeze_unsqueeze_rule,
            rules.no_op_dynamic_scatter_nd_rule,
        ]
    )
    graph = onnx_ir.from_proto(model)
    common.InlinePass()(graph)
    for _ in range(ROUNDS):
        folded = fold_constants_ir(graph, onnx_shape_inference=True).modified
        rewritten = rewrite(graph).modified
        removed = common.RemoveUnusedNodesPass()(graph).modified
        if not (folded or rewritten or removed):
            break
    tidy = (
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.LiftSubgraphInitializersToMainGraphPass(),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    )
    for each in tidy:
        each(graph)
    return onnx_ir.to_proto(graph)
