"""Points and fronts, and what is answered with points."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from nas.comparison import Comparison, Difference
from nas.errors import Incompatible
from nas.front import Front
from nas.objectives import Direction, Objective, Source
from nas.objectives.objective import Key
from nas.objectives.value import Value
from nas.optimum import Optimum
from nas.point import FineTuned, Point
from nas.rpc.v1 import service_pb2 as pb
from nas.service.wire.convert.plain import member_of, number_of
from nas.service.wire.convert.targets import (
    architecture_from_message,
    architecture_to_message,
    target_from_message,
    target_to_message,
)
from nas.service.wire.version import check_point_form

__all__ = [
    "comparison_from_message",
    "comparison_to_message",
    "front_from_messages",
    "front_header_to_message",
    "optimum_from_message",
    "optimum_to_message",
    "point_from_message",
    "point_to_message",
]


def point_to_message(point: Point) -> pb.Point:
    """Inverse of `point_from_message`."""
    return pb.Point(
        digest=point.digest,
        architecture=architecture_to_message(point.architecture),
        validation=point.validation,
        test=point.test,
        values=[_value_to_message(key, value) for key, value in point.values.items()],
        preset=point.preset,
        on_front=point.on_front,
        tuned=None if point.tuned is None else pb.FineTuned(**asdict(point.tuned)),
    )


def point_from_message(message: pb.Point) -> Point:
    """Inverse of `point_to_message`.

    Raises:
        Incompatible: the service is of a version that sent points in another form.
    """
    check_point_form(message)
    return Point(
        digest=message.digest,
        architecture=architecture_from_message(message.architecture),
        validation=message.validation if message.HasField("validation") else None,
        test=message.test if message.HasField("test") else None,
        values=dict(map(_value_from_message, message.values)),
        preset=message.preset if message.HasField("preset") else None,
        on_front=message.on_front,
        tuned=_tuned_from_message(message.tuned) if message.HasField("tuned") else None,
    )


def _tuned_from_message(message: pb.FineTuned) -> FineTuned:
    return FineTuned(
        weights=message.weights,
        steps=message.steps,
        validation=message.validation,
        test=message.test if message.HasField("test") else None,
    )


def _value_to_message(key: Key, value: Value) -> pb.Value:
    kind, target = key
    return pb.Value(
        kind=kind,
        target=target,
        predicted=value.predicted,
        predicted_std=value.predicted_std,
        measured=value.measured,
        measured_std=value.measured_std,
        slowdown=value.slowdown,
    )


def _value_from_message(message: pb.Value) -> tuple[Key, Value]:
    try:
        value = Value(
            predicted=message.predicted,
            predicted_std=message.predicted_std if message.HasField("predicted_std") else None,
            measured=message.measured if message.HasField("measured") else None,
            measured_std=message.measured_std if message.HasField("measured_std") else None,
            slowdown=message.slowdown if message.HasField("slowdown") else 1.0,
        )
    except ValueError as error:
        raise Incompatible(f"not a value of {message.kind}: {error}") from error
    return (message.kind, message.target if message.HasField("target") else None), value


def front_header_to_message(front: Front) -> pb.FrontHeader:
    """Everything of a front but its points."""
    return pb.FrontHeader(
        job=front.job,
        space=front.space,
        task=front.task,
        metric=front.metric,
        direction=number_of(front.direction),
        targets=[target_to_message(target) for target in front.targets],
        objectives=[_objective_to_message(objective) for objective in front.objectives],
        evaluated=front.evaluated,
        extents=[pb.Extent() if e is None else pb.Extent(lowest=e[0], highest=e[1]) for e in front.extent],
    )


def front_from_messages(header: pb.FrontHeader, points: Iterable[pb.Point]) -> Front:
    """Inverse of `front_header_to_message` and `point_to_message`."""
    return Front(
        job=header.job,
        space=header.space,
        task=header.task,
        metric=header.metric,
        direction=member_of(Direction, header.direction),
        targets=tuple(target_from_message(target) for target in header.targets),
        objectives=tuple(_objective_from_message(objective) for objective in header.objectives),
        points=tuple(point_from_message(point) for point in points),
        evaluated=header.evaluated,
        extent=tuple((e.lowest, e.highest) if e.HasField("lowest") else None for e in header.extents),
    )


def _objective_to_message(objective: Objective) -> pb.Objective:
    return pb.Objective(
        name=objective.name,
        unit=objective.unit,
        direction=number_of(objective.direction),
        source=number_of(objective.source),
        bound=objective.bound,
        target=target_to_message(objective.target) if objective.target else None,
    )


def _objective_from_message(message: pb.Objective) -> Objective:
    return Objective(
        name=message.name,
        unit=message.unit,
        direction=member_of(Direction, message.direction),
        source=member_of(Source, message.source),
        bound=message.bound if message.HasField("bound") else None,
        target=target_from_message(message.target) if message.HasField("target") else None,
    )


def optimum_to_message(optimum: Optimum) -> pb.Optimum:
    """Inverse of `optimum_from_message`."""
    return pb.Optimum(
        point=point_to_message(optimum.point),
        quality=optimum.quality,
        quality_std=optimum.quality_std,
        gap=optimum.gap,
        exact=optimum.exact,
        evaluations=optimum.evaluations,
        seconds=optimum.seconds,
        measured=optimum.measured,
        refuted=optimum.refuted,
    )


def optimum_from_message(message: pb.Optimum) -> Optimum:
    """Inverse of `optimum_to_message`."""
    return Optimum(
        point=point_from_message(message.point),
        quality=message.quality,
        quality_std=message.quality_std,
        gap=message.gap,
        exact=message.exact,
        evaluations=message.evaluations,
        seconds=message.seconds,
        measured=message.measured,
        refuted=message.refuted,
    )


def comparison_to_message(comparison: Comparison) -> pb.Comparison:
    """Inverse of `comparison_from_message`."""
    difference = comparison.difference
    return pb.Comparison(
        target=target_to_message(comparison.target),
        found=comparison.found,
        baseline=comparison.baseline,
        preset=comparison.preset,
        found_ms=comparison.found_ms,
        baseline_ms=comparison.baseline_ms,
        found_test=comparison.found_test,
        baseline_test=comparison.baseline_test,
        difference=difference.mean,
        standard_error=difference.standard_error,
        sequences=difference.sequences,
        steps=comparison.steps,
    )


def comparison_from_message(message: pb.Comparison) -> Comparison:
    """Inverse of `comparison_to_message`."""
    return Comparison(
        target=target_from_message(message.target),
        found=message.found,
        baseline=message.baseline,
        preset=message.preset,
        found_ms=message.found_ms,
        baseline_ms=message.baseline_ms,
        found_test=message.found_test,
        baseline_test=message.baseline_test,
        difference=Difference(message.difference, message.standard_error, message.sequences),
        steps=message.steps,
    )
