"""Between the nouns and their rows. A row is a mapping of column names to values."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from sqlalchemy import Row

from nas.evaluation import Evaluation, Split
from nas.job import Event, EventKind, Job, JobStatus
from nas.objectives.objective import Key
from nas.objectives.quality import QUALITY
from nas.objectives.value import Value, Values
from nas.point import FineTuned, Point
from nas.spec import JobSpec, StageName
from nas.store.store import Forgotten, Repeat, SupernetRecord
from nas.store.tables import ArchitectureRow, PointRow, PointValueRow
from searchspaces.architecture import Architecture
from workers.measurement import Correction, Measurement, Reading
from workers.target import Target

__all__ = [
    "POINT_COLUMNS",
    "VALUE_COLUMNS",
    "architecture_from",
    "correction_row",
    "evaluation_from",
    "evaluation_row",
    "event_from",
    "event_row",
    "extents_of",
    "forgotten_from",
    "job_from",
    "measurement_from",
    "measurement_row",
    "point_from",
    "point_row",
    "repeat_from",
    "supernet_from",
    "supernet_row",
    "value_row",
    "values_from",
]


def job_from(row: Row[Any], now: float | None = None) -> Job:
    """A job of its row.

    Args:
        now: by the clock that leases are held by; None where nobody can hold one yet.
    """
    running = row.status == JobStatus.RUNNING
    held = row.holder is not None and (now is None or row.held_until > now)
    return Job(
        id=row.id,
        spec=_spec_from(row.spec),
        status=JobStatus(row.status),
        stage=None if row.stage is None else StageName(row.stage),
        error=row.error,
        created_at=row.created_at,
        updated_at=row.updated_at,
        error_kind=row.error_kind,
        last_event=row.last_event,
        owner=row.owner,
        group=row.team,
        shared=row.shared,
        abandoned=running and not held,
    )


def _spec_from(text: str) -> JobSpec:
    """A spec as it was stored. Those without a recipe are from before there was a second one, those that do
    not say whether replacements are fitted from before they were; a minimum might once be above the maximum,
    and a rung stand below nothing."""
    data = json.loads(text)
    data["budget"]["train"].setdefault("recipe", 1)
    if data.get("start"):
        data["budget"]["library"].setdefault("fit", False)
    profile = data["budget"]["profile"]
    profile["minimum"] = min(profile["minimum"], profile["measurements"])
    finalists = data["budget"].get("finalists") or {}
    if finalists.get("tuning_steps") and not (finalists.get("count") or finalists.get("presets")):
        finalists["tuning_steps"] = 0
    return JobSpec.model_validate(data)


def event_row(event: Event) -> dict[str, Any]:
    """Of an event, but for its job."""
    return {
        "sequence": event.sequence,
        "time": event.time,
        "kind": str(event.kind),
        "stage": None if event.stage is None else str(event.stage),
        "message": event.message,
        "done": event.done,
        "total": event.total,
        "data": dict(event.data),
    }


def event_from(row: Row[Any]) -> Event:
    """Inverse of `event_row`."""
    return Event(
        kind=EventKind(row.kind),
        stage=None if row.stage is None else StageName(row.stage),
        message=row.message,
        done=row.done,
        total=row.total,
        data=row.data,
        sequence=row.sequence,
        time=row.time,
    )


def measurement_row(measurement: Measurement) -> dict[str, Any]:
    """Of a measurement, but for its target."""
    row = asdict(measurement)
    del row["target"], row["correction"]
    return {**row, **correction_row(measurement.correction)}


def correction_row(correction: Correction | None) -> dict[str, Any]:
    """The columns of a measurement that say what stands in for it, if anything does."""
    if correction is None:
        return {"corrected_ms": None, "corrected_error_ms": None, "slowdown": 1.0}
    return {
        "corrected_ms": correction.latency_ms,
        "corrected_error_ms": correction.error_ms,
        "slowdown": correction.slowdown,
    }


def forgotten_from(row: Row[Any]) -> Forgotten:
    """An entry of the journal of its row, which has the target's text too."""
    return Forgotten(
        Target.parse(row.text),
        row.digest,
        row.latency_ms,
        row.measured_at,
        row.forgotten_at,
        row.by,
        row.why,
    )


def repeat_from(row: Row[Any]) -> Repeat:
    """A repeat of its row, which has the target's text and what is repeated too."""
    first = (row.first_ms, row.first_error_ms)
    if row.corrected_ms is not None:
        first = (row.corrected_ms, row.corrected_error_ms)
    again = Reading(row.latency_ms, row.error_ms)
    return Repeat(Target.parse(row.text), row.digest, Reading(*first), again)


