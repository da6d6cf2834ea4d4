"""Between the nouns of this project and their messages: the only module that knows how one is the other.

Every `X_to_message` has an inverse `X_from_message`; `tests/nas/service/test_wire_convert.py` holds them to
it over every field and every member of every enum. A message from a peer is not trusted: what cannot be
a value raises `Incompatible`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from enum import StrEnum
from typing import Any, TypeVar

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from nas.comparison import Comparison, Difference
from nas.errors import Incompatible, InvalidSpec
from nas.front import FineTuned, Front, Point, Scope
from nas.job import Event, EventKind, Job, JobStatus, TargetProfile
from nas.objectives import Direction, Objective, Source
from nas.objectives.objective import Key
from nas.objectives.value import Value
from nas.optimum import Optimum
from nas.rpc.v1 import service_pb2 as pb
from nas.service.wire.version import check_point_form
from nas.spec import JobSpec, StageName, load_job_spec
from searchspaces.architecture import Architecture, Layer
from workers.measurement import Correction, Measurement, MeasurementError
from workers.target import Phase, Target, Workload

__all__ = [
    "ENUMS",
    "architecture_from_message",
    "architecture_to_message",
    "comparison_from_message",
    "comparison_to_message",
    "document",
    "event_from_message",
    "event_to_message",
    "front_from_messages",
    "front_header_to_message",
    "job_from_message",
    "job_to_message",
    "measurement_from_message",
    "measurement_to_message",
    "member_of",
    "number_of",
    "optimum_from_message",
    "optimum_to_message",
    "point_from_message",
    "point_to_message",
    "profile_from_message",
    "profile_to_message",
    "spec_from_text",
    "spec_to_text",
    "target_from_message",
    "target_to_message",
    "text",
]

E = TypeVar("E", bound=StrEnum)

ENUMS: Mapping[type[StrEnum], tuple[EnumTypeWrapper, str]] = {
    JobStatus: (pb.JobStatus, "JOB_STATUS_"),
    StageName: (pb.StageName, "STAGE_NAME_"),
    EventKind: (pb.EventKind, "EVENT_KIND_"),
    Phase: (pb.Phase, "PHASE_"),
    Direction: (pb.Direction, "DIRECTION_"),
    Source: (pb.Source, "SOURCE_"),
    Scope: (pb.Scope, "SCOPE_"),
}


def number_of(member: StrEnum) -> Any:
    """A member's number in its proto enum, which has the same names behind a prefix."""
    wrapper, prefix = ENUMS[type(member)]
    return wrapper.Value(prefix + member.name)


def member_of(kind: type[E], number: int) -> E:
    """Inverse of `number_of`.

    Raises:
        Incompatible: this version knows no such member.
    """
    wrapper, prefix = ENUMS[kind]
    try:
        return kind[wrapper.Name(number).removeprefix(prefix)]
    except (KeyError, ValueError) as error:
        accepted = ", ".join(kind.__members__)
        raise Incompatible(f"no {kind.__name__} of number {number}; known here: {accepted}") from error


# Documents
def text(value: Any) -> str:
    """Plain data as JSON text."""
    return json.dumps(value, separators=(",", ":"))


def document(value: str, what: str) -> Any:
    """Plain data from JSON text.

    Raises:
        Incompatible: it is not JSON.
    """
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise Incompatible(f"{what} is not JSON: {error}") from error


# Jobs
def spec_to_text(spec: JobSpec) -> str:
    """A spec as the JSON text of its job file."""
    return spec.model_dump_json()


def spec_from_text(value: str) -> JobSpec:
    """Inverse of `spec_to_text`, of a spec that its service has accepted.

    Raises:
        Incompatible: the service knows more than this version does.
    """
    try:
        return load_job_spec(document(value, "a job's spec"))
    except InvalidSpec as error:
        raise Incompatible(f"the service's job is not one here: {error}") from error


def job_to_message(job: Job) -> pb.Job:
    """Inverse of `job_from_message`."""
    return pb.Job(
        id=job.id,
        spec_json=spec_to_text(job.spec),
        status=number_of(job.status),
        stage=number_of(job.stage) if job.stage else pb.STAGE_NAME_UNSPECIFIED,
        error=job.error,
        created_at=job.created_at,
        updated_at=job.updated_at,
        error_kind=job.error_kind,
        last_event=job.last_event,
    )


def job_from_message(message: pb.Job) -> Job:
    """Inverse of `job_to_message`."""
    return Job(
        id=message.id,
        spec=spec_from_text(message.spec_json),
        status=member_of(JobStatus, message.status),
        stage=_stage(message.stage),
        error=message.error if message.HasField("error") else None,
        created_at=message.created_at,
        updated_at=message.updated_at,
        error_kind=message.error_kind if message.HasField("error_kind") else None,
        last_event=message.last_event,
    )


