"""Fitting a target's predictor to every measurement that the store has: shared by `profile` and `verify`."""

from __future__ import annotations

import numpy as np

from nas.stages.stage import StageContext
from predictors import Predictor, Prior, make_predictor, transfer_prior
from searchspaces.encoding import Population
from workers.measurement import Measurement
from workers.target import Target

__all__ = ["fit_predictor", "known_measurements", "prior_of_other_targets"]

ENOUGH = 8
"""Members of the space that must be measured on another target before it contributes to the prior."""


def known_measurements(
    context: StageContext, target: Target, exclude: set[str] | frozenset[str] = frozenset()
) -> tuple[Population, list[Measurement]]:
    """(n, genes) of the profiled space, and their measurements: everything in the store that it contains."""
    space = context.plan.profiled_space
    measurements = [m for m in context.store.measurements(target) if m.digest not in exclude]
    architectures = context.store.architectures([m.digest for m in measurements])
    usable = [
        m for m in measurements if m.digest in architectures and space.contains(architectures[m.digest])
    ]
    return space.encode(architectures[m.digest] for m in usable), usable


def prior_of_other_targets(context: StageContext, target: Target) -> Prior | None:
    """What measurements of the space on other targets suggest about this one; None where there are too
    few."""
    space = context.plan.profiled_space
    others = []
    for other in context.store.targets():
        if other != target and other.workload.phase is target.workload.phase:
            population, measured = known_measurements(context, other)
            if space.is_member(population).sum() >= ENOUGH:
                others.append(
                    (other.workload, population, np.array([m.corrected.latency_ms for m in measured]))
                )
    return transfer_prior(space, target.workload, others) if others else None


def fit_predictor(
    context: StageContext,
    target: Target,
    population: Population,
    measured: list[Measurement],
    prior: Prior | None = None,
) -> Predictor:
    """A predictor of the job's kind, fitted to (n, genes) measurements of the profiled space."""
    name = context.plan.spec.budget.profile.predictor
    predictor = make_predictor(name, context.plan.profiled_space, target.workload, prior)
    return predictor.fit(
        population,
        np.array([m.corrected.latency_ms for m in measured]),
        np.array([m.corrected.error_ms for m in measured]),
    )
