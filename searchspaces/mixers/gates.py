"""Numbers a head that follow from the data: gates that forget, and how strongly a token is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from searchspaces.mixers.decay import constants, log_decays
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Initial, Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["gate", "gate_operations", "gate_weights", "log_gate"]


def gate_weights(name: str, sizes: Sizes) -> dict[str, Weight]:
    """A gate's matrix (G, D) and bias (G,), both zeros at first; of one number of heads only."""
    groups = sizes.groups
    return {
        f"{name}{groups}": Weight((groups, sizes.width), ("", "width"), Initial.ZEROS),
        f"{name}{groups}_bias": Weight((groups,), ("",), Initial.ZEROS),
    }


def gate(x: Tensor, weights: Mapping[str, Tensor], name: str, sizes: Sizes) -> Tensor:
    """Of tokens (B, N, D): (B, G, N), before its sigmoid.

    Args:
        name: by which the layer has the weights.
    """
    from torch.nn.functional import linear

    own = f"{name}{sizes.groups}"
    return linear(x, weights[own], weights[f"{own}_bias"]).transpose(1, 2)


def log_gate(x: Tensor, weights: Mapping[str, Tensor], name: str, sizes: Sizes) -> Tensor:
    """log α (B, G, N) with α the sigmoid of a gate, which at first gives the fixed rates of `log_decays`."""
    from torch.nn.functional import logsigmoid

    # log(α / (1 − α)).
    fixed = [log - math.log(-math.expm1(log)) for log in log_decays(sizes.groups)]
    return logsigmoid(gate(x, weights, name, sizes) + constants(x, fixed).unsqueeze(-1))


def gate_operations(sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
    """Of one gate."""
    written = tokens * sizes.groups
    return (
        Operation(OperationKind.MATMUL, macs=written * sizes.width, elements=written),
        Operation(OperationKind.ELEMENTWISE, elements=3 * written, calls=3),
    )
