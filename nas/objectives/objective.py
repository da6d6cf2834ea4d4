"""What is optimised: name, unit, direction, bound, and where its value comes from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from workers.target import Target

__all__ = ["Direction", "Key", "Objective", "Source"]

Key = tuple[str, str | None]
"""The name of a kind, and the text of a target where values are of one."""


class Direction(StrEnum):
    """Which way is better."""

    MIN = "min"
    MAX = "max"

    @property
    def sign(self) -> int:
        """Multiply a value by this and smaller is better."""
        return 1 if self is Direction.MIN else -1

    def tightest(self, *bounds: float) -> float:
        """Of several bounds on one objective, no worse than which its values may be, the one that leaves
        least."""
        return min(bounds, key=lambda bound: self.sign * bound)


class Source(StrEnum):
    """Where an objective's value comes from, and so what a value costs."""

    EVALUATED = "evaluated"
    """The supernet on the validation split: expensive."""
    PREDICTED = "predicted"
    """A predictor of what devices measure, and measured before a front is trusted: nearly free."""
    COUNTED = "counted"
    """Exact arithmetic on the architecture: free."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One axis of a front: a kind (`nas.objectives.kind`), of a target where it is of targets.

    Attributes:
        name: the kind's, and behind an ``@`` which target is meant where a job has several:
            ``"latency_ms"``, ``"latency_ms@phone"``.
        unit: of the values, e.g. ``"bits_per_byte"``, ``"ms"``, ``"bytes"``.
        direction: which way is better.
        source: where values come from.
        bound: values must be no worse than this; None for no bound.
        target: that values are of; None where they are the same on all.
    """

    name: str
    unit: str
    direction: Direction = Direction.MIN
    source: Source = Source.COUNTED
    bound: float | None = None
    target: Target | None = None

    @property
    def kind(self) -> str:
        """Name of its kind."""
        return self.name.partition("@")[0]

    @property
    def key(self) -> Key:
        """What tells it from every other objective of a job, however its name is written."""
        return self.kind, None if self.target is None else str(self.target)
