"""The page's calls: each a call of the service, answered as plain data."""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from nas.errors import InvalidSpec
from nas.front import Front, Scope
from nas.report.csv_table import csv_table
from nas.service.api import Service
from nas.views import front_of_target, robust_front
from nas.web import documents
from nas.web.access import Access
from nas.web.errors import BodyTooLarge, answer
from nas.web.stream import Hub, stored_events
from searchspaces.documents import DocumentError, parse_document
from searchspaces.errors import Problem
from workers.target import Target

__all__ = ["Answers"]

BODY_LIMIT = 1 << 20
PAGE_SIZE = 50
PROFILES_OF = 12
"""Newest jobs whose predictors the page tells of."""

KEPT_FRONTS = 16


class Answers:
    """Handles requests. Calls of the service block, and so run in threads; those that compute for seconds
    have threads of their own."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._quick = ThreadPoolExecutor(16, thread_name_prefix="web")
        self._slow = ThreadPoolExecutor(4, thread_name_prefix="web-slow")
        self._hub = Hub(self.quickly)
        self._fronts: dict[tuple[Any, ...], dict[str, Any]] = {}

    async def quickly(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """A blocking call in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._quick, call, *arguments)

    async def _slowly(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._slow, call, *arguments)

    def close(self) -> None:
        """End every stream; wait for no call."""
        self._hub.close()
        self._quick.shutdown(wait=False, cancel_futures=True)
        self._slow.shutdown(wait=False, cancel_futures=True)

    # Who asks
    async def session(self, request: Request) -> Response:
        """Whether whoever asks has to log in, and how mixers look."""
        self._access.service(request)
        return answer({"login": self._access.login, "look": documents.look_document()})

    async def log_in(self, request: Request) -> Response:
        """Begin a session with a token."""
        token = (await _document(request)).get("token")
        if not isinstance(token, str) or not token:
            raise InvalidSpec([Problem("token", "accepted: the token that nas token add printed")])
        name = await self.quickly(self._access.enter, token)
        response = answer({})
        self._access.set_cookie(response, name, secure=request.url.scheme == "https")
        return response

    async def log_out(self, request: Request) -> Response:
        """End the session."""
        await self.quickly(self._access.leave, request)
        return answer({})

    # Jobs
    async def jobs(self, request: Request) -> Response:
        """Newest first, a page at a time."""
        service = self._access.service(request)
        found = await self.quickly(service.jobs, PAGE_SIZE + 1, request.query_params.get("before"))
        jobs = [documents.job_document(job) for job in found[:PAGE_SIZE]]
        return answer({"jobs": jobs, "more": len(found) > PAGE_SIZE})

    async def submit(self, request: Request) -> Response:
        """Store a job and start it; what is wrong with it is told field by field."""
        service = self._access.service(request)
        document = await _document(request)

        def submit() -> dict[str, Any]:
            spec = _parsed(document["file"]) if set(document) == {"file"} else document
            return documents.job_document(service.resume(service.submit(spec).id))

        return answer(await self._slowly(submit), 201)

    async def change(self, request: Request) -> Response:
        """Resume, interrupt or cancel a job."""
        service = self._access.service(request)
        verbs = {"resume": service.resume, "interrupt": service.interrupt, "cancel": service.cancel}
        job = await self._slowly(verbs[request.url.path.rpartition("/")[2]], request.path_params["job"])
        return answer(documents.job_document(job))

    async def job(self, request: Request) -> Response:
        """One job."""
        job = await self.quickly(self._access.service(request).job, request.path_params["job"])
        return answer(documents.job_document(job))

    async def events(self, request: Request) -> Response:
        """Those stored so far."""
        service, after = self._access.service(request), _whole(request, "after")
        job = await self.quickly(service.job, request.path_params["job"])
        batch = await stored_events(self.quickly, service, job.id, after)
        events = [documents.event_document(event) for event in batch.events]
        return answer({"events": events, "over": batch.over})

    async def stream(self, request: Request) -> Response:
        """Events as they happen: of one job, or of the list of jobs."""
        service, job = self._access.service(request), request.query_params.get("job")
        last = request.headers.get("last-event-id", "")
        after = int(last) if last.isdigit() else _whole(request, "after")
        if job is not None:
            await self.quickly(service.job, job)
        messages = self._hub.list_jobs(service) if job is None else self._hub.follow(service, job, after)
        return StreamingResponse(
            messages, media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    # What jobs found
    async def front(self, request: Request) -> Response:
        """Members and presets: of all targets together, of one, or robustly of all."""
        service, job_id = self._access.service(request), request.path_params["job"]
        target, robust = request.query_params.get("target"), "robust" in request.query_params
        job = await self.quickly(service.job, job_id)
        key = (id(service), job.id, job.last_event, job.status, target, robust)
        if key not in self._fronts:
            found = await self._slowly(_front, service, job.id, target, robust)
            while len(self._fronts) >= KEPT_FRONTS:
                del self._fronts[next(iter(self._fronts))]
            self._fronts[key] = found
        return answer(self._fronts[key])

    async def cloud(self, request: Request) -> Response:
        """Every candidate as columns."""
        cloud = await self.quickly(self._access.service(request).cloud, request.path_params["job"])
        body = b"".join(documents.cloud_bytes(cloud))
        return Response(body, media_type="application/octet-stream", headers={"cache-control": "no-store"})

    async def table(self, request: Request) -> Response:
        """Every candidate as CSV."""
        service, job_id = self._access.service(request), request.path_params["job"]
        front = await self._slowly(service.front, job_id, Scope.ALL)
        text = await self._slowly(csv_table, front)
        return _download(text.encode(), f"{front.job}.csv", "text/csv")

    async def document(self, request: Request) -> Response:
        """Every candidate as the document that `nas front --json` prints."""
        service, job_id = self._access.service(request), request.path_params["job"]
        front = await self._slowly(service.front, job_id, Scope.ALL)
        text = await self._slowly(lambda: json.dumps(front.to_dict()))
        return _download(text.encode(), f"{front.job}.json", "application/json")

    async def point(self, request: Request) -> Response:
        """One point, its layers with what they weigh."""
        service, target = self._access.service(request), request.query_params.get("target")
        job, digest = request.path_params["job"], request.path_params["digest"]
        point = await self.quickly(service.point, job, digest)
        layers = documents.layer_documents(point, None if target is None else _target(target))
        return answer({**point.to_dict(), "layers": layers})

    async def extract(self, request: Request) -> Response:
        """Cut a point out of its supernet; answers with the model's folder as a ZIP file."""
        service = self._access.service(request)
        job, digest = request.path_params["job"], request.path_params["digest"]
        await _document(request)
        packed = await self._slowly(_extracted, service, job, digest)
        return _download(packed, f"{job}-{digest[:8]}.zip", "application/zip")

    async def profile(self, request: Request) -> Response:
        """How good a job's predictors are."""
        profiles = await self.quickly(self._access.service(request).profile, request.path_params["job"])
        return answer([profile.to_dict() for profile in profiles])

    async def explanation(self, request: Request) -> Response:
        """Why the front looks as it does."""
        return answer(await self._slowly(self._access.service(request).explain, request.path_params["job"]))

    async def across(self, request: Request) -> Response:
        """What all jobs of a space and a task found for a target."""
        service, asked = self._access.service(request), request.query_params
        target = _target(asked.get("target", ""))
        joint = await self._slowly(service.across, asked.get("space", ""), asked.get("task", ""), target)
        return answer(documents.joint_document(joint))

    # What there is
    async def catalogue(self, request: Request) -> Response:
        """Spaces and tasks to choose from."""
        service = self._access.service(request)
        spaces, tasks = await self.quickly(service.spaces), await self.quickly(service.tasks)
        return answer({"spaces": [_size_as_text(space) for space in spaces], "tasks": tasks})

    async def devices(self, request: Request) -> Response:
        """Who is connected, every target that was ever measured, and how good their predictors are."""
        service = self._access.service(request)
        found = await self._slowly(_devices, service)
        return answer(found)

    async def drift(self, request: Request) -> Response:
        """What was measured on a target over time, and how far the device was from its own pace."""
        service, target = self._access.service(request), _target(request.query_params.get("target", ""))
        taken = [m for _, m in await self._slowly(service.measurements, target)]
        return answer(
            {
                "time": [m.measured_at for m in taken],
                "drift": [m.drift for m in taken],
                "slowdown": [m.slowdown for m in taken],
                "noisy": [m.noisy for m in taken],
                "latency_ms": [m.corrected.latency_ms for m in taken],
            }
        )


async def _document(request: Request) -> dict[str, Any]:
    """A request's JSON.

    Raises:
        BodyTooLarge: there is too much of it; no more than that is read.
        InvalidSpec: it is none, or no mapping.
    """
    body = bytearray()
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > BODY_LIMIT:
        raise BodyTooLarge(f"{announced} bytes; accepted: at most {BODY_LIMIT}")
    async for part in request.stream():
        body += part
        if len(body) > BODY_LIMIT:
            raise BodyTooLarge(f"more than {BODY_LIMIT} bytes; accepted: at most that")
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise InvalidSpec([Problem("", f"not JSON: {error}")]) from error
    if not isinstance(document, dict):
        raise InvalidSpec([Problem("", f"accepted: a mapping, not {type(document).__name__}")])
    return document


def _parsed(text: Any) -> Mapping[str, Any]:
    """A job file's mapping, as the commands read it. `BODY_LIMIT` bytes take some ten seconds: too long
    for the event loop.

    Raises:
        InvalidSpec: it is none, or `parse_document` refuses it.
    """
    if not isinstance(text, str):
        accepted = "accepted: the text of a job file"
        raise InvalidSpec([Problem("file", f"{accepted}, not {type(text).__name__}")])
    try:
        spec = parse_document(text)
    except DocumentError as error:
        raise InvalidSpec([Problem("", f"not YAML: {error}")]) from error
    if not isinstance(spec, dict):
        raise InvalidSpec([Problem("", f"accepted: a mapping, not {type(spec).__name__}")])
    return spec


def _whole(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    if not (text.isascii() and text.isdigit()):
        raise InvalidSpec([Problem(name, f"{text!r}; accepted: a whole number")])
    return int(text)


def _target(text: str) -> Target:
    try:
        return Target.parse(text)
    except ValueError as error:
        raise InvalidSpec([Problem("target", str(error))]) from error


def _front(service: Service, job_id: str, target: str | None, robust: bool) -> dict[str, Any]:
    if robust:
        return documents.robust_document(robust_front(service.front(job_id, Scope.ALL)))
    front: Front = service.front(job_id)
    if target is None:
        return documents.front_document(front)
    meant = _target(target)
    if meant not in front.targets:
        accepted = ", ".join(map(str, front.targets))
        raise InvalidSpec([Problem("target", f"the job has no target {target}; accepted: {accepted}")])
    if len(front.targets) > 1:
        front = front_of_target(service.front(job_id, Scope.ALL), meant)
    return documents.front_document(front)


def _extracted(service: Service, job_id: str, digest: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="nas-web-") as folder:
        out = Path(folder) / "model"
        service.extract(job_id, digest, out)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(out.iterdir()):
                archive.write(path, path.name)
        return packed.getvalue()


def _devices(service: Service) -> dict[str, Any]:
    profiles: dict[tuple[str, str], dict[str, Any]] = {}
    for job in service.jobs(PROFILES_OF):
        for profile in service.profile(job.id):
            told = {**profile.to_dict(), "job": job.id, "space": job.spec.space_name}
            profiles.setdefault((job.spec.space_name, str(profile.target)), told)
    return {
        "devices": service.devices(),
        "targets": [str(target) for target in service.targets()],
        "profiles": list(profiles.values()),
    }


def _size_as_text(space: dict[str, Any]) -> dict[str, Any]:
    """Numbers of architectures are larger than what scripts count exactly."""
    return {**space, "size": f"{space['size']:.3g}" if space["size"] > 1e6 else str(space["size"])}


def _download(body: bytes, name: str, kind: str) -> Response:
    plain = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
    headers = {"content-disposition": f'attachment; filename="{plain}"', "cache-control": "no-store"}
    return Response(body, media_type=kind, headers=headers)
