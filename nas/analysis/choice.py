"""Which candidates to train next, alone or, where a job has that rung, fine-tuned from the supernet."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas.analysis.delivered import delivered_model, tuned_scores
from nas.analysis.known import Known
from nas.objectives import Source
from nas.point import Fidelity, Point
from nas.problem import Values
from nas.strategies.dominance import best_first
from nas.surrogates.acquisition import ExpectedHypervolumeImprovement
from nas.surrogates.gaussian_process import JointPosterior

__all__ = [
    "TRAININGS",
    "Training",
    "most_improving",
    "over_everything",
    "over_the_front",
    "published",
]

TRAININGS = (Fidelity.TUNED, Fidelity.ALONE)
"""What a candidate may be trained to, the cheaper one first."""

POOL = 400
"""Candidates that are weighed, the best predicted ones: time and memory are quadratic in their number."""


def over_the_front(job: Known, points: Sequence[Point], count: int) -> list[Point]:
    """So many members of the front, evenly from the best in quality to the worst (the fastest)."""
    return _spread([point for point in points if point.on_front], count, job.plan.task.direction.sign)


def published(job: Known, points: Sequence[Point], count: int) -> list[Point]:
    """So many of the published designs: those within the job's bounds that fewest others beat by the
    supernet's scores come first, and of these the most different. Before all of them comes the model that a
    job starts from: all that it finds is compared with that, and it is measured anyway."""
    presets = [point for point in points if point.preset is not None]
    values = _minimised(job, presets)
    known = np.flatnonzero(np.isfinite(values).all(1))
    over = np.maximum(values[known] - _bounds(job), 0.0).sum(1)
    designs = [presets[known[row]] for row in best_first(values[known], over)]
    return sorted(designs, key=lambda point: point.architecture != job.plan.parent)[:count]


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


@dataclass(frozen=True)
class Training:
    """A candidate, and what it is to be trained to."""

    point: Point
    fidelity: Fidelity


def most_improving(
    job: Known,
    points: Sequence[Point],
    count: int,
    excluded: Collection[str] = (),
    tunings: int = 0,
    rates: Mapping[Fidelity, float] | None = None,
) -> list[Training]:
    """So many trainings, each with the largest expected improvement of the front of models trained alone
    for its price (expected hypervolume improvement; the next are chosen as if those before had ended as
    predicted, Ginsbourger et al., 2010). A fine-tuning improves nothing by itself: it counts by the share of
    the candidate's deviation that it settles (augmented expected improvement; Huang et al., 2006).

    Candidates have to stand beside published designs. What is worse than all that were trained, in any
    objective, is left out, and where there are enough others so is what is predicted to be worse, by more
    than a deviation, than some published design that is better in nothing but quality.

    Args:
        points: as `with_delivered` gives them.
        excluded: digests that are not to be trained alone (again).
        tunings: fine-tunings among them, at most.
        rates: seconds that a step of so many multiply-accumulates takes, by fidelity; alike where unknown.
    """
    points = [point for point in points if point.validation is not None]
    model = delivered_model(job, points)
    if model is None:
        left = [p for p in points if p.digest not in excluded]
        return [Training(point, Fidelity.ALONE) for point in over_the_front(job, left, count)]
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
    prices = _prices(job, [points[row] for row in rows], rates or {})
    untuned = np.array([points[row].digest not in tuned_scores(job) for row in rows])
    settles = untuned * model.undecided()[rows]
    open_to = {Fidelity.ALONE: np.ones(len(rows), bool), Fidelity.TUNED: untuned}
    chosen: list[Training] = []
    while len(chosen) < min(count, len(rows)):
        uncertain, deviations = np.zeros_like(values[rows]), _deviations(posterior)
        uncertain[:, quality] = deviations
        gain = improvement.of(uncertain)
        shares = {Fidelity.ALONE: 1.0, Fidelity.TUNED: settles / np.maximum(deviations, 1e-12)}
        worth = {
            each: np.where(open_to[each], shares[each] * gain / prices[each], -1.0) for each in TRAININGS
        }
        tuned = sum(training.fidelity is Fidelity.TUNED for training in chosen)
        best = {each: int(worth[each].argmax()) for each in TRAININGS}
        fidelity = Fidelity.ALONE
        if tuned < tunings and worth[Fidelity.TUNED].max() > worth[Fidelity.ALONE].max():
            fidelity = Fidelity.TUNED
        at = best[fidelity]
        chosen.append(Training(points[rows[at]], fidelity))
        # What is fine-tuned now may be trained alone once that has told.
        open_to = {each: of & (np.arange(len(rows)) != at) for each, of in open_to.items()}
        if fidelity is Fidelity.ALONE:
            improvement.attain(values[rows[at]])
            posterior = posterior.conditioned(at, 0)
    return chosen


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


def _prices(
    job: Known, points: Sequence[Point], rates: Mapping[Fidelity, float]
) -> dict[Fidelity, np.ndarray]:
    """(n,) of each training: seconds, or in one unit of all where no training told any yet. All candidates
    cost alike where so many are trained, however long it takes."""
    budget, space = job.plan.spec.budget.finalists, job.plan.space
    steps = {Fidelity.ALONE: budget.steps * budget.seeds, Fidelity.TUNED: max(1, budget.tuning_steps)}
    work = np.ones(len(points))
    if points and budget.minutes is not None:
        rows = space.encode(point.architecture for point in points)
        work = job.plan.costs.macs(rows, space.spec.context).astype(float)
    known = max(rates.values(), default=1.0)
    return {each: steps[each] * rates.get(each, known) * work for each in TRAININGS}
