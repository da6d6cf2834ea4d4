"""What is optimised: name, unit, direction, bound, and where its value comes from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from workers.target import Target

__all__ = ["Direction", "Objective", "Source"]


class Direction(StrEnum):
    """Which way is better."""

    MIN = "min"
    MAX = "max"

    @property
    def sign(self) -> int:
        """Multiply a value by this and smaller is better."""
        return 1 if self is Direction.MIN else -1


class Source(StrEnum):
    """Where an objective's value comes from, and so what a value costs."""

    EVALUATED = "evaluated"
    """The supernet on the validation split: expensive."""
    PREDICTED = "predicted"
    """A latency predictor, re-measured before a front is trusted: nearly free."""
    COUNTED = "counted"
    """Exact arithmetic on the architecture: free."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One axis of the front.

    Attributes:
        name: ``"quality"``, ``"latency_ms"`` (``"latency_ms@DEVICE"`` where a job has several
            targets), ``"parameters"``, ``"macs"`` or ``"state_bytes"``.
        unit: of the values, e.g. ``"bits_per_byte"``, ``"ms"``, ``"bytes"``.
        direction: which way is better.
        source: where values come from.
        bound: values must be no worse than this; None for no bound.
        target: of a latency.
    """

    name: str
    unit: str
    direction: Direction = Direction.MIN
    source: Source = Source.COUNTED
    bound: float | None = None
    target: Target | None = None
