"""How good a predictor is on measurements that it did not see."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from predictors.predictor import Prediction, Predictor, Vector, valid_measurements
from searchspaces.encoding import Population

__all__ = ["HeldOut", "held_out_report", "score"]

NORMAL_90 = 1.6448536269514722
"""Half the width, in standard deviations, of a normal's central 90%."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Errors relative to what was measured.

    Attributes:
        mape: mean |predicted − measured| / measured.
        within_10, within_5: share of architectures predicted within ±10% and ±5%.
        spearman: rank correlation; 0 where all predictions, or all measurements, are the same.
        coverage_90: share of measurements inside the predicted 90% interval.
    """

    mape: float
    within_10: float
    within_5: float
    spearman: float
    coverage_90: float

    def to_dict(self) -> dict[str, float]:
        """Plain data."""
        return asdict(self)


def held_out_report(predictor: Predictor, population: Population, values: Vector) -> HeldOut:
    """Test a fitted predictor.

    Args:
        population: (n, genes) architectures that it did not learn from.
        values: (n,) what was measured of them.

    Raises:
        PredictorError: a value is not a finite number above 0, or there are none.
    """
    values, _ = valid_measurements(population, values)
    return score(predictor.predict(population), values)


def score(prediction: Prediction, values: Vector) -> HeldOut:
    """Compare a prediction with (n,) measured values."""
    # Late: every command would load it, and half of its start be spent so.
    from scipy.stats import spearmanr

    error = np.abs(prediction.mean / values - 1)
    ranks = np.ptp(values) > 0 and np.ptp(prediction.mean) > 0
    return HeldOut(
        mape=float(error.mean()),
        within_10=float((error <= 0.10).mean()),
        within_5=float((error <= 0.05).mean()),
        spearman=float(spearmanr(prediction.mean, values).statistic) if ranks else 0.0,
        coverage_90=float((np.abs(prediction.mean - values) <= NORMAL_90 * prediction.std).mean()),
    )
