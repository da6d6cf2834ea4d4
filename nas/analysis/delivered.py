"""What candidates score once they are trained alone, as they are delivered: measured of those that were,
learned from these for all others. Between the supernet's score and training alone there may be a rung that
some have climbed, fine-tuning from the supernet's weights: what it tells is learned by the same model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nas.analysis.known import Known
from nas.evaluation import Evaluation, Split
from nas.objectives.quality import FINE_TUNED, QUALITY
from nas.objectives.value import Value
from nas.planning.plan import Plan
from nas.point import Point
from nas.surrogates.features import StructureFeatures
from nas.surrogates.gaussian_process import GaussianProcess, JointPosterior
from searchspaces.encoding import Population
from searchspaces.mixers import parse_mixer

__all__ = [
    "FEWEST",
    "DeliveredModel",
    "alone_scores",
    "delivered_model",
    "seed_deviation",
    "tuned_scores",
    "with_delivered",
]

FEWEST = 3
"""Architectures trained alone from which the others can be predicted."""

TOLD = 0.1
"""Times the deviation of all scores on the rung below that those of the trained ones differ by at least,
where they tell a scale."""

ENOUGH = 12
"""Of them, from which it is learned how structure changes what training alone gains: learned of eight, it
ranked others worse than the supernet's scores do (`docs/results.md`)."""

LARGEST = 400
"""Candidates from which it is learned how structure explains the supernet's scores."""

PART = 5_000
"""Candidates that are described at once."""

Blocks = Mapping[str, NDArray[np.float64]]
Rows = NDArray[np.int64]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class _Fit:
    """What some trained models teach: a multiple of the rung below, and a process of what is left."""

    slope: float
    process: GaussianProcess

    def told(self, blocks: Blocks, below: Vector) -> tuple[Vector, Vector]:
        """(n,) means and deviations of quality alone."""
        mean, std = self.process.mean_and_std(blocks)
        return mean + self.slope * below, np.hypot(std, self.process.noise_std)

    def mean(self, blocks: Blocks, below: Vector) -> Vector:
        """(n,) means alone."""
        return self.process.mean(blocks) + self.slope * below


