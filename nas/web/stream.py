"""Events as they happen, to any number of tabs: one poller a watched job, however many watch it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from nas.errors import (
    DeadlineExceeded,
    Forbidden,
    LimitExceeded,
    NasError,
    NoSuchJob,
    ServiceUnavailable,
    StoreUnavailable,
    Unauthenticated,
)
from nas.job import Event, Job, JobStatus
from nas.service.api import EventBatch, Service
from nas.web.documents import event_document, job_document

__all__ = ["Hub", "stored_events"]

_LOG = logging.getLogger("nas.web")

POLL_SECONDS = 0.15
"""Between two looks for a job's events; one costs some 2 ms."""

IDLE_SECONDS = 1.0
"""The same once the job has stopped: it may be resumed."""

LIST_SECONDS = 1.0
LISTED = 50
"""Jobs whose changes the list of jobs tells, the newest."""

ALIVE_SECONDS = 15.0
"""A silent stream says so this often, so that nobody between takes it for dead."""

MOST_WAITING = 256
"""Messages to a tab that reads too slowly; then its stream ends, and it asks again from where it was."""

MOST_STREAMS = 1000

NOT_NOW = (ServiceUnavailable, StoreUnavailable, LimitExceeded, DeadlineExceeded)
"""What the service cannot answer now, it may in a moment."""

NOT_TO_THEM = (Unauthenticated, Forbidden, NoSuchJob)
"""Whose service it is may not ask it, or sees no such job; others may."""

Ask = Callable[..., Awaitable[Any]]
"""A blocking call in a thread."""


