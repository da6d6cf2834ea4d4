"""A prior over additive coefficients, learned from other devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from predictors.additive import Additive
from predictors.design import Design, Matrix, SpaceDesign
from predictors.errors import PredictorError
from predictors.posterior import COVERED, NORMAL_90, Mask, Posterior, fit_posterior
from predictors.predictor import Vector, register_predictor, unit_of, valid_measurements
from predictors.prior import SCALE_DOUBT, Prior, counted_prior
from searchspaces.encoding import Population
from searchspaces.space import SearchSpace
from workers.target import Workload

__all__ = ["KnownDevice", "Transfer", "learn_prior", "transfer_prior"]

OWN = 0.04
"""Relative standard deviation of a term on one device that the known devices do not explain."""
LEAST = 0.02
"""Of what its counted work suggests, what a term takes at least in the prior's mean."""
IMAGINED = 1.0
"""Devices that what counted work leaves open counts as, among those that were measured."""
SHARES = (0.25, 0.5, 0.75)
"""How much of what known devices have in common is believed, besides none and all of it."""
CONTRADICTION = 0.5
"""Median relative error of what a device's other measurements say of one: far above any device's noise."""
FEW, DRAWS = 10, 6
"""Measurements, and draws of them, with which the prior tries itself on a known device left out."""


@dataclass(frozen=True)
class KnownDevice:
    """What is known of one device, or of one runtime, dtype, number of threads or workload of a device.

    Attributes:
        prior: over its coefficients before any measurement; follows its workload.
        counts: (n, terms) of its measurements of whole models.
        latency_ms: (n,) > 0.
        fit: its coefficients, single blocks included in what they were learned from.
    """

    prior: Prior
    counts: Matrix
    latency_ms: Vector
    fit: Posterior

    @classmethod
    def study(cls, design: Design, counts: Matrix, latency_ms: Vector, single: Mask | None = None) -> Self:
        """Learn the coefficients of a device from its measurements alone.

        Args:
            design: of the device's workload.
            counts: (n, terms).
            latency_ms: (n,) > 0.
            single: (n,) which are single blocks, not all; none where None.
        """
        prior = counted_prior(design)
        fit = fit_posterior(counts, latency_ms, prior, single=single)
        whole = np.ones(len(latency_ms), bool) if single is None else ~single
        return cls(prior, counts[whole], latency_ms[whole], fit)

    @property
    def contradicts_itself(self) -> bool:
        """Whether its own measurements leave its usual model wrong by more than `CONTRADICTION`: no sum of
        blocks with whatever costs explains them, so that they teach nothing of other devices."""
        return float(np.median(np.abs(self.fit.residuals))) > CONTRADICTION

    @property
    def excess(self) -> Vector:
        """(terms,) what each term takes over what its counted work suggests: what workloads share."""
        return self.fit.mean / self.prior.mean


def transfer_prior(
    space: SearchSpace, workload: Workload, known: Sequence[tuple[Workload, Population, Vector]]
) -> Prior | None:
    """What measurements of other targets say of a new one; None where every one of them contradicts itself.

    Args:
        space: of all populations.
        workload: of the new target.
        known: for each other target its workload, (n, genes) architectures and (n,) latencies in ms. A
            target may differ by device, runtime, dtype, threads, batch or tokens.

    Raises:
        PredictorError: no target, one of which only single blocks are known, or a latency is not a finite
            number above 0.
    """
    devices = []
    for other, population, latency_ms in known:
        latency, _ = valid_measurements(population, latency_ms)
        latency = latency / unit_of(latency)
        design = SpaceDesign(space, other)
        single = design.single_blocks(population)
        if single.all():
            raise PredictorError(f"{other}: only single blocks are known; accepted: at least one whole model")
        devices.append(KnownDevice.study(design, design.counts(population), latency, single))
    believed = [device for device in devices if not device.contradicts_itself]
    return learn_prior(SpaceDesign(space, workload), believed) if believed or not devices else None


def learn_prior(design: Design, devices: Sequence[KnownDevice]) -> Prior:
    """What several devices have in common: the mean of what their terms take over what counted work suggests,
    each device scaled to take as long as the mean device on their architectures, and how they vary together.

    The prior tries itself on each device, learned from the others: so it knows its own spread.

    Args:
        design: of the new device.
        devices: known ones, of the same terms.

    Raises:
        PredictorError: no device.
    """
    if not devices:
        raise PredictorError("no device to learn a prior from; accepted: at least one")
    counted = counted_prior(design)
    usual = np.concatenate([device.counts for device in devices]).mean(0) * counted.mean
    share = usual / usual.sum()
    excess = np.array([device.excess / (share @ device.excess) for device in devices])
    noises = np.array([device.fit.noise for device in devices])
    prior = _common(counted, excess, noises)
    if len(devices) < 3:
        return prior
    errors = []
    for left_out, device in enumerate(devices):
        rest = np.arange(len(devices)) != left_out
        errors.append(_standardised_errors(_common(device.prior, excess[rest], noises[rest]), device))
    tried = np.concatenate(errors)
    return replace(prior, spread=float(np.quantile(tried, COVERED)) / NORMAL_90) if len(tried) else prior


def _common(prior: Prior, excess: Matrix, noises: Vector) -> Prior:
    """The Gaussian of devices' (devices, terms) excess over counted work, for the workload of `prior`."""
    # A term that every device was found to spend nothing on may still cost a little.
    mean = np.maximum(excess.mean(0), LEAST)
    outer = np.outer(prior.mean, prior.mean)
    # The posterior mean of an inverse Wishart centred on what counted work leaves open, and the mean's own
    # doubt: two known devices hardly tell how a third may differ.
    n, apart = len(excess), excess - mean
    between = prior.covariance / outer - SCALE_DOUBT**2
    together = (1 + 1 / n) * (apart.T @ apart + IMAGINED * between) / (n - 1 + IMAGINED)
    covariance = SCALE_DOUBT**2 * np.outer(mean, mean) + together + np.diag((OWN * mean) ** 2)
    return Prior(prior.names, prior.mean * mean, outer * covariance, float(np.median(noises)), odds=n)


def _standardised_errors(prior: Prior, device: KnownDevice) -> Vector:
    """|Errors| over their standard deviations on a device that the prior does not know, from `FEW` of its
    measurements, several times."""
    found = [np.empty(0)]
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(len(device.latency_ms))
        few, rest = order[:FEW], order[FEW : FEW + 200]
        fitted = fit_posterior(device.counts[few], device.latency_ms[few], prior)
        mean, deviation = fitted.predict(device.counts[rest])
        found.append(np.abs(device.latency_ms[rest] - mean) / (deviation / fitted.spread))
    return np.concatenate(found)


@register_predictor("transfer")
class Transfer(Additive):
    """`additive`, drawn to what other devices taught as far as the measurements bear it out, from not at all
    to wholly: a device unlike all known ones is not bent to them. It may also have their mean and none of
    the ways in which they vary together, as a board may have beside GPUs. Without a prior there is nothing to
    transfer.
    """

    @property
    def priors(self) -> Sequence[Prior]:
        """See `Additive.priors`."""
        counted = super().priors
        if self.prior is None:
            return counted
        shares = (counted[0].toward(self.prior, share) for share in SHARES)
        return [*counted, *shares, self.prior, self.prior.by_families(self.design)]