class DeliveredModel:
    """Quality alone of every candidate, learned from those that were trained.

    A multiple of the score of the rung below, and a Gaussian process of what is left, linear in the
    supernet's score, in sizes (logarithms of parameters, MACs and layers) and in the layers' shares of each
    mixer, with an offset and what none of these tells as noise; all variances are learned (Kennedy & O'Hagan,
    2000, with the cheap score known of every candidate). The multiple is the ratio of both spreads: a few
    noisy trainings shall not reverse the order of the rung below. Of fewer than `ENOUGH` nothing of structure
    is learned. From so few it is too sure of itself: by how much more than it expects it misses those that it
    was not taught is added to every deviation.

    Args:
        blocks: (n, ·) features of every candidate, as `described` gives them.
        trained: (k,) rows of those that were trained alone, two at least.
        alone: (k,) their qualities.
        tuned: the same of a rung below, by which quality alone is explained as well: measured of its own
            candidates and predicted of all others, whose doubt is passed on (recursive co-kriging; Le Gratiet
            & Garnier, 2014). None where there is none.
    """

    def __init__(
        self, blocks: Blocks, trained: Rows, alone: Vector, tuned: DeliveredModel | None = None
    ) -> None:
        self.tuned = tuned
        learned = {"score": blocks["score"]} if len(trained) < ENOUGH else dict(blocks)
        self._below, self._doubts = blocks["score"][:, 0], np.zeros(len(blocks["score"]))
        if tuned is not None:
            self._below, self._doubts = tuned.known()
            learned["tuned"] = self._below[:, None]
        self._blocks, self._trained, self._alone = learned, trained, alone
        everything = np.arange(len(trained))
        self._fit = self._taught_by(everything)
        left_out = [self._taught_by(everything[everything != left]) for left in everything]
        rows = [trained[[left]] for left in everything]
        told = [fit.told(self._of(row), self._below[row]) for fit, row in zip(left_out, rows, strict=True)]
        mean, std = (np.concatenate(each) for each in zip(*told, strict=True))
        # Scale and offset are two degrees of freedom; nothing is left open by more than all of them differ.
        missed = (np.square(alone - mean) - np.square(std)).sum() / max(1, len(alone) - 2)
        self._unexplained = float(np.clip(missed, 0.0, alone.var(ddof=1)))
        self.held_out = mean, np.sqrt(np.square(std) + self._unexplained)

    held_out: tuple[Vector, Vector]
    """(k,) means and deviations of the trained ones, each by a model that was not taught it."""

    def predict(self) -> tuple[Vector, Vector]:
        """(n,) means and deviations of quality alone."""
        mean, std = self._fit.told(self._blocks, self._below)
        return mean, np.sqrt(np.square(std) + self._unexplained + np.square(self.undecided()))

    def known(self) -> tuple[Vector, Vector]:
        """The same, with what was measured, and no doubt of it, of those that it was measured of."""
        mean, std = self.predict()
        mean[self._trained], std[self._trained] = self._alone, 0.0
        return mean, std

    def posterior(self, rows: Rows) -> JointPosterior:
        """Of quality alone of these candidates."""
        told = self._fit.process.posterior(self._of(rows))
        noises = told.noises + self._unexplained + np.square(self.undecided()[rows])
        return replace(told, mean=told.mean + self._fit.slope * self._below[rows], noises=noises)

    def undecided(self) -> Vector:
        """(n,) deviations of quality alone that the rung below would settle: by how much means move where
        that rung's own move by a deviation."""
        if not self._doubts.any():
            return np.zeros(len(self._doubts))
        moved = {**self._blocks, "tuned": self._blocks["tuned"] + self._doubts[:, None]}
        usual = self._fit.mean(self._blocks, self._below)
        return np.abs(self._fit.mean(moved, self._below + self._doubts) - usual)

    def _taught_by(self, of: Rows) -> _Fit:
        rows, alone = self._trained[of], self._alone[of]
        spread, usual = self._below[rows].std(), self._below.std()
        # Scores that tie, as accuracies do, tell no scale.
        slope = float(alone.std() / spread) if spread > TOLD * usual else 1.0
        left = alone - slope * self._below[rows]
        return _Fit(slope, GaussianProcess(smooth=()).fit(self._of(rows), left))

    def _of(self, rows: Rows) -> Blocks:
        return {name: block[rows] for name, block in self._blocks.items()}


def described(plan: Plan, points: Sequence[Point]) -> Blocks:
    """(n, ·) features of points that the supernet has scored: the score, as it is and as structure explains
    it, which is less noisy; sizes; shares of each mixer."""
    population = plan.space.encode(point.architecture for point in points)
    sizes = [
        plan.costs.parameters(population),
        plan.costs.macs(population, plan.tokens),
        plan.space.count_layers(population),
    ]
    size = np.log(np.stack(sizes, axis=1).astype(float))
    score = np.array([point.validation for point in points], float)
    mixers = [[type(parse_mixer(layer.mixer)).name for layer in p.architecture.layers] for p in points]
    names = sorted({name for of in mixers for name in of})
    return {
        "score": np.stack([score, _explained(plan, population, size, score)], axis=1),
        "size": size,
        "mixers": np.array([[of.count(name) / len(of) for name in names] for of in mixers]),
    }


def _explained(
    plan: Plan, population: Population, size: NDArray[np.float64], score: Vector
) -> NDArray[np.float64]:
    """(n,) what structure tells of the supernet's scores: their noise averages out over many candidates."""
    features = StructureFeatures(plan.space)

    def blocks(rows: Rows) -> Blocks:
        return {**features.blocks(population[rows]), "size": size[rows]}

    everything = np.arange(len(score))
    taught = np.linspace(0, len(score) - 1, min(len(score), LARGEST)).round().astype(int)
    process = GaussianProcess(smooth=()).fit(blocks(taught), score[taught])
    # In parts: the features of a large job's candidates take more memory than all that is kept of them.
    parts = [everything[at : at + PART] for at in range(0, len(everything), PART)]
    return np.concatenate([process.mean(blocks(part)) for part in parts])