def _stage(number: int) -> StageName | None:
    return None if number == pb.STAGE_NAME_UNSPECIFIED else member_of(StageName, number)


def event_to_message(event: Event) -> pb.Event:
    """Inverse of `event_from_message`."""
    return pb.Event(
        kind=number_of(event.kind),
        stage=number_of(event.stage) if event.stage else pb.STAGE_NAME_UNSPECIFIED,
        message=event.message,
        done=event.done,
        total=event.total,
        data_json=text(dict(event.data)),
        sequence=event.sequence,
        time=event.time,
    )


def event_from_message(message: pb.Event) -> Event:
    """Inverse of `event_to_message`."""
    return Event(
        kind=member_of(EventKind, message.kind),
        stage=_stage(message.stage),
        message=message.message,
        done=message.done,
        total=message.total,
        data=document(message.data_json, "an event's data"),
        sequence=message.sequence,
        time=message.time,
    )


# Targets and architectures
def target_to_message(target: Target) -> pb.Target:
    """Inverse of `target_from_message`."""
    workload = target.workload
    return pb.Target(
        device=target.device,
        runtime=target.runtime,
        dtype=target.dtype,
        threads=target.threads,
        workload=pb.Workload(
            phase=number_of(workload.phase),
            batch=workload.batch,
            tokens=workload.tokens,
        ),
    )


def target_from_message(message: pb.Target) -> Target:
    """Inverse of `target_to_message`."""
    try:
        workload = Workload(
            phase=member_of(Phase, message.workload.phase),
            batch=message.workload.batch,
            tokens=message.workload.tokens,
        )
        return Target(message.device, message.runtime, message.dtype, message.threads, workload)
    except ValueError as error:
        raise Incompatible(f"not a target: {error}") from error


def architecture_to_message(architecture: Architecture) -> pb.Architecture:
    """Inverse of `architecture_from_message`."""
    return pb.Architecture(
        vocabulary=architecture.vocabulary,
        width=architecture.width,
        layers=[pb.Layer(**layer.to_dict()) for layer in architecture.layers],
    )


def architecture_from_message(message: pb.Architecture) -> Architecture:
    """Inverse of `architecture_to_message`."""
    layers = tuple(
        Layer(layer.mixer, layer.heads, layer.channel, layer.ratio, layer.conv, layer.kv_heads)
        for layer in message.layers
    )
    return Architecture(message.vocabulary, message.width, layers)


# Measurements
_MEASURED = (
    "spread_ms",
    "wall_ms",
    "reference_ms",
    "drift",
    "peak_memory_bytes",
    "repeats",
    "rejected",
    "noisy",
    "calls",
    "conditions",
    "measured_at",
)
"""Fields of a measurement that carry one name and one meaning on both sides."""


def measurement_to_message(architecture: Architecture, measurement: Measurement) -> pb.Measurement:
    """Inverse of `measurement_from_message`; the target is the request's."""
    message = pb.Measurement(
        architecture=architecture_to_message(architecture),
        latency_ms=measurement.corrected.latency_ms,
        error_ms=measurement.corrected.error_ms,
        slowdown=measurement.slowdown,
        **{name: getattr(measurement, name) for name in _MEASURED},
    )
    if measurement.correction is not None:
        message.first.CopyFrom(pb.Reading(latency_ms=measurement.latency_ms, error_ms=measurement.error_ms))
    return message


def measurement_from_message(message: pb.Measurement, target: Target) -> tuple[Architecture, Measurement]:
    """Inverse of `measurement_to_message`, of a target that was asked for."""
    architecture = architecture_from_message(message.architecture)
    corrected = message.HasField("first")
    first = message.first if corrected else message
    try:
        return architecture, Measurement(
            digest=architecture.digest,
            target=target,
            latency_ms=first.latency_ms,
            error_ms=first.error_ms,
            correction=Correction(message.latency_ms, message.error_ms, message.slowdown)
            if corrected
            else None,
            **{name: getattr(message, name) for name in _MEASURED},
        )
    except MeasurementError as error:
        raise Incompatible(f"not a measurement: {error}") from error


# Fronts
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


# Profiles
def profile_to_message(profile: TargetProfile) -> pb.TargetProfile:
    """Inverse of `profile_from_message`."""
    numbers = {name: value for name, value in profile.to_dict().items() if name != "target"}
    return pb.TargetProfile(target=target_to_message(profile.target), **numbers)


def profile_from_message(message: pb.TargetProfile) -> TargetProfile:
    """Inverse of `profile_to_message`."""
    return TargetProfile(
        target=target_from_message(message.target),
        predictor=message.predictor,
        measured=message.measured,
        held_out=message.held_out,
        mape=message.mape,
        within_10=message.within_10,
        within_5=message.within_5,
        spearman=message.spearman,
        coverage_90=message.coverage_90,
        single_blocks=message.single_blocks,
    )
