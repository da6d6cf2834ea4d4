"""What is counted of architectures, each quantity defined once: exact arithmetic on the cost model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from searchspaces.costs import CostModel
from searchspaces.encoding import Population

__all__ = ["COUNTS", "Count", "Deployment"]


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a count may depend on beside the architecture.

    Attributes:
        tokens: N, of one sequence.
        dtype: number format that the model runs in, e.g. ``"fp32"``.
    """

    tokens: int
    dtype: str = "fp32"


@dataclass(frozen=True, slots=True)
class Count:
    """One quantity.

    Attributes:
        name: as jobs, bounds and documents call it.
        unit: of the values.
        label: as people read it.
        of: (n, genes) architectures → (n,) values ≥ 0.
        by_dtype: whether it differs between targets, by what number format they run.
        aliases: other names that people write.
    """

    name: str
    unit: str
    label: str
    of: Callable[[CostModel, Population, Deployment], NDArray[np.int64]]
    by_dtype: bool = False
    aliases: tuple[str, ...] = ()


BYTES_A_WEIGHT = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "int8": 1, "fp8": 1, "int4": 41 / 64}
"""By number format; four of any other. The scales of int8, one for each matrix, are below a thousandth of its
weights from width 64 on, and left out; those of int4, and its zero points, are one for every 32 weights."""


def weight_bytes(costs: CostModel, population: Population, at: Deployment) -> NDArray[np.int64]:
    """(n,) bytes of each model's weights in the number format that it runs in."""
    size = BYTES_A_WEIGHT.get(at.dtype, 4)
    found: NDArray[np.int64] = np.ceil(costs.parameters(population) * size).astype(np.int64)
    return found


COUNTS: tuple[Count, ...] = (
    Count(
        "parameters",
        "parameters",
        "parameters",
        lambda costs, population, at: costs.parameters(population),
        aliases=("params",),
    ),
    Count("macs", "macs", "MACs", lambda costs, population, at: costs.macs(population, at.tokens)),
    Count(
        "state_bytes",
        "bytes",
        "state",
        lambda costs, population, at: costs.state_bytes(population, at.tokens),
    ),
    Count("weight_bytes", "bytes", "weights", weight_bytes, by_dtype=True),
)
"""All of them, in the order in which documents list them."""