def alone_scores(job: Known, split: Split, points: Iterable[Point]) -> dict[str, list[Evaluation]]:
    """By digest, what those of the points score that were trained from scratch to one end: once a seed, the
    weights that are delivered first."""
    budget = job.plan.spec.budget.finalists
    scores: dict[str, list[Evaluation]] = {}
    for point in points:
        if point.tuned is None or budget.start != "scratch":
            continue
        others = [job.plan.finalist_digest(point.digest, seed) for seed in range(1, budget.seeds)]
        for weights in (point.tuned.weights, *others):
            found = job.store.evaluations(weights, split, [point.digest])
            scores.setdefault(point.digest, []).extend(e for e in found if math.isfinite(e.value))
    return {digest: found for digest, found in scores.items() if found}


def tuned_scores(job: Known) -> dict[str, float]:
    """By digest, the quality of what was fine-tuned from the supernet's weights as the job's rung below
    training alone has it; NaN of those that diverged. None where it has no such rung."""
    if not job.plan.spec.budget.finalists.tuning_steps:
        return {}
    found = job.store.evaluations(job.plan.tuning_digest, Split.VALIDATION)
    return {evaluation.digest: evaluation.value for evaluation in found}


def seed_deviation(scores: Iterable[Sequence[Evaluation]]) -> float:
    """Standard deviation of a model's quality over seeds of its training, pooled over the models that have
    several; 0 where none has."""
    variances = [np.var([e.value for e in of], ddof=1) for of in scores if len(of) > 1]
    return math.sqrt(np.mean(variances)) if variances else 0.0


def delivered_model(job: Known, points: Sequence[Point]) -> DeliveredModel | None:
    """Of points that the supernet has scored; None where fewer than `FEWEST` of them were trained alone."""
    scores = alone_scores(job, Split.VALIDATION, points)
    if len(scores) < FEWEST:
        return None
    blocks = described(job.plan, points)
    trained = [row for row, point in enumerate(points) if point.digest in scores]
    alone = [np.mean([e.value for e in scores[points[row].digest]]) for row in trained]
    values = {digest: value for digest, value in tuned_scores(job).items() if math.isfinite(value)}
    rows = [row for row, point in enumerate(points) if point.digest in values]
    tuned = None
    if len(rows) >= FEWEST:
        told = np.array([values[points[row].digest] for row in rows])
        tuned = DeliveredModel(blocks, np.array(rows), told)
    return DeliveredModel(blocks, np.array(trained), np.array(alone), tuned)


def with_delivered(job: Known, points: Sequence[Point]) -> list[Point]:
    """The points with what they score once trained alone (`Point.delivered`): measured where they were, the
    mean of all seeds, else predicted; what is predicted of one that was trained is by a model that was not
    taught it; and the same of the rung below, where there is one (`FINE_TUNED`). As they are where fewer
    than `FEWEST` were trained.
    """
    scored = [point for point in points if point.validation is not None]
    model = delivered_model(job, scored)
    if model is None:
        return list(points)
    scores = alone_scores(job, Split.VALIDATION, scored)
    deviation = seed_deviation(scores.values())
    alone = {digest: [e.value for e in of] for digest, of in scores.items()}
    errors = {digest: deviation / math.sqrt(len(of)) for digest, of in alone.items()} if deviation else {}
    told = {QUALITY: _values(model, scored, alone, errors)}
    if model.tuned is not None:
        tuned = {digest: [value] for digest, value in tuned_scores(job).items() if math.isfinite(value)}
        told[FINE_TUNED] = _values(model.tuned, scored, tuned, {})
    return [
        replace(
            point, values={**point.values, **{(kind, None): of[point.digest] for kind, of in told.items()}}
        )
        if point.validation is not None
        else point
        for point in points
    ]


def _values(
    model: DeliveredModel,
    points: Sequence[Point],
    measured: Mapping[str, Sequence[float]],
    errors: Mapping[str, float],
) -> dict[str, Value]:
    """By digest, what points score by a model: measured where they were, else predicted."""
    values = {point.digest: Value(mean, std) for point, mean, std in _together(points, model.predict())}
    trained = [point for point in points if point.digest in measured]
    for point, mean, std in _together(trained, model.held_out):
        known = float(np.mean(measured[point.digest]))
        values[point.digest] = Value(mean, std, known, errors.get(point.digest))
    return values


def _together(points: Sequence[Point], told: tuple[Vector, Vector]) -> Iterable[tuple[Point, float, float]]:
    return zip(points, told[0].tolist(), told[1].tolist(), strict=True)
