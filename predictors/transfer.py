"""A prior over additive coefficients, learned from other devices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictors.additive import Additive
from predictors.design import Design, Matrix
from predictors.errors import PredictorError
from predictors.posterior import fit_posterior
from predictors.predictor import Vector, register_predictor
from predictors.prior import SCALE_DOUBT, Prior, counted_prior

__all__ = ["Transfer", "learn_prior"]

OWN = 0.04
"""Relative standard deviation of a term on one device that the known devices do not explain."""


def learn_prior(design: Design, devices: Sequence[tuple[Matrix, Vector]]) -> Prior:
    """What several devices have in common: the mean of their coefficients, each device scaled to take as long
    as the mean device on their architectures, and how they vary together.

    Args:
        design: of all populations.
        devices: for each known device the (n, terms) counts and (n,) latencies of its measurements; of
            another runtime, batch or length of the same device too, whose work differs by more than scale.

    Raises:
        PredictorError: no device.
    """
    if not devices:
        raise PredictorError("no device to learn a prior from; accepted is at least one")
    belief = counted_prior(design)
    fits = [fit_posterior(counts, latency, belief) for counts, latency in devices]
    usual = np.concatenate([counts for counts, _ in devices]).mean(0)
    scaled = np.array([fit.mean / (usual @ fit.mean) for fit in fits])
    counted = belief.mean / (usual @ belief.mean)
    mean = scaled.mean(0)
    # A term that every device was found to spend nothing on may still cost a little.
    mean = np.maximum(mean, 0.02 * counted)
    apart = scaled - mean
    together = apart.T @ apart / max(len(fits) - 1, 1)
    if len(fits) == 1:
        together = (belief.covariance - SCALE_DOUBT**2 * np.outer(belief.mean, belief.mean)) * (
            (usual @ belief.mean) ** -2 / 4
        )
    covariance = SCALE_DOUBT**2 * np.outer(mean, mean) + together + np.diag((OWN * mean) ** 2)
    return Prior(design.names, mean, covariance, float(np.median([f.noise for f in fits])), len(fits))


@register_predictor("transfer")
class Transfer(Additive):
    """`additive`, drawn to what other devices taught instead of to counted work alone.

    Without a prior there is nothing to transfer, and it believes counted work as `additive` does.
    """

    @property
    def belief(self) -> Prior:
        """See `Additive.belief`."""
        return counted_prior(self.design) if self.prior is None else self.prior
