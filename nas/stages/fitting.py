"""Fitting a target's predictor to every measurement that the store has: shared by `profile` and `verify`."""

from __future__ import annotations

import numpy as np

from nas.analysis.sessions import session_error
from nas.errors import JobFailed
from nas.objectives.kind import Measured, Observation, measured_kinds
from nas.objectives.latency_ms import Latency
from nas.stages.stage import StageContext
from predictors import Predictor, Prior, get_predictor, make_predictor, transfer_prior
from searchspaces.encoding import Population
from workers.measurement import Measurement
from workers.target import Target

__all__ = ["fit_predictor", "keep_predictors", "known_measurements", "prior_of_other_targets"]

ENOUGH = 8
"""Members of the space that must be measured on another target before it contributes to the prior."""

FEWEST = 4
"""Measurements that tell of something besides latency before a predictor is fitted to it."""


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
    kind: type[Measured],
    target: Target,
    population: Population,
    measured: list[Measurement],
    prior: Prior | None = None,
) -> Predictor:
    """A predictor of one kind of objective, fitted to those of (n, genes) measurements of the profiled space
    that tell of it."""
    name = kind.predictor or context.plan.spec.budget.profile.predictor
    observed = _observed(context, kind, target, population, measured)
    told = [observation for observation in observed if observation is not None]
    errors = [observation.std for observation in told if observation.std is not None]
    return make_predictor(name, context.plan.profiled_space, target.workload, prior).fit(
        population[np.array([observation is not None for observation in observed], bool)],
        np.array([observation.value for observation in told]),
        np.array(errors) if told and len(errors) == len(told) else None,
    )


def _observed(
    context: StageContext,
    kind: type[Measured],
    target: Target,
    population: Population,
    measured: list[Measurement],
) -> list[Observation | None]:
    """What each measurement tells the kind's predictor, as a number of the device rather than of its session;
    of single blocks nothing, where those teach it nothing."""
    name = kind.predictor or context.plan.spec.budget.profile.predictor
    whole = context.plan.profiled_space.is_member(population)
    teaches = whole | get_predictor(name).learns_from_blocks
    between = session_error(context.store, target)
    found = [
        kind.observed(m) if taught else None for m, taught in zip(measured, teaches.tolist(), strict=True)
    ]
    return [each and each.in_any_session(between.relative) for each in found]


def keep_predictors(
    context: StageContext,
    target: Target,
    latency: Predictor,
    population: Population,
    measured: list[Measurement],
) -> None:
    """Store the predictor of latency, and one of everything else that the same measurements tell of, for this
    job and later ones.

    Raises:
        JobFailed: the job compares something that the target does not tell.
    """
    store, space = context.store, context.plan.space.digest
    store.put_predictor(space, (Latency.name, str(target)), latency.to_state())
    compared = {objective.key for objective in context.plan.objectives}
    for kind in measured_kinds():
        key = kind.name, str(target)
        if kind is Latency:
            continue
        observed = _observed(context, kind, target, population, measured)
        telling = sum(observation is not None for observation in observed)
        if telling >= FEWEST:
            predictor = fit_predictor(context, kind, target, population, measured)
            store.put_predictor(space, key, predictor.to_state())
        elif key in compared:
            raise JobFailed(
                f"{target} tells no {kind.label}: {telling} of {len(measured)} measurements have it, at "
                f"least {FEWEST} are needed; accepted: a job without {kind.name}"
            )
