"""A job's points: every evaluated candidate, what was predicted of it and what was measured."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from nas.analysis.candidates import Candidates
from nas.analysis.converted import with_converted
from nas.analysis.delivered import with_delivered
from nas.analysis.known import Known
from nas.analysis.sessions import session_error
from nas.evaluation import Split
from nas.front import mark_front
from nas.objectives import Objective
from nas.objectives.kind import Observation, measured_kinds
from nas.objectives.objective import Key
from nas.objectives.value import Value
from nas.point import Point

__all__ = ["as_delivered", "evaluated_points", "mark_verified", "mark_without"]


def evaluated_points(context: Known, candidates: Candidates) -> list[Point]:
    """Every candidate that the supernet has scored, with the front marked by the best-known values; where
    some were trained alone, by what each scores so.

    A prediction is that of `candidates` until the point is measured; from then on it stays what it was
    before the measurement could teach the predictor. What was measured is what the store says
    of it now: it may have been measured again since; its standard error includes what sessions of the device
    differ by.
    """
    plan, store = context.plan, context.store
    scored = store.evaluations(plan.supernet_digest, Split.VALIDATION)
    quality = {e.digest: e.value for e in scored if math.isfinite(e.value)}
    architectures = {
        digest: architecture
        for digest, architecture in store.architectures(quality).items()
        if plan.space.contains(architecture)
    }
    if not architectures:
        return []
    test = {e.digest: e.value for e in store.evaluations(plan.supernet_digest, Split.TEST, architectures)}
    stored = {point.digest: point for point in store.points(context.job_id)}
    # Designs may coincide at small depths: the first name, the plainer one, stays.
    names = {preset.architecture.digest: name for name, preset in reversed(plan.presets.items())}
    population = plan.space.encode(architectures.values())
    values = _values(context, candidates, population, list(architectures), stored)
    points = [
        Point(
            digest=digest,
            architecture=architecture,
            validation=quality[digest],
            test=test[digest] if math.isfinite(test.get(digest, math.nan)) else None,
            values=values[row],
            preset=names.get(digest),
            tuned=stored[digest].tuned if digest in stored else None,
        )
        for row, (digest, architecture) in enumerate(architectures.items())
    ]
    return mark_front(as_delivered(context, points), plan.objectives)


def as_delivered(context: Known, points: Sequence[Point]) -> list[Point]:
    """The points with what they score alone, and as their targets run them."""
    return with_converted(context, with_delivered(context, points))


def mark_verified(points: Sequence[Point], objectives: Sequence[Objective]) -> list[Point]:
    """The points with the front marked among measured ones alone."""
    return mark_without({point.digest for point in points if not point.verified}, points, objectives)


def mark_without(
    left_out: Collection[str], points: Sequence[Point], objectives: Sequence[Objective]
) -> list[Point]:
    """The points with the front marked among all but these digests."""
    marked = {p.digest: p for p in mark_front([p for p in points if p.digest not in left_out], objectives)}
    return [marked.get(point.digest, replace(point, on_front=False)) for point in points]


def _values(
    context: Known,
    candidates: Candidates,
    population: np.ndarray,
    digests: list[str],
    stored: dict[str, Point],
) -> list[dict[Key, Value]]:
    rows = candidates.unmeasured(population)
    place = {digest: row for row, digest in enumerate(digests)}
    for target in context.plan.targets:
        between = session_error(context.store, target)
        for measurement in context.store.measurements(target, digests):
            row, earlier = rows[place[measurement.digest]], stored.get(measurement.digest)
            for kind in measured_kinds():
                key, observation = (kind.name, str(target)), kind.observed(measurement)
                if key in row and observation is not None:
                    known = earlier.values.get(key) if earlier else None
                    row[key] = (known or row[key]).observed(observation.in_any_session(between.relative))
    for axis in context.plan.combined:
        for digest, row in zip(digests, rows, strict=True):
            observation = _summed(context.plan.terms(axis), row)
            if axis.key in row and observation is not None:
                known = stored[digest].values.get(axis.key) if digest in stored else None
                row[axis.key] = (known or row[axis.key]).observed(observation)
    return rows


def _summed(terms: Sequence[tuple[float, Key]], row: Mapping[Key, Value]) -> Observation | None:
    """What devices said of a sum; None where one of them has not said anything."""
    parts = [(factor, row.get(key)) for factor, key in terms]
    known = [(f, v.measured, v.measured_std) for f, v in parts if v is not None and v.measured is not None]
    if len(known) < len(parts):
        return None
    deviations = [factor * std for factor, _, std in known if std is not None]
    std = math.hypot(*deviations) if len(deviations) == len(known) else None
    return Observation(sum(factor * measured for factor, measured, _ in known), std)
