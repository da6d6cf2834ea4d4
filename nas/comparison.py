"""Differences between two models that were scored on the same sequences, with what chance makes of them, and
found models beside published designs by them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from workers.target import Target

__all__ = ["SIGNIFICANT", "Comparison", "Difference", "paired_difference"]

SIGNIFICANT = 2.0
"""Standard errors beyond which a difference is taken to be one."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What one model scores less what another does.

    Attributes:
        mean: over the sequences, in the metric's own unit.
        standard_error: of the mean: of the sequences that both were scored on, and of their training's
            seeds where those are known.
        sequences: that both were scored on.
    """

    mean: float
    standard_error: float
    sequences: int

    @property
    def is_significant(self) -> bool:
        """Whether the mean lies more than `SIGNIFICANT` standard errors from 0."""
        return abs(self.mean) > SIGNIFICANT * self.standard_error


@dataclass(frozen=True, slots=True)
class Comparison:
    """A found model beside the best published design of those that are no faster.

    Attributes:
        target: that both were measured on.
        found, baseline: digests of the two architectures.
        preset: the baseline's name.
        found_ms, baseline_ms: measured latencies.
        found_test, baseline_test: the task's metric on the test split.
        difference: of the two, the baseline's taken from the found model's.
        steps: that both were trained alone; 0 where both have the weights of one supernet.
    """

    target: Target
    found: str
    baseline: str
    preset: str
    found_ms: float
    baseline_ms: float
    found_test: float
    baseline_test: float
    difference: Difference
    steps: int

    @property
    def speedup(self) -> float:
        """Times that the found model is faster."""
        return self.baseline_ms / self.found_ms

    def to_dict(self) -> dict[str, Any]:
        """Plain data; the target as its text."""
        return {**asdict(self), "target": str(self.target)}


def paired_difference(
    first: Sequence[float], second: Sequence[float], seed_deviation: float = 0.0
) -> Difference:
    """The difference of two models, paired by sequence: what makes a sequence hard makes it so for both, and
    so drops out.

    Args:
        first, second: the metric on each sequence, in the same order.
        seed_deviation: standard deviation of one model's score over seeds of its training; 0 where it is
            not known. Both models were trained once, so it counts twice.

    Raises:
        ValueError: the two were not scored on the same number of sequences, or on fewer than two.
    """
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(
            f"{len(first)} and {len(second)} sequences cannot be paired; accepted: as many, and at least 2"
        )
    differences = np.asarray(first, float) - np.asarray(second, float)
    sampling = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    error = math.hypot(sampling, math.sqrt(2) * seed_deviation)
    return Difference(float(differences.mean()), error, len(differences))
