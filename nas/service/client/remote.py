"""A service elsewhere, over gRPC: the same calls, the same answers and the same errors."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from nas.analysis.sessions import SessionError
from nas.cloud import Cloud
from nas.comparison import Comparison
from nas.errors import InvalidSpec, NasError, ServiceUnavailable, StoreUnavailable, as_nas_error
from nas.front import Front, Scope
from nas.job import Event, Job, JobStatus, TargetProfile, Viewer
from nas.optimum import Optimum
from nas.planning.limits import Limits
from nas.point import Point
from nas.rpc.v1 import service_pb2 as pb
from nas.rpc.v1 import service_pb2_grpc as rpc
from nas.service.api import EventBatch, Service
from nas.service.identity import Identity, authorization
from nas.service.wire import convert
from nas.service.wire.faults import error_of_call
from nas.service.wire.transfer import receive_folder
from nas.service.wire.version import FORM, FORM_KEY
from nas.spec import JobSpec, load_job_spec
from nas.store import Forgotten
from searchspaces.architecture import Architecture
from searchspaces.errors import Problem, SpaceError
from searchspaces.space import load_space, space_names
from workers.connection import check_address
from workers.measurement import Measurement
from workers.target import Target
from workers.tls import ClientTls, TlsFileError

__all__ = ["RemoteService"]

A = TypeVar("A")

CALL_SECONDS = 30.0
"""Deadline of an ordinary call, its retries included."""

STOP_SECONDS = 120.0
"""Deadline of a call that waits for a job to stop: between two units of its work."""

FRONT_SECONDS = 120.0
EXTRACT_SECONDS = 900.0

OPTIMUM_SECONDS = 900.0
"""Deadline of an answer that may have to be measured and evaluated."""

HEALTH_SECONDS = 5.0

WATCH_SECONDS = 60.0
"""A watch is asked for again at least this often, so that none waits on a dead peer."""

PATIENCE_SECONDS = 300.0
"""A watch goes on trying to reach its service for this long."""

RETRIED = {
    "methodConfig": [
        {
            "name": [{"service": "nas.rpc.v1.SearchService"}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
"""Every call may be repeated: a submission carries a key, the others change nothing the second time."""

CLIENT_OPTIONS = (
    ("grpc.service_config", json.dumps(RETRIED)),
    ("grpc.max_receive_message_length", 16 << 20),
    # Services of before send up to 64 KiB of an error's detail in the trailing metadata.
    ("grpc.max_metadata_size", 128 << 10),
    ("grpc.absolute_max_metadata_size", 256 << 10),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


class RemoteService(Service):
    """Asks the service at an address.

    Args:
        server: ``HOST:PORT``.
        token: shown with every call.
        tls: None for plain text.
        patience: seconds for which a watch goes on trying to reach the service.

    Raises:
        InvalidSpec: `server` is no address, no service makes such a token, or a file of `tls` cannot be read.
    """

    def __init__(
        self,
        server: str,
        token: str | None = None,
        tls: ClientTls | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        try:
            check_address(server)
        except ValueError as error:
            raise InvalidSpec([Problem("server", str(error))]) from error
        self.server = server
        shown = (("authorization", authorization(token)),) if token else ()
        self._metadata = ((FORM_KEY, str(FORM)), *shown)
        self._patience, self._encrypted = patience, tls is not None
        self._channel = _channel(server, tls)
        self._stub = rpc.SearchServiceStub(self._channel)

    # Jobs
    def submit(
        self,
        spec: JobSpec | str | Path | Mapping[str, Any],
        *,
        key: str | None = None,
        by: Identity | None = None,
        shared: bool = False,
        fast: bool = False,
    ) -> Job:
        """See `Service.submit`. A space's file is read here; a task's `path` is one of the service's host."""
        _check_nobody(by)
        if not isinstance(spec, JobSpec):
            relative_to = Path(spec).resolve().parent if isinstance(spec, str | Path) else Path.cwd()
            spec = load_job_spec(spec)
        else:
            relative_to = Path.cwd()
        if fast:
            spec = spec.fast()
        if isinstance(spec.space, str):
            spec = spec.model_copy(update={"space": _name_or_declaration(spec.space, relative_to)})
        request = pb.SubmitJobRequest(
            spec_json=convert.spec_to_text(spec), idempotency_key=key or uuid.uuid4().hex, shared=shared
        )
        return convert.job_from_message(self._ask(self._stub.SubmitJob, request).job)

    def resume(self, job_id: str, *, by: Identity | None = None) -> Job:
        """See `Service.resume`."""
        _check_nobody(by)
        request = pb.ResumeJobRequest(job_id=job_id)
        return convert.job_from_message(self._ask(self._stub.ResumeJob, request, STOP_SECONDS).job)

    def add_target(self, job_id: str, target: Target, *, by: Identity | None = None) -> Job:
        """See `Service.add_target`."""
        _check_nobody(by)
        request = pb.AddTargetRequest(job_id=job_id, target=convert.target_to_message(target))
        return convert.job_from_message(self._ask(self._stub.AddTarget, request).job)

    def cancel(self, job_id: str) -> Job:
        """See `Service.cancel`."""
        request = pb.CancelJobRequest(job_id=job_id)
        return convert.job_from_message(self._ask(self._stub.CancelJob, request, STOP_SECONDS).job)

    def interrupt(self, job_id: str) -> Job:
        """See `Service.interrupt`."""
        request = pb.InterruptJobRequest(job_id=job_id)
        return convert.job_from_message(self._ask(self._stub.InterruptJob, request, STOP_SECONDS).job)

    def job(self, job_id: str, viewer: Viewer | None = None) -> Job:
        """See `Service.job`."""
        return convert.job_from_message(self._ask(self._stub.GetJob, pb.GetJobRequest(job_id=job_id)).job)

    def jobs(
        self, limit: int | None = None, before: str | None = None, viewer: Viewer | None = None
    ) -> list[Job]:
        """See `Service.jobs`."""
        found: list[Job] = []
        token = before or ""
        while limit is None or len(found) < limit:
            size = 0 if limit is None else min(limit - len(found), 500)
            page = self._ask(self._stub.ListJobs, pb.ListJobsRequest(page_size=size, page_token=token))
            found += map(convert.job_from_message, page.jobs)
            token = page.next_page_token
            if not token:
                break
        return found

    # Events
    def events(self, job_id: str, after: int = 0) -> EventBatch:
        """See `Service.events`."""
        answer = self._ask(self._stub.ListEvents, pb.ListEventsRequest(job_id=job_id, after=after))
        return EventBatch(tuple(map(convert.event_from_message, answer.events)), answer.over)

    def watch(self, job_id: str, after: int = 0) -> Iterator[Event]:
        """See `Service.watch`. A stream that breaks is opened again after the last event that came.

        Raises:
            ServiceUnavailable, StoreUnavailable: the service, or its store, was away for `patience` seconds.
        """
        job_id = self.job(job_id).id
        pause, away_since = 0.1, None
        while True:
            try:
                request = pb.WatchJobRequest(job_id=job_id, after=after)
                stream = self._stub.WatchJob(request, timeout=WATCH_SECONDS, metadata=self._metadata)
                for message in stream:
                    event = convert.event_from_message(message.event)
                    after, pause, away_since = event.sequence, 0.1, None
                    yield event
                return
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    away_since = None
                    continue
                mapped = error_of_call(error, self.server)
                if not isinstance(mapped, ServiceUnavailable | StoreUnavailable):
                    raise mapped from error
                now = time.monotonic()
                away_since = away_since or now
                if now - away_since > self._patience or self._has_failed(job_id):
                    raise mapped from error
                time.sleep(pause)
                pause = min(2 * pause, 5.0)

    def _has_failed(self, job_id: str) -> bool:
        """Whether an outage was the job's own, which ended it, rather than the service's."""
        try:
            return self.job(job_id).status is JobStatus.FAILED
        except (ServiceUnavailable, StoreUnavailable):
            return False

    # What jobs found
    def profile(self, job_id: str) -> list[TargetProfile]:
        """See `Service.profile`."""
        answer = self._ask(self._stub.GetProfile, pb.GetProfileRequest(job_id=job_id))
        return list(map(convert.profile_from_message, answer.profiles))

    def front(
        self, job_id: str, scope: Scope = Scope.SHOWN, *, after: str | None = None, limit: int | None = None
    ) -> Front:
        """See `Service.front`."""
        with self._errors():
            request = pb.QueryFrontRequest(
                job_id=job_id,
                scope=convert.number_of(scope),
                page_token=after or "",
                page_size=limit or 0,
            )
            parts = self._stub.QueryFront(request, timeout=FRONT_SECONDS, metadata=self._metadata)
            first = next(parts)
            points = itertools.chain(first.points, (point for part in parts for point in part.points))
            return convert.front_from_messages(first.header, points)

    def cloud(self, job_id: str) -> Cloud:
        """See `Service.cloud`."""
        with self._errors():
            request = pb.GetCloudRequest(job_id=job_id)
            parts = self._stub.GetCloud(request, timeout=FRONT_SECONDS, metadata=self._metadata)
            return convert.cloud_from_messages(parts)

    def point(self, job_id: str, digest: str) -> Point:
        """See `Service.point`."""
        request = pb.GetPointRequest(job_id=job_id, digest=digest)
        return convert.point_from_message(self._ask(self._stub.GetPoint, request).point)

    def best(self, job_id: str, bounds: Mapping[str, float] | None = None) -> Point:
        """See `Service.best`."""
        request = pb.GetBestRequest(
            job_id=job_id, bounds=None if bounds is None else pb.Bounds(values=dict(bounds))
        )
        return convert.point_from_message(self._ask(self._stub.GetBest, request).point)

    def optimum(
        self, job_id: str, bounds: Mapping[str, float] | None = None, *, verify: bool = False
    ) -> Optimum:
        """See `Service.optimum`."""
        request = pb.FindOptimumRequest(
            job_id=job_id, bounds=pb.Bounds(values=dict(bounds or {})), verify=verify
        )
        answer = self._ask(self._stub.FindOptimum, request, OPTIMUM_SECONDS)
        return convert.optimum_from_message(answer.optimum)

    def explain(self, job_id: str) -> dict[str, Any]:
        """See `Service.explain`."""
        answer = self._ask(self._stub.ExplainFront, pb.ExplainFrontRequest(job_id=job_id), FRONT_SECONDS)
        return convert.document(answer.explanation_json, "an explanation")

    def comparisons(self, job_id: str) -> list[Comparison]:
        """See `Service.comparisons`."""
        answer = self._ask(self._stub.CompareModels, pb.CompareModelsRequest(job_id=job_id), FRONT_SECONDS)
        return [convert.comparison_from_message(message) for message in answer.comparisons]

    def extract(self, job_id: str, digest: str, out: str | Path) -> dict[str, Any]:
        """See `Service.extract`; `out` is a folder on this side."""
        with self._errors():
            request = pb.ExtractModelRequest(job_id=job_id, digest=digest)
            parts = self._stub.ExtractModel(request, timeout=EXTRACT_SECONDS, metadata=self._metadata)
            return receive_folder(parts, Path(out))

    # What there is
    def spaces(self) -> list[dict[str, Any]]:
        """See `Service.spaces`."""
        answer = self._ask(self._stub.ListSpaces, pb.ListSpacesRequest())
        return [convert.document(space, "a space") for space in answer.space_json]

    def tasks(self) -> list[dict[str, Any]]:
        """See `Service.tasks`."""
        answer = self._ask(self._stub.ListTasks, pb.ListTasksRequest())
        return [convert.document(task, "a task") for task in answer.task_json]

    def presets(self, space: str | Mapping[str, Any]) -> list[dict[str, Any]]:
        """See `Service.presets`."""
        chosen = _name_or_declaration(space, Path.cwd()) if isinstance(space, str) else space
        if isinstance(chosen, str):
            request = pb.ListPresetsRequest(space=chosen)
        else:
            request = pb.ListPresetsRequest(declaration_json=convert.text(dict(chosen)))
        answer = self._ask(self._stub.ListPresets, request)
        return [convert.document(preset, "a preset") for preset in answer.preset_json]

    def targets(self) -> list[Target]:
        """See `Service.targets`."""
        answer = self._ask(self._stub.ListTargets, pb.ListTargetsRequest())
        return list(map(convert.target_from_message, answer.targets))

    def measurements(self, target: Target) -> list[tuple[Architecture, Measurement]]:
        """See `Service.measurements`."""
        with self._errors():
            request = pb.ListMeasurementsRequest(target=convert.target_to_message(target))
            parts = self._stub.ListMeasurements(request, timeout=FRONT_SECONDS, metadata=self._metadata)
            return [convert.measurement_from_message(m, target) for part in parts for m in part.measurements]

    def session_error(self, target: Target) -> SessionError:
        """See `Service.session_error`."""
        request = pb.GetSessionErrorRequest(target=convert.target_to_message(target))
        answer = self._ask(self._stub.GetSessionError, request)
        return SessionError(answer.relative, answer.pairs)

    def forget_measurements(
        self,
        target: Target,
        digest: str | None = None,
        since: float = 0.0,
        *,
        why: str = "",
        by: Identity | None = None,
    ) -> list[Forgotten]:
        """See `Service.forget_measurements`."""
        request = pb.ForgetMeasurementsRequest(
            target=convert.target_to_message(target), digest=digest, since=since, why=why
        )
        answer = self._ask(self._stub.ForgetMeasurements, request)
        return list(map(convert.forgotten_from_message, answer.forgotten))

    def forgotten(self, target: Target | None = None) -> list[Forgotten]:
        """See `Service.forgotten`."""
        request = pb.ListForgottenRequest(
            target=None if target is None else convert.target_to_message(target)
        )
        answer = self._ask(self._stub.ListForgotten, request)
        return list(map(convert.forgotten_from_message, answer.forgotten))

    def devices(self) -> list[dict[str, Any]]:
        """See `Service.devices`."""
        answer = self._ask(self._stub.ListDevices, pb.ListDevicesRequest())
        return [convert.document(device, "a device") for device in answer.device_json]

    def limits(self) -> Limits:
        """See `Service.limits`."""
        return convert.limits_from_message(self._ask(self._stub.GetLimits, pb.GetLimitsRequest()))

    def check_health(self) -> None:
        """Return where the service can answer, its store included; needs no token.

        Raises:
            ServiceUnavailable: it cannot.
        """
        request = health_pb2.HealthCheckRequest(service="nas.rpc.v1.SearchService")
        status = self._ask(health_pb2_grpc.HealthStub(self._channel).Check, request, HEALTH_SECONDS).status
        if status != health_pb2.HealthCheckResponse.SERVING:
            raise ServiceUnavailable(f"{self.server} runs, but cannot ask its store")

    def close(self) -> None:
        """Let go of the connection; what runs on the service goes on."""
        self._channel.close()

    def _ask(self, call: Callable[..., A], request: Any, seconds: float = CALL_SECONDS) -> A:
        with self._errors():
            return call(request, timeout=seconds, metadata=self._metadata)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise self._told(error_of_call(error, self.server)) from error

    def _told(self, error: NasError) -> NasError:
        """Of a connection that breaks at once it is worth saying that the other side may want encryption."""
        broken = any(
            said in str(error) for said in ("Socket closed", "Connection reset", "GOAWAY", "RST_STREAM")
        )
        if isinstance(error, ServiceUnavailable) and broken and not self._encrypted:
            return ServiceUnavailable(f"{error}; if the service uses TLS: nas --authority FILE")
        return error


def _channel(server: str, tls: ClientTls | None) -> grpc.Channel:
    if tls is None:
        return grpc.insecure_channel(server, CLIENT_OPTIONS)
    try:
        return grpc.secure_channel(server, tls.credentials(), CLIENT_OPTIONS)
    except TlsFileError as error:
        raise as_nas_error(error) from error


def _check_nobody(by: Identity | None) -> None:
    if by is not None:
        raise ValueError("who asks a remote service is whose token this client shows")


def _name_or_declaration(space: str, relative_to: Path) -> str | dict[str, Any]:
    """A name that the service may know, or the content of a file here."""
    path = relative_to / space
    try:
        is_file = space not in space_names() and path.is_file()
    except OSError:  # longer than any name: the service says what is accepted
        is_file = False
    if not is_file:
        return space
    try:
        return load_space(path).spec.model_dump(mode="json")
    except SpaceError as error:
        raise InvalidSpec(error.problems) from error