class Hub:
    """Streams of events in the form that browsers' `EventSource` reads; a message's id is its event's
    sequence number, so that a stream that broke goes on without loss.

    Args:
        ask: runs a blocking call in a thread.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._watches: dict[str, _Watch] = {}
        self._streams = 0

    async def follow(self, service: Service, job_id: str, after: int) -> AsyncIterator[bytes]:
        """A job's events with a sequence number above `after`: those already stored, then each as it comes.

        Raises:
            NoSuchJob: whoever asks can see no such job.
        """
        job: Job = await self._ask(service.job, job_id)
        async with _Counted(self):
            watch = self._watches.get(job.id)
            if watch is None or watch.ended:
                watch = self._watches[job.id] = _Watch(self._ask, service, job)
            queue = watch.join()
            try:
                while after < watch.position:
                    batch: EventBatch = await self._ask(service.events, job.id, after)
                    if not batch.events:
                        break
                    for event in batch.events:
                        after = event.sequence
                        yield event_message(event)
                async for message in _live(queue, after):
                    yield message
            finally:
                if watch.part(queue) and self._watches.get(job.id) is watch:
                    del self._watches[job.id]

    async def list_jobs(self, service: Service) -> AsyncIterator[bytes]:
        """The newest jobs whenever one of them changes, each time those that did."""
        async with _Counted(self):
            told: dict[str, tuple[Any, ...]] = {}
            silent = 0.0
            while True:
                try:
                    jobs: list[Job] = await self._ask(service.jobs, LISTED)
                except NOT_NOW:
                    jobs = []
                stamps = {job.id: (job.status, job.stage, job.updated_at, job.last_event) for job in jobs}
                changed = [job for job in jobs if told.get(job.id) != stamps[job.id]]
                told |= stamps
                silent += LIST_SECONDS
                if changed or silent >= ALIVE_SECONDS:
                    silent = 0.0
                    yield message("jobs", [job_document(job) for job in changed])
                await asyncio.sleep(LIST_SECONDS)

    def close(self) -> None:
        """End every stream."""
        for watch in self._watches.values():
            watch.close()


class _Counted:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def __aenter__(self) -> None:
        if self._hub._streams >= MOST_STREAMS:
            raise LimitExceeded(f"{MOST_STREAMS} tabs are watching already; accepted: no more")
        self._hub._streams += 1

    async def __aexit__(self, *_: object) -> None:
        self._hub._streams -= 1


class _Watch:
    """The poller of one job.

    Attributes:
        position: sequence number of the newest event that it has seen.
    """

    def __init__(self, ask: Ask, service: Service, job: Job) -> None:
        self._ask, self._service, self._job_id = ask, service, job.id
        self.position = job.last_event
        self._queues: set[asyncio.Queue[tuple[int, bytes] | None]] = set()
        self._task = asyncio.create_task(self._run())

    def join(self) -> asyncio.Queue[tuple[int, bytes] | None]:
        queue: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(MOST_WAITING)
        self._queues.add(queue)
        return queue

    def part(self, queue: asyncio.Queue[tuple[int, bytes] | None]) -> bool:
        """Whether that was the last; the poller has ended then."""
        self._queues.discard(queue)
        if not self._queues:
            self._task.cancel()
        return not self._queues

    @property
    def ended(self) -> bool:
        """Whether it looks no more: whose service it asked has logged out, or lost their token, say."""
        return self._task.done()

    def close(self) -> None:
        self._task.cancel()
        self._end_all()

    def _end_all(self) -> None:
        """Whoever watches asks again, from where they were."""
        for queue in list(self._queues):
            self._end(queue)

    async def _run(self) -> None:
        try:
            await self._look()
        except NOT_TO_THEM as error:
            # The next watch asks the service of whoever comes back first; who may not ask is refused then.
            _LOG.info("the poller of %s ended: %s", self._job_id, error)
            self._end_all()
        except Exception:  # noqa: BLE001 -- whatever ended it, nobody is to wait for it
            _LOG.warning("the poller of %s ended", self._job_id, exc_info=True)
            self._end_all()

    async def _look(self) -> None:
        was_over = False
        while True:
            try:
                batch = await stored_events(self._ask, self._service, self._job_id, self.position)
            except NOT_NOW:
                await asyncio.sleep(IDLE_SECONDS)
                continue
            for event in batch.events:
                self.position = event.sequence
                self._tell(event_message(event))
            over = batch.over and not batch.events
            if over and not was_over:
                self._tell(message("over", {"job": self._job_id}))
            was_over = over
            await asyncio.sleep(IDLE_SECONDS if over else POLL_SECONDS)

    def _tell(self, text: bytes) -> None:
        for queue in list(self._queues):
            try:
                queue.put_nowait((self.position, text))
            except asyncio.QueueFull:
                self._end(queue)

    def _end(self, queue: asyncio.Queue[tuple[int, bytes] | None]) -> None:
        self._queues.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)


async def _live(queue: asyncio.Queue[tuple[int, bytes] | None], after: int) -> AsyncIterator[bytes]:
    """What is told from now on; events up to `after` were given already."""
    while True:
        try:
            item = await asyncio.wait_for(queue.get(), ALIVE_SECONDS)
        except TimeoutError:
            yield b": alive\n\n"
            continue
        if item is None:
            return
        sequence, text = item
        if sequence > after or not text.startswith(b"id:"):
            yield text


async def stored_events(ask: Ask, service: Service, job_id: str, after: int) -> EventBatch:
    """Events with a sequence number above `after`, as `Service.events` gives them. Those of a job that an
    error ended are over as any others are: its document tells the error.

    Raises:
        NasError: one of `NOT_NOW` or `NOT_TO_THEM`, which is the service's and not the job's.
    """
    try:
        batch: EventBatch = await ask(service.events, job_id, after)
    except NasError as error:
        # A job may end by one of these too: a device refused its session, or its store was full.
        if isinstance(error, NOT_NOW + NOT_TO_THEM) and not await _has_stopped(ask, service, job_id):
            raise
        return EventBatch((), over=True)
    return batch


async def _has_stopped(ask: Ask, service: Service, job_id: str) -> bool:
    """Whether it can be said that nobody runs the job."""
    try:
        job: Job = await ask(service.job, job_id)
    except NasError:
        return False
    return job.status not in (JobStatus.QUEUED, JobStatus.RUNNING)


def event_message(event: Event) -> bytes:
    """As browsers read it, its sequence number as the id."""
    return b"id: %d\n" % event.sequence + message("event", event_document(event))


def message(name: str, document: Any) -> bytes:
    """As browsers read it; JSON has no line breaks, and so neither has the data."""
    return f"event: {name}\ndata: {json.dumps(document, separators=(',', ':'))}\n\n".encode()
