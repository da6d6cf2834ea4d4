"""The calls of `SearchService`, each a call of a `Service`."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from nas.bounds import check_bounds
from nas.errors import InvalidSpec
from nas.front import Scope
from nas.job import Job
from nas.rpc.v1 import service_pb2 as pb
from nas.rpc.v1 import service_pb2_grpc as rpc
from nas.service.api import WATCH_SECONDS, Service
from nas.service.running.owned import OwnedService
from nas.service.server.admission import SPEC_LIMIT, admit_space, admit_spec, admit_target
from nas.service.server.guard import CALLER
from nas.service.wire import convert
from nas.service.wire.transfer import send_folder
from nas.spec import load_job_spec
from searchspaces.errors import Problem

__all__ = ["SearchServicer"]

T = TypeVar("T")
M = TypeVar("M", bound=Message)

PAGE_SIZE, LARGEST_PAGE = 100, 500
POINTS_A_MESSAGE = 1000
KEY_LIMIT = 64

IDLE_SECONDS = 1.0
"""A watcher of a job in which nothing happens looks this seldom."""


class SearchServicer(rpc.SearchServiceServicer):
    """Answers from a service whose calls block: quick ones and slow ones have threads of their own, so
    that nobody who asks for a job waits behind an extraction."""

    def __init__(self, service: Service, scratch: Path, data_root: Path | None) -> None:
        self._everybodys = service
        self._scratch = scratch
        self._data_root = data_root
        self._quick = ThreadPoolExecutor(8, thread_name_prefix="quick")
        self._slow = ThreadPoolExecutor(4, thread_name_prefix="slow")

    def close(self) -> None:
        """Let running calls end, and begin no more."""
        self._quick.shutdown(cancel_futures=True)
        self._slow.shutdown(cancel_futures=True)

    @property
    def _service(self) -> Service:
        """The service as whoever calls sees it."""
        return OwnedService(self._everybodys, CALLER.get())

    async def quickly(self, call: Callable[..., T], *arguments: Any) -> T:
        """A blocking call in a thread."""
        return await _run_in(self._quick, call, *arguments)

    async def _slowly(self, call: Callable[..., T], *arguments: Any) -> T:
        return await _run_in(self._slow, call, *arguments)

    # Jobs
    async def SubmitJob(self, request: pb.SubmitJobRequest, context: Any) -> pb.SubmitJobResponse:
        """See the proto."""
        job = await self.quickly(self._submit, request)
        return pb.SubmitJobResponse(job=convert.job_to_message(job))

    def _submit(self, request: pb.SubmitJobRequest) -> Job:
        if len(request.spec_json) > SPEC_LIMIT:
            size = f"{len(request.spec_json)} characters; accepted: at most {SPEC_LIMIT}"
            raise InvalidSpec([Problem("", size)])
        if len(request.idempotency_key) > KEY_LIMIT:
            raise InvalidSpec([Problem("idempotency_key", f"accepted: at most {KEY_LIMIT} characters")])
        spec = admit_spec(load_job_spec(_mapping(request.spec_json)), self._data_root)
        return self._service.submit(spec, key=request.idempotency_key or None, shared=request.shared)

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.GetJobResponse:
        """See the proto."""
        job = await self.quickly(self._service.job, request.job_id)
        return pb.GetJobResponse(job=convert.job_to_message(job))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        """See the proto."""
        if not 0 <= request.page_size <= LARGEST_PAGE:
            raise InvalidSpec([Problem("page_size", f"{request.page_size}; accepted: 0 to {LARGEST_PAGE}")])
        size = request.page_size or PAGE_SIZE
        jobs = await self.quickly(self._service.jobs, size + 1, request.page_token or None)
        return pb.ListJobsResponse(
            jobs=[_masked(convert.job_to_message(job), request.read_mask) for job in jobs[:size]],
            next_page_token=jobs[size - 1].id if len(jobs) > size else "",
        )

    async def ResumeJob(self, request: pb.ResumeJobRequest, context: Any) -> pb.ResumeJobResponse:
        """See the proto."""
        job = await self._slowly(self._service.resume, request.job_id)
        return pb.ResumeJobResponse(job=convert.job_to_message(job))

    async def AddTarget(self, request: pb.AddTargetRequest, context: Any) -> pb.AddTargetResponse:
        """See the proto."""
        target = convert.target_from_message(request.target)
        admit_target(target)
        job = await self.quickly(self._service.add_target, request.job_id, target)
        return pb.AddTargetResponse(job=convert.job_to_message(job))

    async def InterruptJob(self, request: pb.InterruptJobRequest, context: Any) -> pb.InterruptJobResponse:
        """See the proto."""
        job = await self._slowly(self._service.interrupt, request.job_id)
        return pb.InterruptJobResponse(job=convert.job_to_message(job))

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.CancelJobResponse:
        """See the proto."""
        job = await self._slowly(self._service.cancel, request.job_id)
        return pb.CancelJobResponse(job=convert.job_to_message(job))

    # Events
    async def ListEvents(self, request: pb.ListEventsRequest, context: Any) -> pb.ListEventsResponse:
        """See the proto."""
        batch = await self.quickly(self._service.events, request.job_id, request.after)
        events = [convert.event_to_message(event) for event in batch.events]
        return pb.ListEventsResponse(events=events, over=batch.over)

    async def WatchJob(self, request: pb.WatchJobRequest, context: Any) -> AsyncIterator[pb.WatchJobResponse]:
        """See the proto."""
        job = await self.quickly(self._service.job, request.job_id)
        await context.send_initial_metadata(())  # tells the watcher that it is heard, before any event
        after, pause = request.after, WATCH_SECONDS
        while True:
            batch = await self.quickly(self._service.events, job.id, after)
            for event in batch.events:
                after, pause = event.sequence, WATCH_SECONDS
                yield pb.WatchJobResponse(event=convert.event_to_message(event))
            if not batch.events:
                if batch.over:
                    return
                await asyncio.sleep(pause)
                pause = min(2 * pause, IDLE_SECONDS)

    # Fronts
    async def QueryFront(
        self, request: pb.QueryFrontRequest, context: Any
    ) -> AsyncIterator[pb.QueryFrontResponse]:
        """See the proto."""
        if request.page_size < 0:
            raise InvalidSpec([Problem("page_size", f"{request.page_size}; accepted: 0 for all, or more")])
        job = await self.quickly(self._service.job, request.job_id)
        after, left, first = request.page_token, request.page_size or math.inf, True
        while first or after:
            limit = int(min(POINTS_A_MESSAGE, left))
            part = await self.quickly(self._front_part, job.id, request, after, limit, first)
            left, first = left - limit, False
            after = part.next_page_token if left > 0 else ""
            if after:
                part.ClearField("next_page_token")
            yield part

    def _front_part(
        self, job_id: str, request: pb.QueryFrontRequest, after: str, limit: int, first: bool
    ) -> pb.QueryFrontResponse:
        """Some points, the first with the header; the token is where to go on, where that may be needed."""
        scope = convert.member_of(Scope, request.scope or pb.SCOPE_SHOWN)
        front = self._service.front(job_id, scope, after=after or None, limit=limit)
        return pb.QueryFrontResponse(
            header=convert.front_header_to_message(front) if first else None,
            points=[_masked(convert.point_to_message(point), request.read_mask) for point in front.points],
            next_page_token=front.points[-1].digest if len(front.points) == limit else "",
        )

    async def GetCloud(self, request: pb.GetCloudRequest, context: Any) -> AsyncIterator[pb.GetCloudResponse]:
        """See the proto."""
        cloud = await self.quickly(self._service.cloud, request.job_id)
        for part in convert.cloud_to_messages(cloud):
            yield part

    async def GetPoint(self, request: pb.GetPointRequest, context: Any) -> pb.GetPointResponse:
        """See the proto."""
        point = await self.quickly(self._service.point, request.job_id, request.digest)
        return pb.GetPointResponse(point=convert.point_to_message(point))

    async def GetProfile(self, request: pb.GetProfileRequest, context: Any) -> pb.GetProfileResponse:
        """See the proto."""
        profiles = await self.quickly(self._service.profile, request.job_id)
        return pb.GetProfileResponse(profiles=map(convert.profile_to_message, profiles))

    async def GetBest(self, request: pb.GetBestRequest, context: Any) -> pb.GetBestResponse:
        """See the proto."""
        bounds = _bounds(request.bounds) if request.HasField("bounds") else None
        point = await self.quickly(self._service.best, request.job_id, bounds)
        return pb.GetBestResponse(point=convert.point_to_message(point))

    async def FindOptimum(self, request: pb.FindOptimumRequest, context: Any) -> pb.FindOptimumResponse:
        """See the proto."""
        find = partial(self._service.optimum, verify=request.verify)
        optimum = await self._slowly(find, request.job_id, _bounds(request.bounds))
        return pb.FindOptimumResponse(optimum=convert.optimum_to_message(optimum))

    async def ExplainFront(self, request: pb.ExplainFrontRequest, context: Any) -> pb.ExplainFrontResponse:
        """See the proto."""
        explanation = await self._slowly(self._service.explain, request.job_id)
        return pb.ExplainFrontResponse(explanation_json=convert.text(explanation))

    async def CompareModels(self, request: pb.CompareModelsRequest, context: Any) -> pb.CompareModelsResponse:
        """See the proto."""
        compared = await self._slowly(self._service.comparisons, request.job_id)
        return pb.CompareModelsResponse(comparisons=map(convert.comparison_to_message, compared))

    async def ExtractModel(
        self, request: pb.ExtractModelRequest, context: Any
    ) -> AsyncIterator[pb.ExtractModelResponse]:
        """See the proto."""
        folder = Path(tempfile.mkdtemp(prefix="extract-", dir=self._scratch))
        extracting = self._slow.submit(
            self._service.extract, request.job_id, request.digest, folder / "model"
        )
        try:
            parts = send_folder(await asyncio.wrap_future(extracting), folder / "model")
            while (part := await self._slowly(next, parts, None)) is not None:
                yield part
        finally:
            # A caller who has gone does not stop the extraction: its folder goes once it has ended.
            extracting.add_done_callback(lambda _: shutil.rmtree(folder, ignore_errors=True))

    # What there is
    async def ListSpaces(self, request: pb.ListSpacesRequest, context: Any) -> pb.ListSpacesResponse:
        """See the proto."""
        return pb.ListSpacesResponse(space_json=map(convert.text, await self.quickly(self._service.spaces)))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Any) -> pb.ListTasksResponse:
        """See the proto."""
        return pb.ListTasksResponse(task_json=map(convert.text, await self.quickly(self._service.tasks)))

    async def ListPresets(self, request: pb.ListPresetsRequest, context: Any) -> pb.ListPresetsResponse:
        """See the proto."""
        presets = await self.quickly(self._presets, request)
        return pb.ListPresetsResponse(preset_json=map(convert.text, presets))

    def _presets(self, request: pb.ListPresetsRequest) -> list[dict[str, Any]]:
        space = _mapping(request.declaration_json) if request.declaration_json else request.space
        admit_space(space)
        return self._service.presets(space)

    async def ListTargets(self, request: pb.ListTargetsRequest, context: Any) -> pb.ListTargetsResponse:
        """See the proto."""
        targets = await self.quickly(self._service.targets)
        return pb.ListTargetsResponse(targets=map(convert.target_to_message, targets))

    async def ListMeasurements(
        self, request: pb.ListMeasurementsRequest, context: Any
    ) -> AsyncIterator[pb.ListMeasurementsResponse]:
        """See the proto."""
        target = convert.target_from_message(request.target)
        found = await self.quickly(self._service.measurements, target)
        for first in range(0, len(found), POINTS_A_MESSAGE):
            part = [convert.measurement_to_message(*each) for each in found[first : first + POINTS_A_MESSAGE]]
            yield pb.ListMeasurementsResponse(measurements=part)

    async def GetSessionError(
        self, request: pb.GetSessionErrorRequest, context: Any
    ) -> pb.GetSessionErrorResponse:
        """See the proto."""
        target = convert.target_from_message(request.target)
        between = await self.quickly(self._service.session_error, target)
        return pb.GetSessionErrorResponse(relative=between.relative, pairs=between.pairs)

    async def ForgetMeasurements(
        self, request: pb.ForgetMeasurementsRequest, context: Any
    ) -> pb.ForgetMeasurementsResponse:
        """See the proto."""
        target = convert.target_from_message(request.target)
        digest = request.digest if request.HasField("digest") else None
        forget = partial(self._service.forget_measurements, why=request.why)
        forgotten = await self.quickly(forget, target, digest, request.since)
        return pb.ForgetMeasurementsResponse(forgotten=map(convert.forgotten_to_message, forgotten))

    async def ListForgotten(self, request: pb.ListForgottenRequest, context: Any) -> pb.ListForgottenResponse:
        """See the proto."""
        target = convert.target_from_message(request.target) if request.HasField("target") else None
        forgotten = await self.quickly(self._service.forgotten, target)
        return pb.ListForgottenResponse(forgotten=map(convert.forgotten_to_message, forgotten))

    async def ListDevices(self, request: pb.ListDevicesRequest, context: Any) -> pb.ListDevicesResponse:
        """See the proto."""
        return pb.ListDevicesResponse(
            device_json=map(convert.text, await self.quickly(self._service.devices))
        )

    async def GetLimits(self, request: pb.GetLimitsRequest, context: Any) -> pb.GetLimitsResponse:
        """See the proto."""
        return convert.limits_to_message(await self.quickly(self._service.limits))


async def _run_in(threads: ThreadPoolExecutor, call: Callable[..., T], *arguments: Any) -> T:
    """In a thread that knows who called."""
    run = partial(copy_context().run, call, *arguments)
    return await asyncio.get_running_loop().run_in_executor(threads, run)


def _bounds(message: pb.Bounds) -> dict[str, float]:
    check_bounds(message.values)
    return dict(message.values)


def _masked(message: M, mask: FieldMask) -> M:
    """Only the fields that the mask names; all where it is empty."""
    if not mask.paths:
        return message
    accepted = [field.name for field in message.DESCRIPTOR.fields]
    if not set(mask.paths) <= set(accepted):
        raise InvalidSpec([Problem("read_mask", f"{list(mask.paths)}; accepted: {', '.join(accepted)}")])
    kept = type(message)()
    mask.MergeMessage(message, kept)
    return kept


def _mapping(text: str) -> Mapping[str, Any]:
    """What a user wrote as JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidSpec([Problem("", f"not JSON: {error}")]) from error
    if not isinstance(value, dict):
        raise InvalidSpec([Problem("", f"accepted: a mapping, not {type(value).__name__}")])
    return value
