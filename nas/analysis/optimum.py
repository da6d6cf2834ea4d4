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
from nas.bounds import bounded_objectives, check_bounds, describe_miss
from nas.errors import NoSuchPoint, NothingMeetsBounds
from nas.exact.additive import ModelOptimum
from nas.exact.decomposition import Decomposition
from nas.objectives import Objective, Source
from nas.optimum import Optimum
from nas.planning.plan import Plan
from nas.point import Point
from nas.problem import SearchProblem
from nas.strategies.evolution import EvolutionStrategy
from nas.surrogates.additive import AdditiveSurrogate
from searchspaces.encoding import Population

__all__ = ["find_optimum"]

FEWEST = 8
"""Evaluations below which quality is not modelled."""
TOLERANCE = 1e-9
"""Relative, by which a bound may be missed."""
MOST_CUTS = 32
"""Architectures that measurement has refuted before the models are given up."""
GENERATIONS, CHILDREN = 40, 500
"""Of the evolution where a predictor that is no sum says other than its nearest sum."""


def find_optimum(job: Known, bounds: dict[str, float]) -> Optimum:
    """The architecture of best modelled quality within the bounds and the job's own. What was measured
    overrules what is predicted: a point that measurement has shown outside a bound is not offered, and one
    that it has shown within them all is, whatever the models say.

    Quality is a Gaussian process, linear in what adds up over layers and neighbouring layers, of every
    evaluation that the job's supernet has had. What devices measure is predicted, what is counted is exact.

    Raises:
        InvalidSpec: a bound's name is not known, or it is no finite number above 0.
        NoSuchPoint: the job has no predictors or too few evaluations yet, or its space has too many options
            of a layer to enumerate.
        NothingMeetsBounds: according to the models no architecture does; the message names the nearest.
    """
    started = time.perf_counter()
    check_bounds(bounds)
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
        terms = plan.terms(o) if o.source is Source.PREDICTED else []
        if any(key not in candidates.predictors for _, key in terms):
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
    points = job.store.points(job.job_id)
    refuted = _rows(plan, [point for point in points if not _keeps(point, free)])
    meeting = [point for point in points if point.validation is not None and _has_met(point, free)]
    found, cuts, least = None, 0, math.inf
    try:
        found, cuts, least = _not_refuted(surrogate, problem, population, plan.space.name, refuted)
    except NothingMeetsBounds:
        if not meeting:
            raise
    best = _best_of(surrogate, _rows(plan, meeting))
    if best is not None and (found is None or best.values[0] < found.values[0]):
        found = replace(best, gap=_gap(best.values[0], least) if found is None else found.gap)
    if found is None:
        raise NothingMeetsBounds(
            f"the {cuts} best architectures by the models were all measured outside the bounds; accepted: "
            "looser ones"
        )
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
    point = _point(job, candidates, found.row[None])
    return Optimum(
        point=point,
        quality=float(predicted),
        quality_std=float(surrogate.deviations(found.row[None])[0, 0]),
        gap=found.gap,
        exact=surrogate.exact,
        evaluations=surrogate.evaluations,
        seconds=time.perf_counter() - started,
        measured=bool(free) and _has_met(point, free),
        refuted=cuts,
    )


def _not_refuted(
    surrogate: AdditiveSurrogate,
    problem: SearchProblem,
    evaluated: Population,
    space: str,
    refuted: Population,
) -> tuple[ModelOptimum | None, int, float]:
    """The model's optimum within the bounds that is none of the refuted rows, found by cutting those off one
    by one and solving again; how many were cut off; and what nothing else is below. None where `MOST_CUTS`
    were."""
    known = problem.encoding.keys(refuted)
    cut, least = refuted[:0], -math.inf
    while len(cut) < MOST_CUTS:
        found = _within(surrogate, problem, evaluated, space, cut)
        least = _least(found)
        if not np.isin(problem.encoding.keys(found.row[None]), known).any():
            return found, len(cut), least
        cut = np.concatenate([cut, found.row[None]])
    return None, len(cut), least


def _least(found: ModelOptimum) -> float:
    """What nothing else is proved to be below."""
    return float(found.values[0] - found.gap * abs(found.values[0]))


def _gap(value: float, least: float) -> float:
    """How much better than a value, relative to it, something could still be that is not below `least`."""
    return max(0.0, float(value - least)) / max(abs(float(value)), 1e-300)


def _keeps(point: Point, bounded: Sequence[Objective]) -> bool:
    """Whether no measurement shows the point outside a bound."""
    return all(
        o.direction.sign * (measured - (o.bound or 0.0)) <= TOLERANCE * abs(measured)
        for o in bounded
        if o.source is Source.PREDICTED
        and (value := point.values.get(o.key)) is not None
        and (measured := value.measured) is not None
    )


def _has_met(point: Point, bounded: Sequence[Objective]) -> bool:
    """Whether the point is within all bounds by what was measured of it, and counted."""
    for o in bounded:
        value = point.values.get(o.key)
        if value is None or (o.source is Source.PREDICTED and value.measured is None):
            return False
        if o.direction.sign * (value.best_known - (o.bound or 0.0)) > TOLERANCE * abs(value.best_known):
            return False
    return True


def _rows(plan: Plan, points: Sequence[Point]) -> Population:
    """(n, genes) of those points that are of the space."""
    return plan.space.encode(p.architecture for p in points if plan.space.contains(p.architecture))


def _best_of(surrogate: AdditiveSurrogate, rows: Population) -> ModelOptimum | None:
    """The row of best modelled quality; None where there is none."""
    if not len(rows):
        return None
    values = surrogate.model.predict(rows)
    first = int(values[:, 0].argmin())
    return ModelOptimum(rows[first], values[first], 0.0)


def _tightest(bounded: Sequence[Objective]) -> list[Objective]:
    """One of each objective: that with the tightest bound."""
    found: dict[object, Objective] = {}
    for o in bounded:
        known = found.setdefault(o.key, o)
        if known.bound != o.direction.tightest(known.bound or 0.0, o.bound or 0.0):
            found[o.key] = o
    return list(found.values())


def _within(
    surrogate: AdditiveSurrogate,
    problem: SearchProblem,
    evaluated: Population,
    space: str,
    cut: Population,
) -> ModelOptimum:
    """The model's optimum, among all but the rows that are cut, that meets the bounds by what the model
    stands for, too: where the model is but the nearest sum, and its optimum does not, the best of what an
    evolution finds."""
    found = surrogate.model.optimum(0, problem.bounds, excluded=cut)
    if found is not None and (surrogate.exact or _meets(problem, found.row)):
        return found
    row = None if surrogate.exact else _evolved(surrogate, problem, evaluated, cut)
    if row is None:
        nearest = nearest_to_bounds(problem)
        said = ", ".join(
            describe_miss(problem.objectives[i], nearest.free[problem.objectives[i].name])
            for i in problem.free
        )
        raise NothingMeetsBounds(
            f"according to its models nothing in {space} meets the bounds; the nearest has {said}"
        )
    best = found or surrogate.model.optimum(0, np.full(len(problem.bounds), np.inf), excluded=cut)
    values = surrogate.model.predict(row[None])[0]
    return ModelOptimum(row, values, _gap(values[0], -math.inf if best is None else _least(best)))


def _evolved(
    surrogate: AdditiveSurrogate, problem: SearchProblem, seeds: Population, cut: Population
) -> Population | None:
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
        minimised[np.isin(problem.encoding.keys(rows), problem.encoding.keys(cut))] = math.inf
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
