"""Answering a budget exactly: the proved optimum of a job's additive models, and its verification."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nas.analysis.candidates import Candidates
from nas.analysis.feasibility import nearest_to_bounds
from nas.analysis.known import Known, scored, stored_predictors, unlearned
from nas.analysis.replacements import stored_scores
from nas.bounds import bounded_objectives, describe_miss
from nas.errors import NoSuchPoint, NothingMeetsBounds
from nas.exact.additive import ModelOptimum
from nas.exact.decomposition import Decomposition
from nas.front import Point
from nas.objectives import Objective, Source
from nas.optimum import Optimum
from nas.problem import SearchProblem
from nas.strategies.evolution import EvolutionStrategy
from nas.surrogates.additive import AdditiveSurrogate
from searchspaces.encoding import Population

__all__ = ["find_optimum"]

FEWEST = 8
"""Evaluations below which quality is not modelled."""
GENERATIONS, CHILDREN = 40, 500
"""Of the evolution where a predictor that is no sum says other than its nearest sum."""


def find_optimum(job: Known, bounds: dict[str, float]) -> Optimum:
    """The architecture of best modelled quality within the bounds and the job's own.

    Quality is a Gaussian process, linear in what adds up over layers and neighbouring layers, of every
    evaluation that the job's supernet has had. What devices measure is predicted, what is counted is exact.

    Raises:
        InvalidSpec: a bound's name is not known.
        NoSuchPoint: the job has no predictors or too few evaluations yet, or its space has too many options
            of a layer to enumerate.
        NothingMeetsBounds: according to the models no architecture does; the message names the nearest.
    """
    started = time.perf_counter()
    plan = job.plan
    quality = next(o for o in plan.objectives if o.source is Source.EVALUATED)
    asked = _tightest(
        [
            *(o for o in plan.objectives if o.bound is not None),
            *bounded_objectives(bounds, quality, plan.targets),
        ]
    )
    free = [o for o in asked if o.source is not Source.EVALUATED]
    if missing := unlearned(job):
        name = f"{missing[0].kind} on {missing[0].target}"
        raise NoSuchPoint(f"job {job.job_id} has no predictor of {name} yet: nas resume {job.job_id}")
    candidates = Candidates(job, stored_predictors(job))
    for o in free:
        if o.source is Source.PREDICTED and o.key not in candidates.predictors:
            raise NoSuchPoint(f"job {job.job_id} has no predictor of {o.kind} on {o.target}: no bound on it")
    population, scores = scored(job)
    if len(scores) < FEWEST:
        raise NoSuchPoint(
            f"job {job.job_id} has {len(scores)} evaluations, too few to model quality (at least {FEWEST}): "
            f"nas resume {job.job_id}"
        )

    def known(rows: Population) -> np.ndarray:
        return candidates.known(rows, free)

    problem = SearchProblem(
        plan.space,
        (replace(quality, bound=None), *free),
        known if free else None,
        prior=stored_scores(job),
    )
    values = np.concatenate([scores[:, None], known(population)], axis=1)
    try:
        decomposition = Decomposition(plan.space)
    except ValueError as error:
        raise NoSuchPoint(f"{plan.space.name} is too large for a proof: {error}") from error
    surrogate = AdditiveSurrogate(problem, decomposition, population, values, plan.spec.seed)
    found = _within(surrogate, problem, population, plan.space.name)
    predicted = quality.direction.sign * found.values[0]
    for objective in asked:
        if (
            objective.source is Source.EVALUATED
            and objective.direction.sign * (predicted - objective.bound) > 0
        ):
            raise NothingMeetsBounds(
                f"according to its models nothing in {plan.space.name} meets the bounds; the nearest has "
                f"{describe_miss(objective, predicted)}"
            )
    return Optimum(
        point=_point(job, candidates, found.row[None]),
        quality=float(predicted),
        quality_std=float(surrogate.deviations(found.row[None])[0, 0]),
        gap=found.gap,
        exact=surrogate.exact,
        evaluations=len(scores),
        seconds=time.perf_counter() - started,
    )


def _tightest(bounded: Sequence[Objective]) -> list[Objective]:
    """One of each objective: that with the tightest bound."""
    found: dict[object, Objective] = {}
    for o in bounded:
        known = found.setdefault(o.key, o)
        if o.direction.sign * (o.bound or 0.0) < o.direction.sign * (known.bound or 0.0):
            found[o.key] = o
    return list(found.values())


def _within(
    surrogate: AdditiveSurrogate, problem: SearchProblem, evaluated: Population, space: str
) -> ModelOptimum:
    """The model's optimum that meets the bounds by what the model stands for, too: where the model is but the
    nearest sum, and its optimum does not, the best of what an evolution finds."""
    found = surrogate.model.optimum(0, problem.bounds)
    if found is not None and (surrogate.exact or _meets(problem, found.row)):
        return found
    row = None if surrogate.exact else _evolved(surrogate, problem, evaluated)
    if row is None:
        nearest = nearest_to_bounds(problem)
        said = ", ".join(
            describe_miss(problem.objectives[i], nearest.free[problem.objectives[i].name])
            for i in problem.free
        )
        raise NothingMeetsBounds(
            f"according to its models nothing in {space} meets the bounds; the nearest has {said}"
        )
    best = found or surrogate.model.optimum(0, np.full(len(problem.bounds), np.inf))
    values = surrogate.model.predict(row[None])[0]
    least = -math.inf if best is None else best.values[0] - best.gap * abs(best.values[0])
    return ModelOptimum(row, values, max(0.0, float(values[0] - least)) / max(abs(values[0]), 1e-300))


def _evolved(surrogate: AdditiveSurrogate, problem: SearchProblem, seeds: Population) -> Population | None:
    """(genes,) the best by predicted quality within the bounds; None if nothing within them was found."""
    strategy = EvolutionStrategy(replace(problem, known=None, seeds=seeds), seed=0)
    best, row = math.inf, None
    for _ in range(GENERATIONS):
        rows = strategy.ask(CHILDREN)
        if not len(rows):
            break
        values = problem.refreshed(rows, np.zeros((len(rows), len(problem.objectives))))
        minimised = problem.minimised(values)
        minimised[:, problem.expensive] = surrogate.means(rows)
        strategy.tell(rows, problem.minimised(minimised))
        minimised[problem.violation(minimised) > 0] = math.inf
        first = int(minimised[:, 0].argmin())
        if minimised[first, 0] < best:
            best, row = minimised[first, 0], rows[first]
    return row


def _meets(problem: SearchProblem, row: Population) -> bool:
    """Whether one row is within the bounds of the free objectives."""
    return bool((_free(problem, row)[problem.free] <= problem.bounds[problem.free]).all())


def _free(problem: SearchProblem, row: Population) -> np.ndarray:
    """(objectives,) values of the free objectives of one row, NaN of the expensive one."""
    blank = np.full((1, len(problem.objectives)), np.nan)
    return problem.refreshed(row[None], blank)[0]


def _point(job: Known, candidates: Candidates, row: Population) -> Point:
    """What is stored of the architecture in this job, else what is predicted of it."""
    architecture = job.plan.space.decode(row)[0]
    stored = [p for p in job.store.points(job.job_id) if p.digest == architecture.digest]
    if stored:
        return stored[0]
    return Point(
        digest=architecture.digest,
        architecture=architecture,
        validation=None,
        test=None,
        values=candidates.unmeasured(row)[0],
    )
