"""A job's points: every evaluated candidate, what was predicted of it and what was measured."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from nas.analysis.candidates import Candidates
from nas.analysis.known import Known
from nas.evaluation import Split
from nas.front import Latency, Point, mark_front

__all__ = ["evaluated_points"]


def evaluated_points(context: Known, candidates: Candidates) -> list[Point]:
    """Every candidate that the supernet has scored, with the front marked by the best-known values.

    A latency's prediction is that of `candidates` until the point is measured; from then on it stays
    what it was before the measurement could teach the predictor. What was measured is what the store says
    of it now: it may have been measured again since.
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
    counts = {name: values.tolist() for (name, _), values in plan.counts(population).items()}
    latencies = _latencies(context, candidates, population, list(architectures), stored)
    points = [
        Point(
            digest=digest,
            architecture=architecture,
            validation=quality[digest],
            test=test[digest] if math.isfinite(test.get(digest, math.nan)) else None,
            parameters=counts["parameters"][row],
            macs=counts["macs"][row],
            state_bytes=counts["state_bytes"][row],
            latency_ms=latencies[row],
            preset=names.get(digest),
        )
        for row, (digest, architecture) in enumerate(architectures.items())
    ]
    return mark_front(points, plan.objectives)


def _latencies(
    context: Known,
    candidates: Candidates,
    population: np.ndarray,
    digests: list[str],
    stored: dict[str, Point],
) -> list[dict[str, Latency]]:
    rows: list[dict[str, Latency]] = [{} for _ in digests]
    for target, prediction in candidates.predict(population).items():
        measured = {m.digest: m for m in context.store.measurements(target, digests)}
        for row, digest in enumerate(digests):
            earlier = stored[digest].latency_ms.get(str(target)) if digest in stored else None
            predicted = Latency(float(prediction.mean[row]), float(prediction.std[row]))
            measurement = measured.get(digest)
            rows[row][str(target)] = (
                predicted
                if measurement is None
                else replace(
                    earlier or predicted,
                    measured=measurement.corrected.latency_ms,
                    measured_std=measurement.corrected.error_ms,
                    slowdown=measurement.slowdown,
                )
            )
    return rows
