"""Jobs, their specs, events and profiles."""

from __future__ import annotations

from nas.errors import InvalidSpec
from nas.job import Event, EventKind, Job, JobStatus, TargetProfile
from nas.planning.limits import Limits
from nas.rpc.v1 import service_pb2 as pb
from nas.service.wire.convert.plain import document, member_of, number_of, text
from nas.service.wire.convert.targets import target_from_message, target_to_message
from nas.service.wire.version import unknown
from nas.spec import JobSpec, StageName, load_job_spec

__all__ = [
    "event_from_message",
    "event_to_message",
    "job_from_message",
    "job_to_message",
    "limits_from_message",
    "limits_to_message",
    "profile_from_message",
    "profile_to_message",
    "spec_from_text",
    "spec_to_text",
]


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
        raise unknown(f"a job's spec ({error})", "what this version's job files say") from error


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
        owner=job.owner,
        group=job.group,
        shared=job.shared,
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
        owner=message.owner,
        group=message.group,
        shared=message.shared,
    )


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


def _stage(number: int) -> StageName | None:
    return None if number == pb.STAGE_NAME_UNSPECIFIED else member_of(StageName, number)


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


def limits_to_message(limits: Limits) -> pb.GetLimitsResponse:
    """Inverse of `limits_from_message`."""
    return pb.GetLimitsResponse(memory_bytes=limits.memory_bytes, tokens=limits.tokens)


def limits_from_message(message: pb.GetLimitsResponse) -> Limits:
    """Inverse of `limits_to_message`."""
    return Limits(
        message.memory_bytes if message.HasField("memory_bytes") else None,
        message.tokens if message.HasField("tokens") else None,
    )
