"""What a block costs before any device is asked: counted operations."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Operation", "OperationKind"]


class OperationKind(StrEnum):
    """Kinds that differ in how a device runs them."""

    MATMUL = "matmul"
    """Matrix product with a weight, or of large activations."""
    ATTENTION = "attention"
    """Batched small products of activations: scores, weighted sums, chunk states."""
    ELEMENTWISE = "elementwise"
    """Maps and reductions: norms, activations, softmax, feature maps, rotary turns."""
    GATHER = "gather"
    """Copies that change the layout: padding, block gathers, concatenations."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One counted operation for a whole sequence of one batch element.

    Attributes:
        kind: see `OperationKind`.
        macs: multiply-accumulates; 0 for elementwise and gather.
        elements: scalar values written (4 bytes each in fp32).
        calls: kernel launches that it takes.
    """

    kind: OperationKind
    macs: int = 0
    elements: int = 0
    calls: int = 1
