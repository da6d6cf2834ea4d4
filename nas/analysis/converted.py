"""What points score as they run on their targets, in number formats other than that of training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from nas.analysis.known import Known
from nas.evaluation import SPLITS, Conversion, Split
from nas.objectives.objective import Key
from nas.objectives.value import Value
from nas.point import SCORES, Point

__all__ = ["conversions", "with_converted"]

KINDS = {Split(split): kind for kind, split in SCORES.items()}


def conversions(job: Known) -> list[Conversion]:
    """Those of the job's targets, each once."""
    return list(dict.fromkeys(c for target in job.plan.targets if (c := Conversion.of(target)) is not None))


def with_converted(job: Known, points: Sequence[Point]) -> list[Point]:
    """The points with what each scores on every target, `Point.converted`, once it is known of some what
    conversion changes: measured of a file that was evaluated, predicted of the others to change by as much as
    those on the average. As they are where all targets compute in the number format of training, or nothing
    is known yet.

    Args:
        points: with what they score alone (`with_delivered`).
    """
    changes = {
        (conversion, split): found
        for conversion in conversions(job)
        for split in SPLITS
        if (found := _Changes(_known_changes(job, points, conversion, split))).known
    }
    if not changes:
        return list(points)
    supernet = job.plan.supernet_digest
    targets = {str(target): Conversion.of(target) for target in job.plan.targets}

    def values(point: Point) -> dict[Key, Value]:
        told = {key: value for key, value in point.values.items() if not (key[0] in SCORES and key[1])}
        for split, kind in KINDS.items():
            before, weights = _before(point, split, supernet)
            if before is None:
                continue
            for text, conversion in targets.items():
                if conversion is None:
                    told[kind, text] = before
                elif (conversion, split) in changes:
                    told[kind, text] = changes[conversion, split].of(point, before, weights, supernet)
        return told

    return [replace(point, values=values(point)) for point in points]


def _before(point: Point, split: Split, supernet: str) -> tuple[Value | None, str]:
    """What a point scores in the number format of training, as it is delivered, and with which weights."""
    delivered, tuned = point.delivered, point.tuned
    if split is Split.VALIDATION and delivered is not None:
        return delivered, supernet if tuned is None else tuned.weights
    if split is Split.TEST and tuned is not None and tuned.test is not None:
        return Value(tuned.test, 0.0, tuned.test), tuned.weights
    score = point.validation if split is Split.VALIDATION else point.test
    return None if score is None else Value(score, 0.0, score), supernet


def _known_changes(
    job: Known, points: Sequence[Point], conversion: Conversion, split: Split
) -> dict[tuple[str, str], float]:
    """By digests of architecture and weights, what was scored both ways."""
    changes: dict[tuple[str, str], float] = {}
    own = {point.tuned.weights: [point.digest] for point in points if point.tuned is not None}
    for weights, digests in {job.plan.supernet_digest: None, **own}.items():
        after = job.store.evaluations(conversion.weights(weights), split, digests)
        scores = {e.digest: e.value for e in after if math.isfinite(e.value)}
        before = job.store.evaluations(weights, split, scores) if scores else []
        changes |= {(e.digest, weights): scores[e.digest] - e.value for e in before if math.isfinite(e.value)}
    return changes


@dataclass(frozen=True)
class _Changes:
    """By how much a conversion changes what points score on a split.

    Attributes:
        known: by digests of architecture and weights.
    """

    known: Mapping[tuple[str, str], float]

    @cached_property
    def usual(self) -> tuple[float, float]:
        """Mean and standard deviation of those that are known; of a single one, as much as it is."""
        changes = np.array(list(self.known.values()))
        return float(changes.mean()), float(changes.std(ddof=1) if len(changes) > 1 else abs(changes[0]))

    def of(self, point: Point, before: Value, weights: str, supernet: str) -> Value:
        """What a point scores afterwards, which scored so with these weights before."""
        mean, std = self.usual
        own = self.known.get((point.digest, weights))
        after = replace(
            before,
            predicted=before.predicted + mean,
            predicted_std=math.hypot(before.predicted_std or 0.0, std),
        )
        if before.measured is not None and own is not None:
            return replace(after, measured=before.measured + own)
        expected = self.known.get((point.digest, supernet), mean)
        doubt = before.predicted_std if before.measured is None else before.measured_std
        return Value(before.best_known + expected, math.hypot(doubt or 0.0, std))