def measurement_from(row: Row[Any], target: Target) -> Measurement:
    """Inverse of `measurement_row`."""
    corrected = row.corrected_ms is not None
    return Measurement(
        digest=row.digest,
        target=target,
        latency_ms=row.latency_ms,
        spread_ms=row.spread_ms,
        error_ms=row.error_ms,
        wall_ms=row.wall_ms,
        reference_ms=row.reference_ms,
        drift=row.drift,
        peak_memory_bytes=row.peak_memory_bytes,
        repeats=row.repeats,
        rejected=row.rejected,
        noisy=row.noisy,
        calls=row.calls,
        conditions=row.conditions,
        attention=row.attention,
        measured_at=row.measured_at,
        correction=Correction(row.corrected_ms, row.corrected_error_ms, row.slowdown) if corrected else None,
    )


def evaluation_row(evaluation: Evaluation) -> dict[str, Any]:
    """Of an evaluation; one that failed has no value (SQLite keeps no NaN)."""
    return {
        "supernet": evaluation.supernet,
        "digest": evaluation.digest,
        "split": str(evaluation.split),
        "share": evaluation.share,
        "value": None if math.isnan(evaluation.value) else evaluation.value,
        "seconds": evaluation.seconds,
        "sequences": list(evaluation.sequences) or None,
    }


def evaluation_from(row: Row[Any], supernet: str, split: Split, share: float) -> Evaluation:
    """Inverse of `evaluation_row`."""
    value = math.nan if row.value is None else row.value
    return Evaluation(supernet, row.digest, split, value, row.seconds, share, tuple(row.sequences or ()))


def supernet_row(record: SupernetRecord) -> dict[str, Any]:
    """Of a supernet."""
    return asdict(record)


def supernet_from(row: Row[Any]) -> SupernetRecord:
    """Inverse of `supernet_row`."""
    return SupernetRecord(**row._mapping)


@lru_cache(maxsize=10_000)
def architecture_from(text: str) -> Architecture:
    """Of its canonical JSON. Fronts are asked for again and again, and their architectures never change."""
    return Architecture.from_dict(json.loads(text))


def point_row(point: Point) -> dict[str, Any]:
    """Of a point, but for its job, its architecture and its values."""
    return {
        "digest": point.digest,
        "validation": point.validation,
        "test": point.test,
        "preset": point.preset,
        "on_front": point.on_front,
        "tuned_weights": None if point.tuned is None else point.tuned.weights,
        "tuned_steps": None if point.tuned is None else point.tuned.steps,
        "tuned_validation": None if point.tuned is None else point.tuned.validation,
        "tuned_test": None if point.tuned is None else point.tuned.test,
    }


POINT_COLUMNS = (
    PointRow.number,
    PointRow.digest,
    ArchitectureRow.architecture,
    PointRow.validation,
    PointRow.test,
    PointRow.preset,
    PointRow.on_front,
    PointRow.tuned_weights,
    PointRow.tuned_steps,
    PointRow.tuned_validation,
    PointRow.tuned_test,
)
"""What `point_from` reads, in this order: of thousands of rows, columns by their place take half the time."""


def point_from(row: Sequence[Any], values: Mapping[int, Values]) -> Point:
    """Inverse of `point_row`; values are by the numbers of points."""
    number, digest, architecture, validation, test, preset, on_front, *tuned = row
    return Point(
        digest=digest,
        architecture=architecture_from(architecture),
        validation=validation,
        test=test,
        values=values[number],
        preset=preset,
        on_front=on_front,
        tuned=None if tuned[0] is None else FineTuned(*tuned),
    )


def extents_of(points: Iterable[Point]) -> dict[Key, tuple[float, float]]:
    """The lowest and the highest that the points have of each objective; what none has is absent. Quality
    on a target is quality too."""
    known: dict[Key, list[float]] = {}
    for point in points:
        if point.validation is not None:
            known.setdefault((QUALITY, None), []).append(point.validation)
        for key, value in point.values.items():
            for objective in {key, (QUALITY, None)} if key[0] == QUALITY else {key}:
                known.setdefault(objective, []).append(value.best_known)
    return {key: (min(values), max(values)) for key, values in known.items()}


def value_row(value: Value) -> dict[str, Any]:
    """Of a value, but for its point and objective."""
    return {
        "predicted": value.predicted,
        "predicted_std": value.predicted_std,
        "measured": value.measured,
        "measured_std": value.measured_std,
        "slowdown": value.slowdown,
    }


VALUE_COLUMNS = (
    PointValueRow.point,
    PointValueRow.objective,
    PointValueRow.predicted,
    PointValueRow.predicted_std,
    PointValueRow.measured,
    PointValueRow.measured_std,
    PointValueRow.slowdown,
)
"""What `values_from` reads, in this order."""


def values_from(stored: Iterable[Sequence[Any]], keys: Mapping[int, Key]) -> dict[int, dict[Key, Value]]:
    """Inverse of `value_row` by the numbers of points; objectives are named by theirs."""
    values: defaultdict[int, dict[Key, Value]] = defaultdict(dict)
    for point, objective, *numbers in stored:
        values[point][keys[objective]] = Value(*numbers)
    return values
