"""The Pareto front: points whose every latency says predicted or measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from searchspaces.architecture import Architecture

__all__ = ["Latency", "Point"]


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one point on one target, in milliseconds.

    Attributes:
        predicted, predicted_std: what the predictor said when the point was verified (before its
            own measurement taught it).
        measured, measured_std: what the device said; None until it was asked.
    """

    predicted: float
    predicted_std: float
    measured: float | None = None
    measured_std: float | None = None

    @property
    def best_known(self) -> float:
        """Measured where there is a measurement, else predicted."""
        return self.predicted if self.measured is None else self.measured


@dataclass(frozen=True, slots=True)
class Point:
    """One architecture with everything that is known of it in a job.

    Attributes:
        validation, test: the task's metric on each split; None where not evaluated.
        latency_ms: by target text.
        preset: name of the published design that it is, or None.
        on_front: not dominated by any point of the job, by measured values where there are some.
    """

    digest: str
    architecture: Architecture
    validation: float | None
    test: float | None
    parameters: int
    macs: int
    state_bytes: int
    latency_ms: Mapping[str, Latency] = field(default_factory=dict)
    preset: str | None = None
    on_front: bool = False
