"""Which candidates to train alone next."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from nas.analysis.delivered import delivered_model
from nas.analysis.known import Known
from nas.objectives import Source
from nas.point import Point
from nas.problem import Values
from nas.strategies.dominance import best_first
from nas.surrogates.acquisition import ExpectedHypervolumeImprovement
from nas.surrogates.gaussian_process import JointPosterior

__all__ = ["most_improving", "over_everything", "over_the_front", "published"]

POOL = 400
"""Candidates that are weighed, the best predicted ones: time and memory are quadratic in their number."""


def over_the_front(job: Known, points: Sequence[Point], count: int) -> list[Point]:
    """So many members of the front, evenly from the best in quality to the worst (the fastest)."""
    return _spread([point for point in points if point.on_front], count, job.plan.task.direction.sign)


def published(job: Known, points: Sequence[Point], count: int) -> list[Point]:
    """So many of the published designs: those within the job's bounds that fewest others beat by the
    supernet's scores come first, and of these the most different."""
    presets = [point for point in points if point.preset is not None]
    values = _minimised(job, presets)
    known = np.flatnonzero(np.isfinite(values).all(1))
    over = np.maximum(values[known] - _bounds(job), 0.0).sum(1)
    return [presets[known[row]] for row in best_first(values[known], over, count)]


def over_everything(job: Known, points: Sequence[Point], count: int, presets: int) -> list[Point]:
    """So many published designs, and so many candidates that the search found, half of them on the front,
    half off it; all from the best to the worst. Of the designs MatFormer's come first where they are no more
    than half: what it claims of nested widths holds of all of these together."""
    sign = job.plan.task.direction.sign
    scored = [point for point in points if point.validation is not None]
    nested = [point for point in scored if point.preset and point.preset.startswith("matformer")]
    nested = nested if len(nested) <= presets // 2 else []
    further = [point for point in scored if point.preset is not None and point not in nested]
    designs = nested + _spread(further, presets - len(nested), sign)
    found = [point for point in scored if point.preset is None]
    members = _spread([point for point in found if point.on_front], (count + 1) // 2, sign)
    others = _spread([point for point in found if not point.on_front], count - len(members), sign)
    return [*designs, *members, *others]


def _spread(points: Sequence[Point], count: int, sign: int) -> list[Point]:
    ordered = sorted(points, key=lambda point: sign * _known(point))
    return [ordered[round(at)] for at in np.linspace(0, len(ordered) - 1, min(count, len(ordered)))]


def _known(point: Point) -> float:
    return math.inf if point.quality is None else point.quality


def most_improving(
    job: Known, points: Sequence[Point], count: int, excluded: Collection[str] = ()
) -> list[Point]:
    """So many candidates, each with the largest expected improvement of the front of models trained alone
    (expected hypervolume improvement; the next are chosen as if those before had ended as predicted,
    Ginsbourger et al., 2010), for what its training costs where the budget is of minutes.

    Candidates have to stand beside published designs. What is worse than all that were trained, in any
    objective, is left out, and where there are enough others so is what is predicted to be worse, by more
    than a deviation, than some published design that is better in nothing but quality.

    Args:
        points: as `with_delivered` gives them.
        excluded: digests that are not to be trained (again).
    """
    points = [point for point in points if point.validation is not None]
    model = delivered_model(job, points)
    if model is None:
        return over_the_front(job, [p for p in points if p.digest not in excluded], count)
    values = _minimised(job, points)
    quality = next(i for i, o in enumerate(job.plan.objectives) if o.source is Source.EVALUATED)
    alone = np.array([p.delivered is not None and p.delivered.measured is not None for p in points])
    known = np.array([point.preset is not None for point in points])
    reference = np.minimum(values[alone].max(0), _bounds(job))
    asked = ~known & ~alone & [point.digest not in excluded for point in points]
    usable = np.isfinite(values).all(1) & (np.delete(values - reference, quality, 1) <= 0).all(1)
    rows = np.flatnonzero(asked & usable)
    rows = rows[np.argsort(values[rows, quality], kind="stable")][:POOL]
    if not len(rows) or count < 1:
        return []
    std = _deviations(model.posterior(rows))
    beside = _best_beside(values[alone & known], values[rows], quality)
    promising = values[rows, quality] - std <= beside
    rows = rows[promising] if promising.sum() >= count else rows
    posterior = model.posterior(rows)
    improvement = ExpectedHypervolumeImprovement(values[alone], reference, values[rows], quality)
    costs = _training_costs(job, [points[row] for row in rows])
    chosen: list[int] = []
    while len(chosen) < min(count, len(rows)):
        uncertain = np.zeros_like(values[rows])
        uncertain[:, quality] = _deviations(posterior)
        gain = improvement.of(uncertain) / costs
        gain[chosen] = -1.0
        best = int(gain.argmax())
        chosen.append(best)
        improvement.attain(values[rows[best]])
        posterior = posterior.conditioned(best, 0)
    return [points[row] for row in rows[chosen]]


def _deviations(posterior: JointPosterior) -> np.ndarray:
    """(n,) of what each would score."""
    return np.sqrt(np.maximum(np.diag(posterior.covariance), 0.0) + posterior.noises)


def _minimised(job: Known, points: Sequence[Point]) -> Values:
    """(n, objectives) values, smaller ones better; NaN where one is unknown."""
    objectives = job.plan.objectives
    rows = [[o.direction.sign * point.value(o) for o in objectives] for point in points]
    return np.array(rows, float).reshape(len(points), len(objectives))


def _bounds(job: Known) -> np.ndarray:
    """(objectives,) what minimised values may be at most."""
    asked = [(o.direction.sign, o.bound) for o in job.plan.objectives]
    return np.array([math.inf if bound is None else sign * bound for sign, bound in asked])


def _best_beside(published: Values, candidates: Values, quality: int) -> np.ndarray:
    """(n,) the best quality of the published designs that are no better than a candidate in anything else;
    infinite where there is none."""
    others = np.delete(published, quality, 1), np.delete(candidates, quality, 1)
    beside = (others[0][None] >= others[1][:, None]).all(2)
    return np.where(beside, published[:, quality], np.inf).min(1, initial=np.inf)


def _training_costs(job: Known, points: Sequence[Point]) -> np.ndarray:
    """(n,) of training each alone, in any unit: its products where minutes are paid for, else 1."""
    if not points or job.plan.spec.budget.finalists.minutes is None:
        return np.ones(len(points))
    space = job.plan.space
    return job.plan.costs.macs(space.encode(p.architecture for p in points), space.spec.context).astype(float)
