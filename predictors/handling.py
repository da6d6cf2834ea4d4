"""What a benchmark does about devices that change their speed while they are measured."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["CADENCE", "DriftHandling", "control_rows"]

CADENCE = 10
"""In measured order, one row of so many stands for a reading of a control model."""


class DriftHandling(StrEnum):
    """What is done about drift. All ways learn from and are scored on the same rows."""

    CONTROLS = "controls"
    """As if control models had been interleaved: one row of `CADENCE`, which neither teaches nor scores,
    tells only how fast the device was. Stretches are found among those rows alone, and their factor is
    divided out of samples and held-out rows alike."""
    RAW = "raw"
    """Nothing: rows as the table has them."""
    STRETCHES = "stretches"
    """Raw rows in measured order: stretches of another speed are found among the samples alone, and a
    held-out row is scored at the speed of the stretch that it was measured in."""

    @property
    def protocol(self) -> str:
        """What its figures mean, for people."""
        return {
            DriftHandling.CONTROLS: (
                f"one row of {CADENCE} in measured order stands for a control model: it neither teaches nor "
                "scores, only tells how fast the device was; stretches found among those rows alone are "
                f"divided out of all others. Costs {1 / (CADENCE - 1):.0%} more measurements, which "
                "samples do not count"
            ),
            DriftHandling.RAW: "samples and held-out rows as the table has them, drift included",
            DriftHandling.STRETCHES: (
                "rows as the table has them; stretches of another speed are found among the samples alone, "
                "and a held-out row is scored at the speed of its place in measured order"
            ),
        }[self]


def control_rows(rows: int) -> NDArray[np.int64]:
    """Which of a device's rows, in measured order, stand for control models."""
    return np.arange(CADENCE // 2, rows, CADENCE)
