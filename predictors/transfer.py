"""A prior over additive coefficients, learned from other devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from predictors.additive import Additive
from predictors.design import Design, Matrix
from predictors.errors import PredictorError
from predictors.posterior import NORMAL_90, fit_posterior
from predictors.predictor import Vector, register_predictor
from predictors.prior import SCALE_DOUBT, Prior, counted_prior

__all__ = ["Transfer", "learn_prior"]

OWN = 0.04
"""Relative standard deviation of a term on one device that the known devices do not explain."""
LEAST = 0.02
"""Of its counted work's share, what a term costs at least in the prior's mean."""
FEW, DRAWS = 10, 6
"""Measurements, and draws of them, with which the prior tries itself on a known device left out."""


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
    noises = np.array([fit.noise for fit in fits])
    prior = _common(belief, usual, scaled, noises)
    if len(devices) < 3:
        return prior
    errors = []
    for left_out, (counts, latency) in enumerate(devices):
        rest = np.arange(len(devices)) != left_out
        of_rest = _common(belief, usual, scaled[rest], noises[rest])
        errors.append(_standardised_errors(of_rest, counts, latency))
    return replace(prior, spread=float(np.quantile(np.concatenate(errors), 0.9)) / NORMAL_90)


def _common(belief: Prior, usual: Vector, scaled: Matrix, noises: Vector) -> Prior:
    """The Gaussian of devices' scaled coefficients: (devices, terms)."""
    counted = belief.mean / (usual @ belief.mean)
    # A term that every device was found to spend nothing on may still cost a little.
    mean = np.maximum(scaled.mean(0), LEAST * counted)
    if len(scaled) == 1:
        # One device tells nothing of how devices differ; half of what counted work leaves open does.
        shapes = belief.covariance - SCALE_DOUBT**2 * np.outer(belief.mean, belief.mean)
        together = shapes / (2 * usual @ belief.mean) ** 2
    else:
        apart = scaled - mean
        together = apart.T @ apart / (len(scaled) - 1)
    covariance = SCALE_DOUBT**2 * np.outer(mean, mean) + together + np.diag((OWN * mean) ** 2)
    return Prior(belief.names, mean, covariance, float(np.median(noises)), devices=len(scaled))


def _standardised_errors(prior: Prior, counts: Matrix, latency: Vector) -> Vector:
    """|Errors| over their standard deviations on a device that the prior does not know, from `FEW` of its
    measurements, several times."""
    found = []
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(len(latency))
        few, rest = order[:FEW], order[FEW : FEW + 200]
        if not len(rest):
            break
        fitted = fit_posterior(counts[few], latency[few], prior)
        mean, deviation = fitted.predict(counts[rest])
        found.append(np.abs(latency[rest] - mean) / (deviation / fitted.spread))
    return np.concatenate(found) if found else np.empty(0)


@register_predictor("transfer")
class Transfer(Additive):
    """`additive`, drawn to what other devices taught instead of to counted work alone.

    Without a prior there is nothing to transfer, and it believes counted work as `additive` does.
    """

    @property
    def belief(self) -> Prior:
        """See `Additive.belief`."""
        return counted_prior(self.design) if self.prior is None else self.prior
